package graph_test

import (
	"context"
	"testing"
	"time"

	blocks "github.com/ipfs/go-block-format"

	"github.com/holdfast-ipfs/holdfast/pin/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
)

// A claim that came first is seen: the block stays, and its writer had no
// reason to wait.
func TestClaimBeforeDeletion(t *testing.T) {
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{})
	b := roomtest.SomeBlocks(21, 1, 3000)[0]
	must(t, s.Graph.Blockstore().Put(t.Context(), b))
	*s.Graph.BeforeDelete() = func(dead []graph.Ref) {
		if len(dead) > 0 {
			t.Errorf("%v is about to be deleted", dead)
		}
	}
	reclaimed := make(chan error, 1)
	*s.Graph.DuringWrite() = func() {
		go func() {
			_, err := s.Reclaim(context.WithoutCancel(t.Context()))
			reclaimed <- err
		}()
		// It comes as far as the stripe, and waits there: readers are kept
		// out while somebody waits to have a stripe alone.
		for deadline := time.Now().Add(time.Minute); s.TryStripe(s.Stripe(b.Cid().Hash()), false); {
			if time.Now().After(deadline) {
				t.Error("the reclaim does not wait for the claim")
				break
			}
			time.Sleep(time.Millisecond)
		}
		if !roomtest.Has(t, s, b) {
			t.Error("the block went while it was being claimed")
		}
	}
	must(t, roomtest.ClaimTo(s, t.Context(), 1, []graph.Ref{roomtest.RefOf(b)}))
	must(t, <-reclaimed)
	if !roomtest.Has(t, s, b) {
		t.Error("a claimed block was deleted")
	}
}

// A claim that comes during the deletion waits, and then sees that the block is
// gone.
func TestClaimAfterDeletion(t *testing.T) {
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{})
	b := roomtest.SomeBlocks(22, 1, 3000)[0]
	must(t, s.Graph.Blockstore().Put(t.Context(), b))
	claimed := make(chan error, 1)
	*s.Graph.BeforeDelete() = func(dead []graph.Ref) {
		if len(dead) != 1 {
			t.Errorf("%d blocks are about to be deleted", len(dead))
		}
		if !roomtest.Has(t, s, b) { // what a walk sees before it claims
			t.Error("the block went early")
		}
		go func() {
			claimed <- roomtest.ClaimTo(s, context.WithoutCancel(t.Context()), 1, []graph.Ref{roomtest.RefOf(b)})
		}()
		select {
		case err := <-claimed:
			t.Errorf("a claim was written during the deletion: %v", err)
		case <-time.After(20 * time.Millisecond): // the longer, the surer to catch one
		}
	}
	if n := roomtest.ReclaimAll(t, s); n != 1 {
		t.Errorf("%d blocks were deleted", n)
	}
	must(t, <-claimed)
	if roomtest.Has(t, s, b) {
		t.Error("a block is there that was deleted before it was claimed")
	}
	// The walk fetches it again, and then it stays.
	*s.Graph.BeforeDelete() = nil
	must(t, roomtest.PutTo(s, t.Context(), 1, []blocks.Block{b}))
	roomtest.ReclaimAll(t, s)
	if !roomtest.Has(t, s, b) {
		t.Error("a block that was put again was deleted")
	}
}

// The same with a block that is put, not only claimed: it is there afterwards
// in both orders.
func TestPutDuringDeletion(t *testing.T) {
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{})
	b := roomtest.SomeBlocks(23, 1, 3000)[0]
	must(t, s.Graph.Blockstore().Put(t.Context(), b))
	put := make(chan error, 1)
	*s.Graph.BeforeDelete() = func([]graph.Ref) {
		go func() { put <- roomtest.PutTo(s, context.WithoutCancel(t.Context()), 1, []blocks.Block{b}) }()
	}
	if n := roomtest.ReclaimAll(t, s); n != 1 {
		t.Errorf("%d blocks were deleted", n)
	}
	must(t, <-put)
	if !roomtest.Has(t, s, b) {
		t.Error("a claimed block is not there")
	}
}
