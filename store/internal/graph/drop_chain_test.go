package graph_test

import (
	"context"
	"errors"
	"expvar"
	"fmt"
	"testing"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	holding "github.com/holdfast-ipfs/holdfast/store/internal/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
)

// However deep a DAG is, it goes in as many batches as its links fill, or a thousandth
// of its levels; a batch is bounded; and it writes no more than three times what a flat DAG of
// as many blocks does.
func TestDropOfDeepDAGs(t *testing.T) {
	const n = 4500
	leaves := make([]blocks.Block, n)
	for i := range leaves {
		leaves[i] = dagtest.CBOR(fmt.Sprint("leaf", i))
	}
	_, flat := dropCost(t, dagtest.Tree(leaves, 1000))
	for _, shape := range roomtest.DeepShapes(n) {
		t.Run(shape.Name, func(t *testing.T) {
			commits, bytes := dropCost(t, shape.Make())
			// The attempt is released and forgotten in two more.
			if bound := uint64(n/holding.LevelsPerBatch + n/holding.DropsPerBatch + 4); commits > bound {
				t.Errorf("%d commits, want no more than %d", commits, bound)
			}
			if bytes > 3*flat {
				t.Errorf("%d bytes are written, and %d for a flat DAG", bytes, flat)
			}
		})
	}
}

// dropCost pins a DAG and unpins it, in a store of its own. It gives how many commits the second
// takes, and how many bytes they write.
func dropCost(t *testing.T, all []blocks.Block) (commits uint64, bytes int64) {
	t.Helper()
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{})
	p := roomtest.PinDAG(t, s, all)
	*s.Graph.Cut() = func(changes int) int {
		if bound := 9 * holding.DropsPerBatch; changes > bound {
			t.Errorf("%d changes in a batch, more than %d", changes, bound)
		}
		return changes
	}
	written := func() int64 { return expvar.Get("badger_write_bytes_user").(*expvar.Int).Value() }
	version, before := s.Badger.MaxVersion(), written()
	p.Remove(t, s)
	commits, bytes = s.Badger.MaxVersion()-version, written()-before // each commit has a version
	roomtest.ReclaimAll(t, s)
	roomtest.CheckHeld(t, s, nil)
	return commits, bytes
}

// What a chain shares with another pin stays, wherever the other comes in.
func TestDropOfASharedTail(t *testing.T) {
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{})
	const levels = 200
	*s.Levels() = levels
	all := roomtest.ChainOf("shared", 3*levels, nil)
	for _, at := range []int{1, 100, levels, 2*levels + 1, len(all)} {
		tail := roomtest.Over("other", all[:at]...)
		p, q := roomtest.PinDAG(t, s, all), roomtest.PinDAG(t, s, tail)
		p.Remove(t, s)
		roomtest.ReclaimAll(t, s)
		roomtest.CheckHeld(t, s, roomtest.SizesOf(tail))
		q.Remove(t, s)
		roomtest.ReclaimAll(t, s)
		roomtest.CheckHeld(t, s, nil)
	}
}

// A Drop may be cut off after any of its changes, in one batch or between batches: then
// whoever comes before it is done again sees of each node that it is gone, or keeps it
// and all below.
func TestDropIsCutOffAnywhere(t *testing.T) {
	for _, levels := range []int{holding.LevelsPerBatch, 2} {
		t.Run(fmt.Sprint(levels, " levels in a batch"), func(t *testing.T) {
			s := roomtest.Open(t, t.TempDir(), roomtest.Config{})
			*s.Graph.Levels() = levels
			for n, whole := 0, false; !whole && !t.Failed(); n++ {
				whole = cutDrop(t, s, n)
			}
		})
	}
}

// cutDrop cuts a Drop off after n changes, has others come, and does it again. whole is
// whether it has no more.
func cutDrop(t *testing.T, s *roomtest.Store, n int) (whole bool) {
	t.Helper()
	name := fmt.Sprint("cut ", n, " ")
	all := roomtest.SmallChain(name, 6)
	tail := roomtest.Over(name+"tail", all[:8]...)
	p, q := roomtest.PinDAG(t, s, all), roomtest.PinDAG(t, s, tail)
	p.Release(t, s)
	left := n
	*s.Graph.Cut() = func(of int) int { left -= of; return left + of }
	err := s.Graph.Drop(t.Context(), p.Attempt)
	*s.Graph.Cut() = nil
	if whole = left >= 0; whole != (err == nil) || !whole && !errors.Is(err, holding.ErrCut) {
		t.Fatalf("cut off after %d: %v", n, err)
	}
	held := tail
	others := []*roomtest.Pinned{q}
	for i, at := range []int{len(all), 16, 12} { // the head, and two on the way
		if n%2 == 0 || i == n/2%3 { // all of them, or one
			late := roomtest.Over(fmt.Sprint(name, "late", i), all[:at]...)
			others = append(others, roomtest.PinDAG(t, s, late))
			held = append(held, late...)
		}
	}
	must(t, s.Graph.Drop(t.Context(), p.Attempt))
	roomtest.ReclaimAll(t, s)
	for _, b := range held {
		if !roomtest.Has(t, s, b) {
			t.Errorf("cut off after %d changes: %s is lost", n, b.Cid())
		}
	}
	for _, o := range others {
		o.Remove(t, s)
	}
	roomtest.ReclaimAll(t, s)
	roomtest.CheckHeld(t, s, nil)
	return whole
}

