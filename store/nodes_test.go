package store

import (
	"context"
	"testing"
	"time"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/node/walk"
	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	holding "github.com/holdfast-ipfs/holdfast/store/internal/graph"
)

func TestWalkStore(t *testing.T) {
	walktest.RunStore(t, func(t *testing.T) walktest.WalkStore { return openTest(t, t.TempDir(), Config{}) })
}

// freeSlot is a worker that is always free.
type freeSlot struct{}

func (freeSlot) Acquire(ctx context.Context) error { return ctx.Err() }
func (freeSlot) Release()                          {}

// pinDAG pins a DAG, as a client and a walk do.
func pinDAG(tb testing.TB, s *Store, all []blocks.Block) *pinned {
	tb.Helper()
	root := dagtest.Last(all)
	r, err := s.requestRecords.Add(tb.Context(), benchAccount, pin.Spec{CID: root.String(), Root: root})
	must(tb, err)
	a, complete, err := s.requestRecords.Begin(tb.Context(), r.DAG())
	must(tb, err)
	p := &pinned{request: r, attempt: a}
	if complete {
		return p
	}
	t := walkDAG(tb, s, a, all)
	_, err = s.requestRecords.Complete(tb.Context(), r.DAG(), a, t)
	must(tb, err)
	return p
}

// walkDAG brings a DAG to disk under an attempt.
func walkDAG(tb testing.TB, s *Store, a pin.Attempt, all []blocks.Block) pin.Totals {
	tb.Helper()
	asker := walktest.NewNetwork(all...).Asker(100, 1)
	defer asker.Close()
	t, err := walk.Run(tb.Context(), walk.Config{Store: s, Asker: asker, Dir: tb.TempDir()}, pin.Job{
		DAG: pin.DAGOf(dagtest.Last(all)), Attempt: a, Progress: new(pin.Progress), Slot: freeSlot{},
	})
	must(tb, err)
	return t
}

func sizesOf(bs []blocks.Block) map[string]int {
	sizes := map[string]int{}
	for _, b := range bs {
		sizes[string(b.Cid().Hash())] = len(b.RawData())
	}
	return sizes
}

// Unpinning takes what nothing else holds, however deep, and no more.
func TestDropCascades(t *testing.T) {
	s := openTest(t, t.TempDir(), Config{})
	one := dagtest.Tree(dagtest.Leaves(300, 50), 5)
	part := dagtest.Tree(dagtest.Leaves(300, 50)[:25], 5) // below one, too
	over := append(append([]blocks.Block(nil), part...), dagtest.Raw("x"), dagtest.PB("over", dagtest.Last(part), dagtest.Raw("x").Cid()))
	p, q, o := pinDAG(t, s, one), pinDAG(t, s, part), pinDAG(t, s, over)
	union := sizesOf(append(append([]blocks.Block(nil), one...), over...))
	reclaimAll(t, s)
	checkHeld(t, s, union)
	p.remove(t, s)
	reclaimAll(t, s)
	checkHeld(t, s, sizesOf(over))
	q.remove(t, s)
	reclaimAll(t, s)
	checkHeld(t, s, sizesOf(over))
	again := pinDAG(t, s, one)
	reclaimAll(t, s)
	checkHeld(t, s, union)
	o.remove(t, s)
	again.remove(t, s)
	if n := reclaimAll(t, s); n != uint64(len(union)) {
		t.Errorf("%d blocks were deleted of %d", n, len(union))
	}
	checkHeld(t, s, nil)
}

// Dropping a linked list takes no memory for each node, and can be interrupted at
// each of them.
func TestDropIsInterrupted(t *testing.T) {
	s := openTest(t, t.TempDir(), Config{})
	all := dagtest.Chain(60)
	p := pinDAG(t, s, all)
	kept := pinDAG(t, s, all[:20])
	_, released, err := s.requestRecords.Remove(t.Context(), benchAccount, p.request.ID)
	must(t, err)
	s.held.Drops.Levels = 3 // so that there is something between batches
	for cut := 1; len(released) > 0; cut++ {
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		s.held.BeforeRelease = func([]graph.Node) {
			if n++; n == cut%7 {
				cancel()
			}
		}
		err := s.held.Drop(ctx, released[0])
		if err != nil && ctx.Err() == nil {
			t.Fatal(err)
		}
		cancel()
		if cut > 200 {
			t.Fatal("it does not end")
		}
		released, err = s.held.Released(t.Context())
		must(t, err)
	}
	s.held.BeforeRelease = nil
	reclaimAll(t, s)
	checkHeld(t, s, sizesOf(all[:20]))
	kept.remove(t, s)
	reclaimAll(t, s)
	checkHeld(t, s, nil)
}

