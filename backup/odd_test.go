package backup_test

import (
	"bytes"
	"slices"
	"testing"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"
)

// Blocks of all lengths and hashes come back.
func TestOddBlocks(t *testing.T) {
	o, p := open(t, t.TempDir()), place(t)
	for size, fn := range map[int]uint64{
		0: multihash.SHA2_256, 1: multihash.SHA2_512, 2: multihash.BLAKE3, 3: multihash.SHA3_256, 4: multihash.BLAKE2B_MIN + 31, 2<<20 + 1: multihash.SHA2_256,
	} {
		data := bytes.Repeat([]byte{byte(size)}, size)
		h, err := multihash.Sum(data, fn, -1)
		must(t, err)
		b, err := blocks.NewBlockWithCid(data, cid.NewCidV1(cid.Raw, h))
		must(t, err)
		_, err = o.pinDAG(t.Context(), walktest.NewNetwork(b), b.Cid(), "")
		must(t, err)
	}
	if m := run(t, o, p, nil); m.Blocks != 6 || m.Lacks() {
		t.Errorf("the backup is %+v", m)
	}
	dir := t.TempDir()
	if done := restore(t, dir, p, nil, ""); done.Blocks != 6 || done.Missing > 0 || len(done.Damaged) > 0 {
		t.Errorf("restored %+v", done)
	}
	back := open(t, dir)
	back.verify(t)
	if got, want := back.pins(t), o.pins(t); !slices.Equal(got, want) {
		t.Errorf("restored %v, want %v", got, want)
	}
}
