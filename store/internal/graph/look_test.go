package graph_test

import (
	"bytes"
	"testing"
	"time"

	blocks "github.com/ipfs/go-block-format"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
)

// A look may miss what was put just now, and sees it soon.
func TestLook(t *testing.T) {
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{})
	ctx := t.Context()
	old, new := blocks.NewBlock([]byte("old")), blocks.NewBlock([]byte("new"))
	must(t, roomtest.PutTo(s, ctx, 1, []blocks.Block{old}))
	look := func(b blocks.Block) bool {
		t.Helper()
		data, found, err := s.Graph.Look(ctx, b.Cid().Hash())
		must(t, err)
		if found && string(data) != string(b.RawData()) {
			t.Fatalf("block %s is %q", b.Cid(), data)
		}
		return found
	}
	if !look(old) || look(new) {
		t.Fatal("a look sees what is not, or not what is")
	}
	must(t, roomtest.PutTo(s, ctx, 1, []blocks.Block{new}))
	deadline := time.Now().Add(30 * time.Second)
	for !look(new) {
		if time.Now().After(deadline) {
			t.Fatal("a look does not see what was put long ago")
		}
		time.Sleep(10 * time.Millisecond)
	}
	if !look(old) {
		t.Error("the older block is gone")
	}
}

// Looks for each see also what was put just now, and put the bytes where they are told to.
func TestLookEach(t *testing.T) {
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{})
	ctx := t.Context()
	small, large := blocks.NewBlock([]byte("small")), blocks.NewBlock(bytes.Repeat([]byte("large"), 1<<20))
	must(t, roomtest.PutTo(s, ctx, 1, []blocks.Block{small}))
	if _, found, err := s.Graph.Look(ctx, small.Cid().Hash()); err != nil || !found { // there is a glimpse now
		t.Fatal(found, err)
	}
	must(t, roomtest.PutTo(s, ctx, 1, []blocks.Block{large}))
	must(t, s.Graph.LookEach(ctx, func(look func(multihash.Multihash, func(int) []byte) ([]byte, bool, error)) error {
		for _, b := range []blocks.Block{small, large, small} {
			var into []byte
			data, found, err := look(b.Cid().Hash(), func(size int) []byte {
				into = make([]byte, 0, size)
				return into
			})
			if err != nil || !found || !bytes.Equal(data, b.RawData()) || &data[0] != &into[:1][0] {
				t.Errorf("%d bytes, want %d; %v, %v", len(data), len(b.RawData()), found, err)
			}
		}
		if _, found, err := look(blocks.NewBlock(nil).Cid().Hash(), func(int) []byte { return nil }); err != nil || found {
			t.Errorf("what is not there: %v, %v", found, err)
		}
		return nil
	}))
}
