package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// TestKuboLists2500 pins 2,500 files, from several clients at once, so that many requests
// come in the same moment. Kubo lists them, ten at a time. None may be lost or repeated.
func TestKuboLists2500(t *testing.T) {
	t.Parallel()
	const files, clients = 2500, 8
	source := sharedSource(t)
	s := serve(t, allowPrivate(newData(t)))
	c := login(t, s)
	ctx := within(t, 150*patience)
	addService(t, source, s, "list")

	dir := t.TempDir()
	var want []string // lines of `remote ls`
	pins := make(chan rig.Pin, files)
	for i := range files {
		body := fmt.Sprintf("listed %d\n", i)
		name := fmt.Sprintf("pin-%04d", i)
		check(t, os.WriteFile(filepath.Join(dir, name), []byte(body), 0o644))
		cid := rig.CID(rig.CodecRaw, []byte(body))
		want = append(want, cid+"\tpinned\t"+name)
		pins <- rig.Pin{CID: cid, Name: name, Origins: source.Addrs}
	}
	close(pins)
	must(source.AddTree(ctx, dir))(t)

	began := time.Now()
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for p := range pins {
				if _, err := c.Add(ctx, p); err != nil {
					t.Errorf("add %s: %v", p.Name, err)
					return
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d requests made in %s", files, time.Since(began))
	check(t, rig.Poll(ctx, 50*time.Millisecond, func() (bool, error) {
		page, err := c.List(ctx, nil)
		return page.Count == files, err
	}))
	t.Logf("all pinned after %s", time.Since(began))

	got := lines(must(source.Run(ctx, nil, "pin", "remote", "ls", "--service=list"))(t))
	t.Logf("all listed after %s", time.Since(began))
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("Kubo lists %d pins, %d of them different, want the %d that were made",
			len(got), len(slices.Compact(slices.Clone(got))), files)
	}

	all := must(c.All(ctx))(t)
	for i := 1; i < len(all); i++ {
		if !all[i].Created.Before(all[i-1].Created) {
			t.Fatalf("created %s and then %s: not newest first, or not distinct", all[i-1].Created, all[i].Created)
		}
	}
	if all[0].Created.Nanosecond()%int(time.Millisecond) != 0 || !strings.HasPrefix(all[0].Pin.Name, "pin-") {
		t.Errorf("newest is %+v", all[0])
	}
}
