package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// imported is what `holdfast import --json` prints.
type imported struct {
	Listed   int            `json:"listed"`
	Outcomes map[string]int `json:"outcomes"`
	Troubles []struct {
		CID, Name, Outcome, Why string
	} `json:"troubles"`
}

// runImport runs an import, and gives what it printed. stdin may have a token.
func runImport(t *testing.T, ctx context.Context, d *rig.Data, stdin string, args ...string) imported {
	t.Helper()
	out := must(d.Run(ctx, strings.NewReader(stdin), append([]string{"import", "--json"}, args...)...))(t)
	var r imported
	check(t, json.Unmarshal([]byte(out), &r))
	return r
}

// wantOutcomes checks the outcomes of an import, all of them.
func wantOutcomes(t *testing.T, what string, r imported, listed int, want map[string]int) {
	t.Helper()
	if r.Listed != listed || fmt.Sprint(r.Outcomes) != fmt.Sprint(want) {
		t.Errorf("%s: listed %d, outcomes %v, want %d, %v\n%v", what, r.Listed, r.Outcomes, listed, want, r.Troubles)
	}
}

// kuboPin is a pin of a Kubo.
type kuboPin struct{ cid, name, kind string }

// fileNode is the block of a small file, in dag-pb.
func fileNode(content string) []byte {
	n := byte(len(content)) // under 100
	unixfs := append([]byte{0x08, 2, 0x12, n}, content...)
	unixfs = append(unixfs, 0x18, n)
	return append([]byte{0x0a, byte(len(unixfs))}, unixfs...)
}

// apiOf is the address of a Kubo's RPC, as Kubo itself writes it.
func apiOf(t *testing.T, k *rig.Kubo) string {
	t.Helper()
	return strings.TrimSpace(string(must(os.ReadFile(filepath.Join(k.Repo, "api")))(t)))
}

// putBlocks stores blocks in a Kubo, and gives their CIDs.
func putBlocks(t *testing.T, ctx context.Context, k *rig.Kubo, q url.Values, blocks [][]byte) (cids []string) {
	t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for _, b := range blocks {
		must(must(form.CreateFormFile("file", "file"))(t).Write(b))(t)
	}
	check(t, form.Close())
	part := strings.Split(apiOf(t, k), "/")
	r := must(http.NewRequestWithContext(ctx, http.MethodPost, "http://"+part[2]+":"+part[4]+"/api/v0/block/put?"+q.Encode(), &body))(t)
	r.Header.Set("Content-Type", form.FormDataContentType())
	answer := must(http.DefaultClient.Do(r))(t)
	defer answer.Body.Close()
	for in := json.NewDecoder(answer.Body); ; {
		var put struct{ Key, Message string }
		err := in.Decode(&put)
		if err == io.EOF {
			break
		}
		check(t, err)
		cids = append(cids, put.Key)
	}
	if len(cids) != len(blocks) {
		t.Fatalf("kubo stored %d of %d blocks", len(cids), len(blocks))
	}
	return cids
}

// fillKubo makes n pins of each kind that can come: files of CIDv0 and raw blocks, half of
// them named, and raw blocks that are pinned directly; and one pin that cannot come, a
// directory that is pinned directly.
func fillKubo(t *testing.T, ctx context.Context, k *rig.Kubo, n int) (pins []kuboPin, notComing string) {
	t.Helper()
	var files, raws [][]byte
	for i := range n {
		files = append(files, fileNode(fmt.Sprintf("file %d", i)))
	}
	for i := range 2 * n {
		raws = append(raws, []byte(fmt.Sprintf("block %d", i)))
	}
	// A new Kubo has a pin of its own.
	for _, cid := range lines(must(k.Run(ctx, nil, "pin", "ls", "--type=recursive", "--quiet"))(t)) {
		pins = append(pins, kuboPin{cid, "", "recursive"})
	}
	add := func(cid, name, kind string) {
		q := url.Values{"arg": {cid}, "recursive": {fmt.Sprint(kind == "recursive")}}
		if name != "" {
			q.Set("name", name)
		}
		check(t, k.RPC(ctx, "pin/add", q, nil))
		pins = append(pins, kuboPin{cid, name, kind})
	}
	name := func(i int, what string) string {
		if i%2 == 0 {
			return ""
		}
		return fmt.Sprintf("%s %d, ünd \"more\"", what, i)
	}
	for i, c := range putBlocks(t, ctx, k, url.Values{"format": {"v0"}}, files) {
		if !strings.HasPrefix(c, "Qm") {
			t.Fatalf("%s is no CIDv0", c)
		}
		add(c, name(i, "file"), "recursive")
	}
	for i, c := range putBlocks(t, ctx, k, url.Values{"cid-codec": {"raw"}}, raws) {
		if i < n {
			add(c, name(i, "block"), "recursive")
		} else {
			add(c, "", "direct")
		}
	}
	tree := t.TempDir()
	check(t, rig.WriteTree(tree, 30_001, 0, 20))
	whole := must(k.AddTree(ctx, tree))(t)
	add(whole, "a tree", "recursive")
	other := t.TempDir()
	check(t, rig.WriteTree(other, 30_002, 0, 3))
	notComing = must(k.AddTree(ctx, other))(t)
	must(k.Run(ctx, nil, "pin", "add", "--recursive=false", notComing))(t)
	return pins, notComing
}

