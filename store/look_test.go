package store

import (
	"context"
	"errors"
	"testing"
	"time"

	blocks "github.com/ipfs/go-block-format"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// A look may miss what was put just now, and sees it soon.
func TestLook(t *testing.T) {
	s := openTest(t, t.TempDir(), Config{})
	ctx := t.Context()
	old, new := blocks.NewBlock([]byte("old")), blocks.NewBlock([]byte("new"))
	must(t, putTo(s, ctx, 1, []blocks.Block{old}))
	look := func(b blocks.Block) bool {
		t.Helper()
		data, found, err := s.held.Look(ctx, b.Cid().Hash())
		must(t, err)
		if found && string(data) != string(b.RawData()) {
			t.Fatalf("block %s is %q", b.Cid(), data)
		}
		return found
	}
	if !look(old) || look(new) {
		t.Fatal("a look sees what is not, or not what is")
	}
	must(t, putTo(s, ctx, 1, []blocks.Block{new}))
	deadline := time.Now().Add(30 * time.Second)
	for !look(new) {
		if time.Now().After(deadline) {
			t.Fatal("a look does not see what was put long ago")
		}
		time.Sleep(kv.LookAge / 10)
	}
	if !look(old) {
		t.Error("the older block is gone")
	}
}

// Looks leave nothing behind that keeps Badger from discarding what is old.
func TestLookEnds(t *testing.T) {
	s := openTest(t, t.TempDir(), Config{})
	b := blocks.NewBlock([]byte("block"))
	must(t, putTo(s, t.Context(), 1, []blocks.Block{b}))
	for range 50 {
		_, found, err := s.held.Look(t.Context(), b.Cid().Hash())
		must(t, err)
		if !found {
			t.Fatal("the block is not found")
		}
	}
	deadline := time.Now().Add(30 * time.Second)
	for {
		if !s.kv.Looking() {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the transaction of the last look is still open")
		}
		time.Sleep(kv.LookAge / 10)
	}
	must(t, s.Close())
	if _, _, err := s.held.Look(context.Background(), b.Cid().Hash()); !errors.Is(err, pin.ErrClosed) {
		t.Errorf("a look after Close: %v", err)
	}
}