// Two attempts read the same node at the same time; when one is let go of the other
// keeps all that is below.
func TestDropBesideARunningWalk(t *testing.T) {
	s := openTest(t, t.TempDir(), Config{})
	all := dagtest.Tree(dagtest.Leaves(100, 50), 5)
	over := append(append([]blocks.Block(nil), all...), dagtest.PB("over", dagtest.Last(all)))
	p := pinDAG(t, s, all)
	// Half of a walk: it has linked to the root, and seen that it is whole.
	r, err := s.requestRecords.Add(t.Context(), benchAccount, pin.Spec{CID: dagtest.Last(over).String(), Root: dagtest.Last(over)})
	must(t, err)
	a, _, err := s.requestRecords.Begin(t.Context(), r.DAG())
	must(t, err)
	id, err := s.held.NewHolders(t.Context(), 1)
	must(t, err)
	root := over[len(over)-1]
	must(t, s.held.Write(t.Context(), graph.Batch{
		Links: []graph.Link{
			{Holder: graph.HolderOf(a), Ref: refOf(root), Codec: cid.DagProtobuf},
			{Holder: id, Ref: refOf(all[len(all)-1]), Codec: cid.DagProtobuf},
		},
		Nodes:  []graph.Node{{ID: id, DAG: r.DAG(), Attempt: a}},
		Blocks: []graph.Block{{Hash: root.Cid().Hash(), Data: root.RawData()}},
	}))
	whole, err := s.held.Whole(t.Context(), p.request.DAG(), pin.Limits{}, true)
	if err != nil || !whole {
		t.Fatalf("%v, %v", whole, err)
	}
	p.remove(t, s)
	reclaimAll(t, s)
	if whole, err = s.held.Whole(t.Context(), p.request.DAG(), pin.Limits{}, true); err != nil || !whole {
		t.Errorf("it is whole: %v, %v", whole, err)
	}
	must(t, s.held.Write(t.Context(), graph.Batch{Whole: []graph.Holder{id, graph.HolderOf(a)}}))
	checkHeld(t, s, sizesOf(over))
}

// A link to a node and its release, forced in both orders: whoever relies on the node
// links first and then looks, and so either keeps it or sees that it is gone.
func TestLinkRacesRelease(t *testing.T) {
	t.Run("link first", func(t *testing.T) {
		s, p, root := racingPins(t)
		s.held.DuringWrite = func() {
			s.held.DuringWrite = nil
			dropped := make(chan struct{})
			go func() {
				defer close(dropped)
				p.remove(t, s)
			}()
			t.Cleanup(func() { <-dropped })
			awaitWaiter(t, s, root)
		}
		must(t, s.held.Write(t.Context(), linkFromElsewhere(root)))
		waitReleased(t, s)
		if whole, err := s.held.Whole(t.Context(), pin.DAGOf(root.Cid()), pin.Limits{}, true); err != nil || !whole {
			t.Errorf("what was linked to in time is whole: %v, %v", whole, err)
		}
	})
	t.Run("release first", func(t *testing.T) {
		s, p, root := racingPins(t)
		linked := make(chan error, 1)
		s.held.BeforeRelease = func([]graph.Node) {
			s.held.BeforeRelease = nil
			go func() { linked <- s.held.Write(context.WithoutCancel(t.Context()), linkFromElsewhere(root)) }()
			awaitWaiter(t, s, root)
		}
		p.remove(t, s)
		must(t, <-linked)
		if whole, err := s.held.Whole(t.Context(), pin.DAGOf(root.Cid()), pin.Limits{}, true); err != nil || whole {
			t.Errorf("what was linked to too late is whole: %v, %v", whole, err)
		}
	})
}

func racingPins(t *testing.T) (*Store, *pinned, blocks.Block) {
	s := openTest(t, t.TempDir(), Config{})
	all := dagtest.Tree(dagtest.Leaves(10, 50), 5)
	return s, pinDAG(t, s, all), all[len(all)-1]
}