// A walk that was slow to stop writes that its attempt is whole when that was released,
// or is being dropped: nobody may go by it, and it goes with the attempt.
func TestLateMarkOfBeingWhole(t *testing.T) {
	for name, write := range map[string]func(s *roomtest.Store, late func()){
		"before the drop": func(_ *roomtest.Store, late func()) { late() },
		"before stripes":  func(s *roomtest.Store, late func()) { *s.Graph.BeforeStripes() = late },
		"with the stripes held": func(s *roomtest.Store, late func()) {
			*s.Graph.BeforeRelease() = func([]graph.Node) { late() }
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := roomtest.Open(t, t.TempDir(), roomtest.Config{})
			all := roomtest.SmallChain("late", 5)
			p := roomtest.PinDAG(t, s, all)
			p.Release(t, s)
			write(s, func() {
				must(t, s.Graph.Write(context.WithoutCancel(t.Context()), graph.Batch{Whole: []graph.Holder{graph.HolderOf(p.Attempt)}}))
			})
			// The nodes are gone, and the attempt's own link is not.
			*s.Graph.Cut() = func(changes int) int { return changes - 3 }
			if err := s.Graph.Drop(t.Context(), p.Attempt); !errors.Is(err, holding.ErrCut) {
				t.Fatal(err)
			}
			s.ForgetDrops()
			*s.Graph.BeforeRelease() = nil
			if n := len(roomtest.Links(t, s, graph.HolderOf(p.Attempt))); n != 1 {
				t.Fatalf("the attempt has %d links", n)
			}
			if whole, err := s.Graph.Whole(t.Context(), p.Request.DAG(), pin.Limits{}, true); err != nil || whole {
				t.Errorf("what is gone is whole: %v, %v", whole, err)
			}
			late := roomtest.Over("late", all...)
			q := roomtest.PinDAG(t, s, late)
			must(t, s.Graph.Drop(t.Context(), p.Attempt))
			roomtest.ReclaimAll(t, s)
			roomtest.CheckHeld(t, s, roomtest.SizesOf(late))
			q.Remove(t, s)
			roomtest.ReclaimAll(t, s)
			roomtest.CheckHeld(t, s, nil)
		})
	}
}

// A link to a node far down, which the same batch releases that releases all above it:
// in time it keeps the node and what is below, whatever was found out before the stripes
// were taken; later it sees that the node is gone.
func TestLinkRacesReleaseFarDown(t *testing.T) {
	for _, at := range []int{2, 11, 23} { // of 24, from the bottom
		t.Run(fmt.Sprint("in time ", at), func(t *testing.T) {
			s := roomtest.Open(t, t.TempDir(), roomtest.Config{})
			all := roomtest.ChainOf("race", 24, nil)
			p := roomtest.PinDAG(t, s, all)
			other := roomtest.Over("other", all[:at]...)
			q := beginDAG(t, s, other)
			*s.Graph.BeforeStripes() = func() {
				*s.Graph.BeforeStripes() = nil
				q.link(t, s, other)
			}
			p.Remove(t, s)
			if whole, err := s.Graph.Whole(t.Context(), pin.DAGOf(all[at-1].Cid()), pin.Limits{}, true); err != nil || !whole {
				t.Errorf("what was linked to in time is whole: %v, %v", whole, err)
			}
			must(t, s.Graph.Write(t.Context(), graph.Batch{Whole: []graph.Holder{q.node, graph.HolderOf(q.attempt)}}))
			roomtest.ReclaimAll(t, s)
			roomtest.CheckHeld(t, s, roomtest.SizesOf(other))
		})
		t.Run(fmt.Sprint("too late ", at), func(t *testing.T) {
			s := roomtest.Open(t, t.TempDir(), roomtest.Config{})
			all := roomtest.ChainOf("race", 24, nil)
			p := roomtest.PinDAG(t, s, all)
			other := roomtest.Over("other", all[:at]...)
			q := beginDAG(t, s, other)
			linked, released := make(chan struct{}), false
			*s.Graph.BeforeRelease() = func([]graph.Node) {
				*s.Graph.BeforeRelease() = nil
				go func() {
					defer close(linked)
					q.link(t, s, other)
					if !released {
						t.Error("it did not wait for the stripe")
					}
				}()
				awaitWaiter(t, s, all[at-1])
				released = true
			}
			p.Remove(t, s)
			<-linked
			if whole, err := s.Graph.Whole(t.Context(), pin.DAGOf(all[at-1].Cid()), pin.Limits{}, true); err != nil || whole {
				t.Errorf("what was linked to too late is whole: %v, %v", whole, err)
			}
		})
	}
}

// halfWalk is a walk that has come to the one thing that its root links to.
type halfWalk struct {
	attempt pin.Attempt
	node    graph.Holder
}

func beginDAG(t *testing.T, s *roomtest.Store, all []blocks.Block) *halfWalk {
	t.Helper()
	root := dagtest.Last(all)
	r, err := s.Requests.Add(t.Context(), roomtest.Account, pin.Spec{CID: root.String(), Root: root})
	must(t, err)
	a, _, err := s.Requests.Begin(t.Context(), r.DAG())
	must(t, err)
	id, err := s.Graph.NewHolders(t.Context(), 1)
	must(t, err)
	return &halfWalk{a, id}
}

func (w *halfWalk) link(t *testing.T, s *roomtest.Store, all []blocks.Block) {
	root, below := all[len(all)-1], all[len(all)-2]
	err := s.Graph.Write(context.WithoutCancel(t.Context()), graph.Batch{
		Links: []graph.Link{
			{Holder: graph.HolderOf(w.attempt), Ref: roomtest.RefOf(root), Codec: cid.DagProtobuf},
			{Holder: w.node, Ref: roomtest.RefOf(below), Codec: below.Cid().Type()},
		},
		Nodes:  []graph.Node{{ID: w.node, DAG: pin.DAGOf(root.Cid()), Attempt: w.attempt}},
		Blocks: []graph.Block{{Hash: root.Cid().Hash(), Data: root.RawData()}},
	})
	if err != nil {
		t.Error(err)
	}
}
