package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	holding "github.com/holdfast-ipfs/holdfast/store/internal/graph"
)

// release removes a pin's request and leaves what it held to be dropped.
func (p *pinned) release(t *testing.T, s *Store) {
	t.Helper()
	_, released, err := s.requestRecords.Remove(t.Context(), benchAccount, p.request.ID)
	must(t, err)
	if !slices.Equal(released, []pin.Attempt{p.attempt}) {
		t.Fatalf("released %v, want %d", released, p.attempt)
	}
}

// over puts a root over blocks that are there: a DAG that shares them.
func over(name string, all ...blocks.Block) []blocks.Block {
	return append(slices.Clone(all), dagtest.PB(name, dagtest.Last(all)))
}

// However deep a DAG is, it goes in as many batches as its links fill, or a thousandth
// of its levels; and a batch is bounded.
func TestDropOfDeepDAGs(t *testing.T) {
	const n = 6000
	for _, shape := range deepShapes(n) {
		t.Run(shape.name, func(t *testing.T) {
			s := openTest(t, t.TempDir(), Config{})
			all := shape.make()
			p := pinDAG(t, s, all)
			batches := 0
			s.held.Drops.Cut = func(changes int) int {
				batches++
				if bound := 9 * holding.DropsPerBatch; changes > bound {
					t.Errorf("%d changes in a batch, more than %d", changes, bound)
				}
				return changes
			}
			p.remove(t, s)
			if bound := n/holding.LevelsPerBatch + n/holding.DropsPerBatch + 2; batches > bound {
				t.Errorf("%d batches, want no more than %d", batches, bound)
			}
			reclaimAll(t, s)
			checkHeld(t, s, nil)
		})
	}
}

// What a chain shares with another pin stays, wherever the other comes in.
func TestDropOfASharedTail(t *testing.T) {
	s := openTest(t, t.TempDir(), Config{})
	all := chainOf("shared", 3*holding.LevelsPerBatch, nil)
	for _, at := range []int{1, 100, holding.LevelsPerBatch, 2*holding.LevelsPerBatch + 1, len(all)} {
		tail := over("other", all[:at]...)
		p, q := pinDAG(t, s, all), pinDAG(t, s, tail)
		p.remove(t, s)
		reclaimAll(t, s)
		checkHeld(t, s, sizesOf(tail))
		q.remove(t, s)
		reclaimAll(t, s)
		checkHeld(t, s, nil)
	}
}

// smallChain is directories in a row, with a file each of their own and some in common.
func smallChain(name string, n int) []blocks.Block {
	return chainOf(name, n, func(i int) []blocks.Block {
		leaf := dagtest.Raw("in every directory of " + name)
		return []blocks.Block{leaf, dagtest.CBOR("twig of "+name, leaf.Cid()), dagtest.Raw(fmt.Sprint(name, "file", i))}
	})
}

// A Drop may be cut off after any of its changes, in one batch or between batches: then
// whoever comes before it is done again sees of each node that it is gone, or keeps it
// and all below.
func TestDropIsCutOffAnywhere(t *testing.T) {
	for _, levels := range []int{holding.LevelsPerBatch, 2} {
		t.Run(fmt.Sprint(levels, " levels in a batch"), func(t *testing.T) {
			s := openTest(t, t.TempDir(), Config{})
			s.held.Drops.Levels = levels
			for n, whole := 0, false; !whole && !t.Failed(); n++ {
				whole = cutDrop(t, s, n)
			}
		})
	}
}

// cutDrop cuts a Drop off after n changes, has others come, and does it again. whole is
// whether it has no more.
func cutDrop(t *testing.T, s *Store, n int) (whole bool) {
	t.Helper()
	name := fmt.Sprint("cut ", n, " ")
	all := smallChain(name, 6)
	tail := over(name+"tail", all[:8]...)
	p, q := pinDAG(t, s, all), pinDAG(t, s, tail)
	p.release(t, s)
	left := n
	s.held.Drops.Cut = func(of int) int { left -= of; return left + of }
	err := s.held.Drop(t.Context(), p.attempt)
	s.held.Drops.Cut = nil
	if whole = left >= 0; whole != (err == nil) || !whole && !errors.Is(err, holding.ErrCut) {
		t.Fatalf("cut off after %d: %v", n, err)
	}
	held := tail
	others := []*pinned{q}
	for i, at := range []int{len(all), 16, 12} { // the head, and two on the way
		if n%2 == 0 || i == n/2%3 { // all of them, or one
			late := over(fmt.Sprint(name, "late", i), all[:at]...)
			others = append(others, pinDAG(t, s, late))
			held = append(held, late...)
		}
	}
	must(t, s.held.Drop(t.Context(), p.attempt))
	reclaimAll(t, s)
	for _, b := range held {
		if !has(t, s, b) {
			t.Errorf("cut off after %d changes: %s is lost", n, b.Cid())
		}
	}
	for _, o := range others {
		o.remove(t, s)
	}
	reclaimAll(t, s)
	checkHeld(t, s, nil)
	return whole
}