// samePins checks that an account has just these pins, all of them pinned.
func samePins(t *testing.T, ctx context.Context, c *rig.Client, want []kuboPin) {
	t.Helper()
	all := must(c.All(ctx))(t)
	got := map[[2]string]int{}
	for _, s := range all {
		if s.Status != "pinned" {
			t.Errorf("%s is %s: %v", s.Pin.CID, s.Status, s.Info)
		}
		got[[2]string{s.Pin.CID, s.Pin.Name}]++
	}
	for _, p := range want {
		if got[[2]string{p.cid, p.name}] != 1 {
			t.Errorf("%s %q is there %d times", p.cid, p.name, got[[2]string{p.cid, p.name}])
		}
	}
	if len(all) != len(want) {
		t.Errorf("there are %d pins, want %d", len(all), len(want))
	}
}

// importAll moves n pins of each kind from a Kubo, with a kill on the way, on to another
// Holdfast, and by a list to a third account.
func importAll(t *testing.T, n int, limit time.Duration) {
	ctx := within(t, limit)
	k := startKubo(t, "full")
	pins, notComing := fillKubo(t, ctx, k, n)
	all := len(pins)
	// Private addresses are not dialled: the Kubo dials the server.
	d := newData(t)
	s := serve(t, d)
	c := login(t, s)

	plan := runImport(t, ctx, d, "", "kubo", apiOf(t, k), "--plan")
	wantOutcomes(t, "plan", plan, all+1, map[string]int{"new": all, "left_out": 1})
	if got := plan.Troubles[0]; got.CID != notComing || !strings.Contains(got.Why, "pinned directly at the source") {
		t.Errorf("%v cannot come, want %s", got, notComing)
	}
	samePins(t, ctx, c, nil)

	killed, kill := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		_, err := d.Run(killed, nil, "import", "kubo", apiOf(t, k))
		ended <- err
	}()
	check(t, rig.Poll(ctx, time.Millisecond, func() (bool, error) {
		page, err := c.List(ctx, url.Values{"status": {"queued,pinning,pinned,failed"}, "limit": {"1"}})
		return page.Count > all/4, err
	}))
	kill()
	if <-ended == nil {
		t.Error("the import was not killed in time")
	}
	first := must(c.List(ctx, url.Values{"status": {"queued,pinning,pinned,failed"}, "limit": {"1"}}))(t).Count
	if first == 0 || first >= all {
		t.Errorf("the killed import had asked for %d of %d pins", first, all)
	}
	rest := runImport(t, ctx, d, "", "kubo", apiOf(t, k))
	if rest.Outcomes["pinned"]+rest.Outcomes["here_before"] != all || len(rest.Outcomes) > 3 {
		t.Errorf("the second run: %v", rest)
	}
	samePins(t, ctx, c, pins)
	wantOutcomes(t, "again", runImport(t, ctx, d, "", "kubo", apiOf(t, k)), all+1, map[string]int{"here_before": all, "left_out": 1})
	samePins(t, ctx, c, pins)

	// To another server, with metadata.
	marked := pinned(t, c, rig.Pin{CID: pins[0].cid, Name: "marked", Meta: map[string]string{"from": "kubo", "ö": "\"\n,"}}, patience)
	pins = append(pins, kuboPin{cid: marked.Pin.CID, name: "marked"})
	all++
	d2 := newData(t)
	s2 := serve(t, allowPrivate(d2)) // it dials the first one
	c2 := login(t, s2)
	wantOutcomes(t, "from a pinning service", runImport(t, ctx, d2, c.Token+"\n", "psa", s.Endpoint()), all, map[string]int{"pinned": all})
	samePins(t, ctx, c2, pins)
	wantOutcomes(t, "from a pinning service, again", runImport(t, ctx, d2, c.Token, "psa", s.Endpoint()), all, map[string]int{"here_before": all})
	samePins(t, ctx, c2, pins)

	// By a list to another account, and from there to a service.
	listed := must(d2.Run(ctx, nil, "pin", "ls", "--json"))(t)
	check(t, d2.AddUser(ctx, "second@example.org", password))
	wantOutcomes(t, "from a list", runImport(t, ctx, d2, listed, "list", "-", "--user", "second@example.org"), all, map[string]int{"pinned": all})
	token := filepath.Join(t.TempDir(), "token")
	check(t, os.WriteFile(token, []byte(c.Token), 0o600))
	wantOutcomes(t, "to a pinning service", runImport(t, ctx, d2, listed, "list", "-", "--to", s.Endpoint(), "--to-token-file", token), all, map[string]int{"here_before": all})
	c3 := rig.NewClient(s2.HTTP, must(rig.Login(ctx, s2.HTTP, "second@example.org", password))(t))
	samePins(t, ctx, c3, pins)
	found := must(c3.List(ctx, url.Values{"name": {"marked"}}))(t)
	if fmt.Sprint(found.Results[0].Pin.Meta) != fmt.Sprint(marked.Pin.Meta) {
		t.Errorf("the metadata is %q, want %q", found.Results[0].Pin.Meta, marked.Pin.Meta)
	}
	exportAll(t, ctx, d2, pins)
}

