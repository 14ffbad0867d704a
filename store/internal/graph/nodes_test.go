package graph_test

import (
	"context"
	"testing"
	"time"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
)

func TestWalkStore(t *testing.T) {
	walktest.RunStore(t, func(t *testing.T) walktest.WalkStore { return roomtest.Open(t, t.TempDir(), roomtest.Config{}) })
}

// Unpinning takes what nothing else holds, however deep, and no more.
func TestDropCascades(t *testing.T) {
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{})
	one := dagtest.Tree(dagtest.Leaves(300, 50), 5)
	part := dagtest.Tree(dagtest.Leaves(300, 50)[:25], 5) // below one, too
	over := append(append([]blocks.Block(nil), part...), dagtest.Raw("x"), dagtest.PB("over", dagtest.Last(part), dagtest.Raw("x").Cid()))
	p, q, o := roomtest.PinDAG(t, s, one), roomtest.PinDAG(t, s, part), roomtest.PinDAG(t, s, over)
	union := roomtest.SizesOf(append(append([]blocks.Block(nil), one...), over...))
	roomtest.ReclaimAll(t, s)
	roomtest.CheckHeld(t, s, union)
	p.Remove(t, s)
	roomtest.ReclaimAll(t, s)
	roomtest.CheckHeld(t, s, roomtest.SizesOf(over))
	q.Remove(t, s)
	roomtest.ReclaimAll(t, s)
	roomtest.CheckHeld(t, s, roomtest.SizesOf(over))
	again := roomtest.PinDAG(t, s, one)
	roomtest.ReclaimAll(t, s)
	roomtest.CheckHeld(t, s, union)
	o.Remove(t, s)
	again.Remove(t, s)
	if n := roomtest.ReclaimAll(t, s); n != uint64(len(union)) {
		t.Errorf("%d blocks were deleted of %d", n, len(union))
	}
	roomtest.CheckHeld(t, s, nil)
}

// Dropping a linked list takes no memory for each node, and can be interrupted at
// each of them.
func TestDropIsInterrupted(t *testing.T) {
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{})
	all := dagtest.Chain(60)
	p := roomtest.PinDAG(t, s, all)
	kept := roomtest.PinDAG(t, s, all[:20])
	_, released, err := s.Requests.Remove(t.Context(), roomtest.Account, p.Request.ID)
	must(t, err)
	*s.Graph.Levels() = 3 // so that there is something between batches
	for cut := 1; len(released) > 0; cut++ {
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		*s.Graph.BeforeRelease() = func([]graph.Node) {
			if n++; n == cut%7 {
				cancel()
			}
		}
		err := s.Graph.Drop(ctx, released[0])
		if err != nil && ctx.Err() == nil {
			t.Fatal(err)
		}
		cancel()
		if cut > 200 {
			t.Fatal("it does not end")
		}
		released, err = s.Graph.Released(t.Context())
		must(t, err)
	}
	*s.Graph.BeforeRelease() = nil
	roomtest.ReclaimAll(t, s)
	roomtest.CheckHeld(t, s, roomtest.SizesOf(all[:20]))
	kept.Remove(t, s)
	roomtest.ReclaimAll(t, s)
	roomtest.CheckHeld(t, s, nil)
}

// Two attempts read the same node at the same time; when one is let go of the other
// keeps all that is below.
func TestDropBesideARunningWalk(t *testing.T) {
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{})
	all := dagtest.Tree(dagtest.Leaves(100, 50), 5)
	over := append(append([]blocks.Block(nil), all...), dagtest.PB("over", dagtest.Last(all)))
	p := roomtest.PinDAG(t, s, all)
	// Half of a walk: it has linked to the root, and seen that it is whole.
	r, err := s.Requests.Add(t.Context(), roomtest.Account, pin.Spec{CID: dagtest.Last(over).String(), Root: dagtest.Last(over)})
	must(t, err)
	a, _, err := s.Requests.Begin(t.Context(), r.DAG())
	must(t, err)
	id, err := s.Graph.NewHolders(t.Context(), 1)
	must(t, err)
	root := over[len(over)-1]
	must(t, s.Graph.Write(t.Context(), graph.Batch{
		Links: []graph.Link{
			{Holder: graph.HolderOf(a), Ref: roomtest.RefOf(root), Codec: cid.DagProtobuf},
			{Holder: id, Ref: roomtest.RefOf(all[len(all)-1]), Codec: cid.DagProtobuf},
		},
		Nodes:  []graph.Node{{ID: id, DAG: r.DAG(), Attempt: a}},
		Blocks: []graph.Block{{Hash: root.Cid().Hash(), Data: root.RawData()}},
	}))
	whole, err := s.Graph.Whole(t.Context(), p.Request.DAG(), pin.Limits{}, true)
	if err != nil || !whole {
		t.Fatalf("%v, %v", whole, err)
	}
	p.Remove(t, s)
	roomtest.ReclaimAll(t, s)
	if whole, err = s.Graph.Whole(t.Context(), p.Request.DAG(), pin.Limits{}, true); err != nil || !whole {
		t.Errorf("it is whole: %v, %v", whole, err)
	}
	must(t, s.Graph.Write(t.Context(), graph.Batch{Whole: []graph.Holder{id, graph.HolderOf(a)}}))
	roomtest.CheckHeld(t, s, roomtest.SizesOf(over))
}

