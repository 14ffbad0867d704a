package graph_test

import (
	"testing"
	"time"

	blocks "github.com/ipfs/go-block-format"

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