// A walk that was slow to stop writes that its attempt is whole when that was released,
// or is being dropped: nobody may go by it, and it goes with the attempt.
func TestLateMarkOfBeingWhole(t *testing.T) {
	for name, write := range map[string]func(s *Store, late func()){
		"before the drop": func(_ *Store, late func()) { late() },
		"before stripes":  func(s *Store, late func()) { s.held.Drops.BeforeStripes = late },
		"with the stripes held": func(s *Store, late func()) {
			s.held.BeforeRelease = func([]graph.Node) { late() }
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := openTest(t, t.TempDir(), Config{})
			all := smallChain("late", 5)
			p := pinDAG(t, s, all)
			p.release(t, s)
			write(s, func() {
				must(t, s.held.Write(context.WithoutCancel(t.Context()), graph.Batch{Whole: []graph.Holder{graph.HolderOf(p.attempt)}}))
			})
			// The nodes are gone, and the attempt's own link is not.
			s.held.Drops.Cut = func(changes int) int { return changes - 3 }
			if err := s.held.Drop(t.Context(), p.attempt); !errors.Is(err, holding.ErrCut) {
				t.Fatal(err)
			}
			s.held.Drops, s.held.BeforeRelease = holding.Drops{}, nil
			if n := len(links(t, s, graph.HolderOf(p.attempt))); n != 1 {
				t.Fatalf("the attempt has %d links", n)
			}
			if whole, err := s.held.Whole(t.Context(), p.request.DAG(), pin.Limits{}, true); err != nil || whole {
				t.Errorf("what is gone is whole: %v, %v", whole, err)
			}
			late := over("late", all...)
			q := pinDAG(t, s, late)
			must(t, s.held.Drop(t.Context(), p.attempt))
			reclaimAll(t, s)
			checkHeld(t, s, sizesOf(late))
			q.remove(t, s)
			reclaimAll(t, s)
			checkHeld(t, s, nil)
		})
	}
}

// A link to a node far down, which the same batch releases that releases all above it:
// in time it keeps the node and what is below, whatever was found out before the stripes
// were taken; later it sees that the node is gone.
func TestLinkRacesReleaseFarDown(t *testing.T) {
	for _, at := range []int{2, 11, 23} { // of 24, from the bottom
		t.Run(fmt.Sprint("in time ", at), func(t *testing.T) {
			s := openTest(t, t.TempDir(), Config{})
			all := chainOf("race", 24, nil)
			p := pinDAG(t, s, all)
			other := over("other", all[:at]...)
			q := beginDAG(t, s, other)
			s.held.Drops.BeforeStripes = func() {
				s.held.Drops.BeforeStripes = nil
				q.link(t, s, other)
			}
			p.remove(t, s)
			if whole, err := s.held.Whole(t.Context(), pin.DAGOf(all[at-1].Cid()), pin.Limits{}, true); err != nil || !whole {
				t.Errorf("what was linked to in time is whole: %v, %v", whole, err)
			}
			must(t, s.held.Write(t.Context(), graph.Batch{Whole: []graph.Holder{q.node, graph.HolderOf(q.attempt)}}))
			reclaimAll(t, s)
			checkHeld(t, s, sizesOf(other))
		})
		t.Run(fmt.Sprint("too late ", at), func(t *testing.T) {
			s := openTest(t, t.TempDir(), Config{})
			all := chainOf("race", 24, nil)
			p := pinDAG(t, s, all)
			other := over("other", all[:at]...)
			q := beginDAG(t, s, other)
			linked, released := make(chan struct{}), false
			s.held.BeforeRelease = func([]graph.Node) {
				s.held.BeforeRelease = nil
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
			p.remove(t, s)
			<-linked
			if whole, err := s.held.Whole(t.Context(), pin.DAGOf(all[at-1].Cid()), pin.Limits{}, true); err != nil || whole {
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

func beginDAG(t *testing.T, s *Store, all []blocks.Block) *halfWalk {
	t.Helper()
	root := dagtest.Last(all)
	r, err := s.requestRecords.Add(t.Context(), benchAccount, pin.Spec{CID: root.String(), Root: root})
	must(t, err)
	a, _, err := s.requestRecords.Begin(t.Context(), r.DAG())
	must(t, err)
	id, err := s.held.NewHolders(t.Context(), 1)
	must(t, err)
	return &halfWalk{a, id}
}

func (w *halfWalk) link(t *testing.T, s *Store, all []blocks.Block) {
	root, below := all[len(all)-1], all[len(all)-2]
	err := s.held.Write(context.WithoutCancel(t.Context()), graph.Batch{
		Links: []graph.Link{
			{Holder: graph.HolderOf(w.attempt), Ref: refOf(root), Codec: cid.DagProtobuf},
			{Holder: w.node, Ref: refOf(below), Codec: below.Cid().Type()},
		},
		Nodes:  []graph.Node{{ID: w.node, DAG: pin.DAGOf(root.Cid()), Attempt: w.attempt}},
		Blocks: []graph.Block{{Hash: root.Cid().Hash(), Data: root.RawData()}},
	})
	if err != nil {
		t.Error(err)
	}
}