// A link to a node and its release, forced in both orders: whoever relies on the node
// links first and then looks, and so either keeps it or sees that it is gone.
func TestLinkRacesRelease(t *testing.T) {
	t.Run("link first", func(t *testing.T) {
		s, p, root := racingPins(t)
		*s.Graph.DuringWrite() = func() {
			*s.Graph.DuringWrite() = nil
			dropped := make(chan struct{})
			go func() {
				defer close(dropped)
				p.Remove(t, s)
			}()
			t.Cleanup(func() { <-dropped })
			awaitWaiter(t, s, root)
		}
		must(t, s.Graph.Write(t.Context(), linkFromElsewhere(root)))
		waitReleased(t, s)
		if whole, err := s.Graph.Whole(t.Context(), pin.DAGOf(root.Cid()), pin.Limits{}, true); err != nil || !whole {
			t.Errorf("what was linked to in time is whole: %v, %v", whole, err)
		}
	})
	t.Run("release first", func(t *testing.T) {
		s, p, root := racingPins(t)
		linked := make(chan error, 1)
		*s.Graph.BeforeRelease() = func([]graph.Node) {
			*s.Graph.BeforeRelease() = nil
			go func() { linked <- s.Graph.Write(context.WithoutCancel(t.Context()), linkFromElsewhere(root)) }()
			awaitWaiter(t, s, root)
		}
		p.Remove(t, s)
		must(t, <-linked)
		if whole, err := s.Graph.Whole(t.Context(), pin.DAGOf(root.Cid()), pin.Limits{}, true); err != nil || whole {
			t.Errorf("what was linked to too late is whole: %v, %v", whole, err)
		}
	})
}

func racingPins(t *testing.T) (*roomtest.Store, *roomtest.Pinned, blocks.Block) {
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{})
	all := dagtest.Tree(dagtest.Leaves(10, 50), 5)
	return s, roomtest.PinDAG(t, s, all), all[len(all)-1]
}

func linkFromElsewhere(b blocks.Block) graph.Batch {
	return graph.Batch{Links: []graph.Link{{Holder: 1 << 40, Ref: roomtest.RefOf(b), Codec: cid.DagProtobuf}}}
}

func TestMeasure(t *testing.T) {
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{})
	leaves := dagtest.Leaves(4000, 50)
	roomtest.PinDAG(t, s, dagtest.Tree(leaves, 20))
	for i := range 5 {
		leaves = append([]blocks.Block(nil), leaves...)
		leaves[100*i] = dagtest.Raw(string(make([]byte, i+1)))
		leaves[2000+i] = leaves[7] // which is there twice then
		now := dagtest.Tree(leaves, 20)
		p := roomtest.PinDAG(t, s, now)
		n, size := dagtest.Distinct(now)
		got, ok, err := s.Graph.DAGTotals(t.Context(), p.Request.DAG())
		if want := (pin.Totals{Blocks: uint64(n), Bytes: uint64(size)}); err != nil || !ok || got != want {
			t.Errorf("version %d has %+v, %v, %v, want %+v", i, got, ok, err, want)
		}
	}
}

// awaitWaiter waits until somebody waits for the stripe of a block, which is held.
func awaitWaiter(t *testing.T, s *roomtest.Store, b blocks.Block) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Millisecond); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		// The longer, the surer to catch one who does not wait.
		s.TryStripe(s.Stripe(b.Cid().Hash()), false)
	}
}

// waitReleased waits until all that was released is dropped.
func waitReleased(t *testing.T, s *roomtest.Store) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		released, err := s.Graph.Released(t.Context())
		must(t, err)
		page, err := s.Requests.List(t.Context(), roomtest.Account, pin.Query{Statuses: pin.Statuses()})
		must(t, err)
		if len(released)+page.Count == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("it is not dropped")
		}
	}
}