// exportAll writes all pins of an account as CARs, with a kill on the way. A new Kubo and a
// new account take them.
func exportAll(t *testing.T, ctx context.Context, d *rig.Data, pins []kuboPin) {
	dags := map[string]bool{}
	for _, p := range pins {
		dags[p.cid] = true
	}
	dir := filepath.Join(t.TempDir(), "all")
	cars := func() []string { return must(filepath.Glob(filepath.Join(dir, "*.car")))(t) }
	killed, kill := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		_, err := d.Run(killed, nil, "export", "--all", dir, "--user", "second@example.org")
		ended <- err
	}()
	check(t, rig.Poll(ctx, time.Millisecond, func() (bool, error) { return len(cars()) > len(dags)/4, nil }))
	kill()
	if <-ended == nil {
		t.Error("the export was not killed in time")
	}
	before := len(cars())
	var done struct {
		Written, Waiting int
		Before           int `json:"here_before"`
		Failed           []any
	}
	check(t, json.Unmarshal([]byte(must(d.Run(ctx, nil, "export", "--all", dir, "--user", "second@example.org", "--json"))(t)), &done))
	if done.Before != before || done.Written != len(dags)-before || done.Waiting+len(done.Failed) > 0 || len(cars()) != len(dags) {
		t.Errorf("exported %+v, %d files, want %d, of which %d were there", done, len(cars()), len(dags), before)
	}
	reader := startKubo(t, "reader of CARs")
	for some := range slices.Chunk(cars(), 500) { // as many as a command line has room for
		must(reader.Run(ctx, nil, append([]string{"dag", "import", "--pin-roots"}, some...)...))(t)
	}
	has := map[string]bool{}
	for _, cid := range lines(must(reader.Run(ctx, nil, "pin", "ls", "--type=recursive", "--quiet"))(t)) {
		has[cid] = true
	}
	for cid := range dags {
		if !has[cid] {
			t.Errorf("%s is not in the CARs", cid)
		}
	}
	check(t, d.AddUser(ctx, "third@example.org", password))
	wantOutcomes(t, "from an export", runImport(t, ctx, d, "", "list", filepath.Join(dir, "pins.json"), "--user", "third@example.org"), len(pins), map[string]int{"pinned": len(pins)})
}

// Pins of every kind move from a Kubo to a server, to another, and to another account, once
// each.
func TestImport(t *testing.T) { importAll(t, 60, 60*patience) }