func linkFromElsewhere(b blocks.Block) graph.Batch {
	return graph.Batch{Links: []graph.Link{{Holder: 1 << 40, Ref: refOf(b), Codec: cid.DagProtobuf}}}
}

func TestMeasure(t *testing.T) {
	s := openTest(t, t.TempDir(), Config{})
	leaves := dagtest.Leaves(4000, 50)
	pinDAG(t, s, dagtest.Tree(leaves, 20))
	for i := range 5 {
		leaves = append([]blocks.Block(nil), leaves...)
		leaves[100*i] = dagtest.Raw(string(make([]byte, i+1)))
		leaves[2000+i] = leaves[7] // which is there twice then
		now := dagtest.Tree(leaves, 20)
		p := pinDAG(t, s, now)
		n, size := dagtest.Distinct(now)
		got, ok, err := s.held.DAGTotals(t.Context(), p.request.DAG())
		if want := (pin.Totals{Blocks: uint64(n), Bytes: uint64(size)}); err != nil || !ok || got != want {
			t.Errorf("version %d has %+v, %v, %v, want %+v", i, got, ok, err, want)
		}
	}
}

// awaitWaiter waits until somebody waits for the stripe of a block, which is held.
func awaitWaiter(t *testing.T, s *Store, b blocks.Block) {
	t.Helper()
	stripe := &s.held.Claims.Stripes[s.held.Claims.Index(b.Cid().Hash())]
	for deadline := time.Now().Add(20 * time.Millisecond); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		// The longer, the surer to catch one who does not wait.
		if stripe.TryRLock() {
			stripe.RUnlock()
		}
	}
}

// waitReleased waits until all that was released is dropped.
func waitReleased(t *testing.T, s *Store) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		released, err := s.held.Released(t.Context())
		must(t, err)
		page, err := s.requestRecords.List(t.Context(), benchAccount, pin.Query{Statuses: pin.Statuses()})
		must(t, err)
		if len(released)+page.Count == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("it is not dropped")
		}
	}
}

// What is damaged below a node that several DAGs share is found to hurt all of them,
// is not passed over any more, and is mended by going to it and nowhere else.
func TestRepairOfSharedNodes(t *testing.T) {
	s := openTest(t, t.TempDir(), Config{})
	all := dagtest.Tree(dagtest.Leaves(500, 50), 5)
	over := append(all[:len(all):len(all)], dagtest.PB("over", dagtest.Last(all)))
	other := append(all[:len(all):len(all)], dagtest.PB("other", dagtest.Last(all)))
	p, q, r := pinDAG(t, s, all), pinDAG(t, s, over), pinDAG(t, s, other)
	p.remove(t, s) // whose nodes live on below the others
	reclaimAll(t, s)
	want := sizesOf(append(over, other[len(other)-1]))
	checkHeld(t, s, want)
	for _, damage := range []func(b blocks.Block){
		func(b blocks.Block) { overwrite(t, s, b, []byte("torn")) },
		func(b blocks.Block) { must(t, s.set(holding.BlockKey(b.Cid().Hash()), nil)) },
	} {
		for _, b := range []blocks.Block{all[123], all[len(all)-1]} {
			damage(b)
			s.kv.LookAfresh() // a real disk does not show what was there a moment ago
			found, report := verify(t, s)
			d := found[string(b.Cid().Hash())]
			if len(found) != 1 || len(d.DAGs) != 2 || report.Damaged() != 1 {
				t.Fatalf("found %v, %+v", found, report)
			}
			for _, hurt := range d.DAGs {
				_, err := s.requestRecords.Refetch(t.Context(), hurt.DAG)
				must(t, err)
			}
			for n, p := range []*pinned{q, r} {
				a, complete, err := s.requestRecords.Begin(t.Context(), p.request.DAG())
				if err != nil || complete || a != p.attempt {
					t.Fatalf("Begin gives %d, %v, %v", a, complete, err)
				}
				whole := over
				if n == 1 {
					whole = other
				}
				totals := walkDAG(t, s, a, whole)
				if totals.Blocks != uint64(len(whole)) {
					t.Errorf("totals %+v of %d", totals, len(whole))
				}
				_, err = s.requestRecords.Complete(t.Context(), p.request.DAG(), a, totals)
				must(t, err)
			}
			checkHeld(t, s, want)
		}
	}
	q.remove(t, s)
	r.remove(t, s)
	reclaimAll(t, s)
	checkHeld(t, s, nil)
}
