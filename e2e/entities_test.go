package e2e

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// TestFilesAreAnnounced: without any setting of it, others find a file in a pinned directory by
// the file's own CID.
func TestFilesAreAnnounced(t *testing.T) {
	t.Parallel()
	ctx := within(t, 180*patience)
	network := must(rig.StartDHT(ctx, dhtServers))(t)
	t.Cleanup(func() { network.Close() })
	d := allowPrivate(newData(t))
	d.Env["HOLDFAST_NODE_ROUTING"] = "auto"
	d.Env["HOLDFAST_NODE_BOOTSTRAP"] = network.Bootstrap
	for _, dials := range []string{"AUTONAT", "RELAY_CLIENT", "RELAY_SERVICE", "HOLE_PUNCHING"} {
		d.Env["HOLDFAST_NODE_"+dials] = "false"
	}
	s := serve(t, d)
	c := login(t, s)
	source := startKubo(t, "source")
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "file"), []byte("found by its own name"), 0o600))
	root := must(source.AddTree(ctx, dir))(t)
	leaf := lines(must(source.Run(ctx, nil, "refs", "-r", root))(t))[0]
	connect(t, source, s)
	pinned(t, c, rig.Pin{CID: root}, 60*patience)
	for _, cid := range []string{root, leaf} {
		check(t, rig.Poll(ctx, 100*time.Millisecond, func() (bool, error) {
			n, err := network.Knows(ctx, cid, s.PeerID)
			return n > 0, err
		}))
	}
}
