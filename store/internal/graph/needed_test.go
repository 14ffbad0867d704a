package graph_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
)

func TestHeld(t *testing.T) {
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{})
	ctx := t.Context()
	held := func(b blocks.Block) bool {
		t.Helper()
		h, err := s.Graph.Needed(ctx, b.Cid().Hash())
		must(t, err)
		return h
	}
	begin := func(i int) (pin.Request, pin.Attempt) {
		t.Helper()
		r, err := s.Requests.Add(ctx, roomtest.Account, pintest.DAGSpec(i))
		must(t, err)
		a, complete, err := s.Requests.Begin(ctx, r.DAG())
		must(t, err)
		if complete {
			t.Fatal("complete from the start")
		}
		return r, a
	}
	bs := roomtest.SomeBlocks(1, 4, 100)
	both, one, other, loose := bs[0], bs[1], bs[2], bs[3]
	must(t, s.Graph.Blockstore().Put(ctx, loose))
	for _, b := range bs {
		if held(b) {
			t.Fatalf("%s is held by nobody", b.Cid())
		}
	}

	first, a := begin(1)
	must(t, roomtest.PutTo(s, ctx, a, []blocks.Block{both, one}))
	if !held(both) || !held(one) || held(other) || held(loose) {
		t.Fatal("what a pin that is fetched needs is not what is held")
	}
	second, b := begin(2)
	// A claim is enough: the block may come a moment later.
	must(t, roomtest.ClaimTo(s, ctx, b, []graph.Ref{{Hash: both.Cid().Hash(), Size: 100}, {Hash: other.Cid().Hash(), Size: 100}}))
	if !held(other) {
		t.Fatal("what was claimed is not held")
	}
	_, _, err := s.Requests.Complete(ctx, first.DAG(), a, pin.Totals{Blocks: 2, Bytes: 200})
	must(t, err)
	if !held(both) || !held(one) {
		t.Fatal("what a complete pin needs is not held")
	}

	// Released is no longer held, before its references are dropped and after.
	released, err := s.Requests.Fail(ctx, second.DAG(), "nobody has it")
	must(t, err)
	if len(released) != 1 || released[0] != b {
		t.Fatalf("released %v, want %d", released, b)
	}
	waitUntil(t, "it is let go of", func() bool { return !held(other) })
	if !held(both) {
		t.Fatal("what another pin needs is gone with the failed one")
	}
	must(t, s.Graph.Drop(ctx, b))
	if held(other) || !held(both) {
		t.Fatal("dropping changed more than it should, or less")
	}
	_, released, err = s.Requests.Remove(ctx, roomtest.Account, first.ID)
	must(t, err)
	waitUntil(t, "it is let go of", func() bool { return !held(both) && !held(one) })
	must(t, s.Graph.Drop(ctx, released[0]))
	for _, b := range bs {
		if held(b) {
			t.Errorf("%s is held by nobody", b.Cid())
		}
	}
	has, err := s.Graph.Blockstore().Has(ctx, one.Cid())
	must(t, err)
	if !has {
		t.Error("the test says nothing: the block was deleted, too")
	}

	must(t, s.Close())
	if _, err := s.Graph.Needed(context.Background(), both.Cid().Hash()); !errors.Is(err, pin.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// What is claimed is held from then on, however much is going on.
func TestHeldAtOnce(t *testing.T) {
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{})
	ctx := t.Context()
	r, err := s.Requests.Add(ctx, roomtest.Account, pintest.DAGSpec(1))
	must(t, err)
	a, _, err := s.Requests.Begin(ctx, r.DAG())
	must(t, err)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for _, b := range roomtest.SomeBlocks(uint64(i+1), 50, 1000) {
				if err := roomtest.PutTo(s, ctx, a, []blocks.Block{b}); err != nil {
					t.Error(err)
					return
				}
				if held, err := s.Graph.Needed(ctx, b.Cid().Hash()); err != nil || !held {
					t.Errorf("held: %v, %v", held, err)
				}
			}
		})
	}
	wg.Wait()
}

