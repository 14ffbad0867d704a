package e2e

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// TestPacksInKubo backs up twice while the server runs. A Kubo without any peer has every block once it
// has imported all packs in one go, and a server that was restored from them gives the same to a reader. While
// the old server answers, one with its identity does not start.
func TestPacksInKubo(t *testing.T) {
	t.Parallel()
	source := sharedSource(t)
	d := allowPrivate(newData(t))
	s := serve(t, d)
	c := login(t, s)
	ctx := within(t, 120*patience)
	cid := must(source.AddFile(ctx, rig.Random(811, 8<<20), 64<<10))(t)
	made := pinned(t, c, rig.Pin{CID: cid, Name: "kept", Origins: source.Addrs}, 30*patience)
	place := filepath.Join(t.TempDir(), "backups")
	must(d.Run(ctx, nil, "backup", place, "--server-keys"))(t)
	sums := map[string]string{cid: carHash(t, ctx, source, cid)}
	later := must(source.AddFile(ctx, rig.Random(812, 1<<20), 64<<10))(t)
	pinned(t, c, rig.Pin{CID: later, Origins: source.Addrs}, 30*patience)
	must(d.Run(ctx, nil, "backup", place, "--server-keys"))(t)
	sums[later] = carHash(t, ctx, source, later)

	packs := must(filepath.Glob(filepath.Join(place, "*", "*.car")))(t)
	if len(packs) != 2 {
		t.Errorf("two backups have the packs %v", packs)
	}
	alone := startKubo(t, "alone")
	must(alone.Run(ctx, nil, append([]string{"dag", "import", "--pin-roots=false"}, packs...)...))(t)
	for cid, sum := range sums {
		if got := carHash(t, ctx, alone, cid); got != sum {
			t.Errorf("a Kubo that imported the packs has %s, want %s", got, sum)
		}
	}

	restored := must(suite.NewData())(t)
	must(restored.Run(ctx, nil, "restore", place, "--server-keys"))(t)
	p := must(restored.Launch())(t)
	ends(t, p)
	if _, err := restored.Ready(ctx, p); err == nil || !strings.Contains(p.Tail(), "still answers at") {
		t.Errorf("a second server with the identity of the first: %v", err)
	}
	check(t, s.Stop())
	r := serve(t, restored)
	if got := must(rig.NewClient(r.HTTP, c.Token).Get(ctx, made.RequestID))(t); r.PeerID != s.PeerID || got.Status != "pinned" {
		t.Errorf("restored is peer %s with %+v, and before %s", r.PeerID, got, s.PeerID)
	}
	sameFromHoldfast(t, ctx, r, sums)
}
