package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"testing"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// TestDirectoryOutlivesItsSource pins a directory of 20,000 files and stops the Kubo that had it.
// Another Kubo then gets every byte from Holdfast.
func TestDirectoryOutlivesItsSource(t *testing.T) {
	t.Parallel()
	source := startKubo(t, "source")
	s := serve(t, newData(t))
	ctx := within(t, 420*patience)
	tree := t.TempDir()
	check(t, rig.WriteTree(tree, 400, 0, 20_000)) // so many entries that Kubo shards it
	cid := must(source.AddTree(ctx, tree))(t)
	addService(t, source, s, "holdfast")
	must(source.Run(ctx, nil, "pin", "remote", "add", "--service=holdfast", "--name=files", cid))(t)

	sum := carHash(t, ctx, source, cid)
	check(t, source.Stop())
	sameFromHoldfast(t, ctx, s, map[string]string{cid: sum})
}

// TestLargeFileOutlivesItsSource does the same with a file of 1 GiB.
func TestLargeFileOutlivesItsSource(t *testing.T) {
	t.Parallel()
	source := startKubo(t, "source")
	s := serve(t, newData(t))
	ctx := within(t, 240*patience)
	h := sha256.New()
	cid := must(source.AddFile(ctx, io.TeeReader(rig.Random(401, 1<<30), h), 1<<20))(t)
	addService(t, source, s, "holdfast")
	must(source.Run(ctx, nil, "pin", "remote", "add", "--service=holdfast", "--name=file", cid))(t)

	check(t, source.Stop())
	reader := startKubo(t, "reader")
	connect(t, reader, s)
	if got, want := catHash(t, ctx, reader, cid), hex.EncodeToString(h.Sum(nil)); got != want {
		t.Errorf("the file read back from holdfast has hash %s, want %s", got, want)
	}
}