// BenchmarkHeld asks for blocks that a pin of 100,000 has, as Bitswap does for
// each that a peer wants.
func BenchmarkHeld(b *testing.B) {
	s := roomtest.Open(b, b.TempDir(), roomtest.Config{})
	ctx := b.Context()
	r, err := s.Requests.Add(ctx, roomtest.Account, pintest.DAGSpec(1))
	must(b, err)
	a, _, err := s.Requests.Begin(ctx, r.DAG())
	must(b, err)
	bs := roomtest.SomeBlocks(1, 100_000, 100)
	for some := bs; len(some) > 0; some = some[min(len(some), 4096):] {
		must(b, roomtest.PutTo(s, ctx, a, some[:min(len(some), 4096)]))
	}
	unknown := roomtest.SomeBlocks(2, 1000, 100)
	b.Run("held", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if held, err := s.Graph.Needed(ctx, bs[i*7919%len(bs)].Cid().Hash()); err != nil || !held {
				b.Fatal(held, err)
			}
		}
	})
	b.Run("unknown", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if held, err := s.Graph.Needed(ctx, unknown[i%len(unknown)].Cid().Hash()); err != nil || held {
				b.Fatal(held, err)
			}
		}
	})
	b.Run("get", func(b *testing.B) { // to compare with
		for i := 0; b.Loop(); i++ {
			if _, err := s.Graph.Blockstore().Get(ctx, bs[i*7919%len(bs)].Cid()); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// waitUntil waits for what a look sees a little later.
func waitUntil(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it did not happen: %s", what)
		}
	}
}

// Below a node, what is needed is so until the last link to the node is dropped.
func TestNeededBelowANode(t *testing.T) {
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{})
	ctx := t.Context()
	leaf := roomtest.SomeBlocks(1, 1, 100)[0]
	node := graph.Ref{Hash: pintest.DAGSpec(7).DAG().CID().Hash(), Size: 50}
	var requests []pin.Request
	for i := range 2 {
		r, err := s.Requests.Add(ctx, roomtest.Account, pintest.DAGSpec(i))
		must(t, err)
		a, _, err := s.Requests.Begin(ctx, r.DAG())
		must(t, err)
		id, err := s.Graph.NewHolders(ctx, 1)
		must(t, err)
		toNode := graph.Link{Holder: graph.HolderOf(a), Ref: node, Codec: cid.DagProtobuf}
		must(t, s.Graph.Write(ctx, graph.Batch{
			Links: []graph.Link{toNode, {Holder: id, Ref: roomtest.RefOf(leaf), Codec: cid.Raw}},
			Nodes: []graph.Node{{ID: id, DAG: toNode.DAG(), Attempt: a}},
		}))
		requests = append(requests, r)
	}
	needed := func() bool {
		t.Helper()
		n, err := s.Graph.Needed(ctx, leaf.Cid().Hash())
		must(t, err)
		return n
	}
	for _, r := range requests {
		if !needed() {
			t.Fatal("it is not needed while a pin needs it")
		}
		_, released, err := s.Requests.Remove(ctx, roomtest.Account, r.ID)
		must(t, err)
		must(t, s.Graph.Drop(ctx, released[0]))
	}
	waitUntil(t, "nobody needs it", func() bool { return !needed() })
}

func TestAboveBlock(t *testing.T) {
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{})
	ctx := t.Context()
	bs := roomtest.SomeBlocks(1, 3*kv.PageSize, 10)
	shared, own := bs[1], bs[2]
	node := graph.Ref{Hash: pintest.DAGSpec(7).DAG().CID().Hash(), Size: 50}
	nodeDAG := graph.Link{Ref: node, Codec: cid.DagProtobuf}.DAG()
	var dags []pin.DAG
	for i := range 3 {
		r, err := s.Requests.Add(ctx, roomtest.Account, pintest.DAGSpec(i))
		must(t, err)
		a, _, err := s.Requests.Begin(ctx, r.DAG())
		must(t, err)
		dags = append(dags, r.DAG())
		switch i {
		case 0: // a DAG with a node between it and its blocks
			id, err := s.Graph.NewHolders(ctx, 1)
			must(t, err)
			b := graph.Batch{
				Links: []graph.Link{{Holder: graph.HolderOf(a), Ref: node, Codec: cid.DagProtobuf}},
				Nodes: []graph.Node{{ID: id, DAG: nodeDAG, Attempt: a}},
			}
			for _, block := range bs {
				b.Links = append(b.Links, graph.Link{Holder: id, Ref: roomtest.RefOf(block), Codec: cid.Raw})
			}
			must(t, s.Graph.Write(ctx, b))
		case 1:
			must(t, roomtest.PutTo(s, ctx, a, []blocks.Block{shared}))
		case 2: // one that fails, and is not dropped yet
			must(t, roomtest.PutTo(s, ctx, a, []blocks.Block{shared}))
			_, err := s.Requests.Fail(ctx, r.DAG(), "nobody has it")
			must(t, err)
		}
	}
	above := func(b blocks.Block) graph.Above {
		t.Helper()
		a, err := s.Graph.AboveBlock(ctx, b.Cid().Hash())
		must(t, err)
		return a
	}
	if a := above(own); len(a.DAGs) != 1 || a.DAGs[0] != dags[0] || len(a.Nodes) != 1 || a.Nodes[0] != nodeDAG {
		t.Errorf("above one's own block are %+v", a)
	}
	a := above(shared)
	slices.Sort(a.DAGs)
	want := []pin.DAG{dags[0], dags[1]}
	slices.Sort(want)
	if !slices.Equal(a.DAGs, want) || len(a.Nodes) != 1 {
		t.Errorf("above a shared block are %+v", a)
	}
	if a := above(roomtest.SomeBlocks(9, 1, 10)[0]); len(a.DAGs)+len(a.Nodes) > 0 {
		t.Errorf("above a block that nobody has are %+v", a)
	}

	seen := map[string]int{}
	for h, err := range s.Graph.BlocksHeld(ctx) {
		must(t, err)
		seen[string(h)]++
	}
	if len(seen) != len(bs)+1 || seen[string(shared.Cid().Hash())] != 1 || seen[string(node.Hash)] != 1 {
		t.Errorf("%d blocks are held, the shared one %d times; want %d", len(seen), seen[string(shared.Cid().Hash())], len(bs)+1)
	}
	ended, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, err := range s.Graph.BlocksHeld(ended) {
		cancel()
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
	}
	if ended.Err() == nil {
		t.Error("nothing was looked at")
	}
}

// What contains a block is found by its CID, which says as what the block is read.
func TestDAGsAbove(t *testing.T) {
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{})
	ctx := t.Context()
	leaf := roomtest.SomeBlocks(1, 1, 10)[0]
	raw := cid.NewCidV1(cid.Raw, leaf.Cid().Hash())
	middle := graph.Link{Ref: graph.Ref{Hash: pintest.DAGSpec(7).DAG().CID().Hash(), Size: 50}, Codec: cid.DagProtobuf}
	var dags []pin.DAG
	for i := range 3 {
		r, err := s.Requests.Add(ctx, roomtest.Account, pintest.DAGSpec(i))
		must(t, err)
		a, _, err := s.Requests.Begin(ctx, r.DAG())
		must(t, err)
		dags = append(dags, r.DAG())
		id, err := s.Graph.NewHolders(ctx, 1)
		must(t, err)
		top := middle
		top.Holder = graph.HolderOf(a)
		must(t, s.Graph.Write(ctx, graph.Batch{
			Links: []graph.Link{top, {Holder: id, Ref: roomtest.RefOf(leaf), Codec: cid.Raw}},
			Nodes: []graph.Node{{ID: id, DAG: middle.DAG(), Attempt: a}},
		}))
	}
	_, err := s.Requests.Fail(ctx, dags[2], "nobody has it")
	must(t, err)
	want := []pin.DAG{dags[0], dags[1]}
	slices.Sort(want)
	for _, tt := range []struct {
		name  string
		cid   cid.Cid
		limit int
		found bool
		whole bool
	}{
		{"the leaf", raw, 100, true, true},
		{"what it is in", middle.DAG().CID(), 100, true, true},
		{"the bytes of that", cid.NewCidV1(cid.Raw, middle.Hash), 100, true, true},
		{"the leaf as what it is not", cid.NewCidV1(cid.DagProtobuf, leaf.Cid().Hash()), 100, false, true},
		{"what nobody has", cid.NewCidV1(cid.Raw, roomtest.SomeBlocks(9, 1, 10)[0].Cid().Hash()), 100, false, true},
		{"as many links as there are", raw, 6, true, true},
		{"too many links", raw, 2, false, false},
	} {
		got, whole, err := s.Graph.DAGsAbove(ctx, tt.cid, tt.limit)
		must(t, err)
		slices.Sort(got)
		if whole != tt.whole || slices.Equal(got, want) != tt.found || !tt.found && len(got) > 0 {
			t.Errorf("%s: above it are %v, all %v; want %v: %v, all %v", tt.name, got, whole, want, tt.found, tt.whole)
		}
	}
}
