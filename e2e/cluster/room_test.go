//go:build cluster

package cluster

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/cluster/peers"
	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// noRoom is a floor that no disk has free, and someRoom one that it has.
const (
	noRoom   = "HOLDFAST_STORE_MIN_FREE_SPACE=1000TiB"
	someRoom = "HOLDFAST_STORE_MIN_FREE_SPACE=64MiB"
)

// A node whose disk is full gets no new pins, and gets some again when there is room.
func TestDiskIsFull(t *testing.T) {
	ctx := within(t, 5*time.Minute)
	w := newWorld(t, ctx, 3, peers.Options{Min: 1, Max: 2, RecoverEvery: 5 * time.Second})
	w.nodes[0].restart(t, noRoom)
	size, room := uint64(0), uint64(1)
	if size, room = must2(w.nodes[0].Space(ctx))(t); room != 0 {
		t.Errorf("it has %d bytes and says that %d more may come", size, room)
	}
	full := w.Peers[0].ID
	eventually(t, ctx, "cluster knows that it is full", func() bool {
		m, err := w.Peers[1].Metrics(ctx, "freespace")
		return err == nil && len(m) == 2
	})
	some := files(t, ctx, w.source, 6_000, 20, 3)
	for _, c := range some {
		check(t, w.Peers[1].Pin(ctx, c, nil))
	}
	check(t, w.Peers[1].AwaitPinned(ctx, 2, some...))
	for _, a := range must(w.Peers[1].Allocations(ctx))(t) {
		for _, id := range a.Allocations {
			if id == full {
				t.Errorf("%s is allocated to the node that is full", a.CID)
			}
		}
	}
	// What is to be everywhere fails there, and says why, until there is room.
	forced := file(t, ctx, w.source, 6_100, 3)
	check(t, w.Peers[1].Pin(ctx, forced, url.Values{"replication-min": {"-1"}, "replication-max": {"-1"}}))
	eventually(t, ctx, "it says why", func() bool {
		is, err := w.Peers[0].Here(ctx, forced)
		return err == nil && strings.Contains(is.Error, "too full")
	})
	w.nodes[0].restart(t, someRoom)
	check(t, w.AwaitPeers(ctx, 3))
	check(t, w.Peers[1].AwaitPinned(ctx, 3, forced))
	more := files(t, ctx, w.source, 6_200, 30, 3)
	for _, c := range more {
		check(t, w.Peers[1].Pin(ctx, c, nil))
	}
	check(t, w.Peers[1].AwaitPinned(ctx, 2, more...))
	w.agrees(t, ctx)
	if pins := must(w.nodes[0].Pins(ctx))(t); len(pins) == 0 {
		t.Error("it got no pins again")
	}
}

// must2 is must for two values.
func must2[A, B any](a A, b B, err error) func(*testing.T) (A, B) {
	return func(t *testing.T) (A, B) {
		t.Helper()
		check(t, err)
		return a, b
	}
}

// While a pin moves, there are never fewer copies of it that can be read than it is to have: also
// when its source is gone, and the node that it leaves is told to unpin first.
func TestMove(t *testing.T) {
	for _, copies := range []int{1, 2} {
		t.Run(fmt.Sprint(copies), func(t *testing.T) {
			if s := move(t, copies, 0); s.fewest < copies {
				t.Errorf("there were %d copies of %d", s.fewest, copies)
			}
		})
	}
}

// The same move over Kubos that give back space as the Holdfasts do. What is seen there is logged: in how
// many samples there are fewer copies, and what is lost, depends on how long the new ones take.
func TestMoveOverKubos(t *testing.T) {
	for _, copies := range []int{1, 2} {
		t.Run(fmt.Sprint(copies), func(t *testing.T) { move(t, copies, 3) })
	}
}

// move moves pins from a node that is full, with so many Kubos in the place of Holdfasts.
func move(t *testing.T, copies, kubos int) seen {
	ctx := within(t, 6*time.Minute)
	o := peers.Options{
		Min: copies, Max: copies, PinTimeout: 2 * time.Minute,
		// A recovery that runs while the pinset changes may pin again what was just unpinned: cluster
		// does that, and nothing of it takes the pin away again.
		RecoverEvery: 12 * time.Minute,
	}
	var w *world
	if kubos > 0 {
		w = newWorldOf(t, ctx, 3-kubos, kubos, o)
	} else {
		w = newWorld(t, ctx, 3, o, "HOLDFAST_STORE_RECLAIM_INTERVAL=1s")
	}
	small, big := files(t, ctx, w.source, 8_000, 30, 20), file(t, ctx, w.source, 8_100, 10_000)
	all := append(slices.Clone(small), big)
	for _, c := range all {
		check(t, w.Peers[1].Pin(ctx, c, nil))
	}
	check(t, w.Peers[1].AwaitPinned(ctx, copies, all...))
	w.agrees(t, ctx)
	full := w.busiestWith(t, ctx, big) // so that the large one moves, which takes seconds
	leaves := must(w.nodes[full].Pins(ctx))(t)
	w.nodes[full].fill(t, ctx, true)
	w.source.Kill()
	if kubos > 0 {
		defer w.collects(ctx)()
	}
	other := w.Peers[(full+1)%3]
	eventually(t, ctx, "cluster knows that it is full", func() bool {
		m, err := other.Metrics(ctx, "freespace")
		return err == nil && len(m) == 2
	})
	// To look through the large one takes longer than 100 ms.
	watch, watchBig := watchCopies(ctx, w, small, copies), watchCopies(ctx, w, []string{big}, copies)
	for c := range leaves {
		check(t, other.Pin(ctx, c, url.Values{"replication-min": {fmt.Sprint(copies)}, "replication-max": {fmt.Sprint(copies)}}))
	}
	eventually(t, ctx, "the pinset has them elsewhere", func() bool {
		list, err := other.Allocations(ctx)
		for _, a := range list {
			if slices.Contains(a.Allocations, w.Peers[full].ID) {
				return false
			}
		}
		return err == nil
	})
	if kubos == 0 {
		w.agrees(t, ctx)
	} else {
		// What was given up before it came elsewhere is lost, and its pin is never there.
		soon, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		_ = rig.Poll(soon, time.Second, func() (bool, error) { return w.disagrees(soon) == "", nil })
	}
	s, ofBig := watch(), watchBig()
	t.Logf("%d samples of %d pins while %d moved: %d with fewer than %d copies, never fewer than %d; of the large one %d, %d of them with fewer, never fewer than %d",
		s.samples, len(small), len(leaves), s.fewer, copies, s.fewest, ofBig.samples, ofBig.fewer, ofBig.fewest)
	if s.samples < 10 && kubos == 0 {
		t.Error("that was too quick to see anything")
	}
	s.fewest = min(s.fewest, ofBig.fewest)
	if kubos > 0 {
		lost := 0
		for _, c := range all {
			if w.fewest(ctx, []string{c}) == 0 {
				lost++
			}
		}
		t.Logf("%d of %d are lost", lost, len(all))
		return s
	}
	if pins := must(w.nodes[full].Pins(ctx))(t); len(pins) != 0 {
		t.Errorf("the node that is full has %d pins", len(pins))
	}
	for c := range leaves {
		if w.nodes[full].kubo == nil && !w.nodes[full].Has(ctx, c) {
			t.Errorf("%s does not linger", c)
		}
	}
	check(t, w.nodes[full].Call(ctx, "repo/gc", url.Values{"stream-errors": {"true"}}, nil))
	eventually(t, ctx, "what it let go of is gone", func() bool {
		for c := range leaves {
			if w.nodes[full].Has(ctx, c) {
				return false
			}
		}
		return true
	})
	for _, c := range all {
		if n := w.copies(ctx, c); n != copies {
			t.Errorf("%s has %d copies", c, n)
		}
	}
	return s
}

// busiestWith is the node with the most pins, of those that have pinned a CID.
func (w *world) busiestWith(t *testing.T, ctx context.Context, c string) (which int) {
	most := -1
	for i, n := range w.nodes {
		if pins := must(n.Pins(ctx))(t); pins[c] && len(pins) > most {
			which, most = i, len(pins)
		}
	}
	return which
}

// seen is what was seen of the copies of some DAGs.
type seen struct {
	samples, fewer int // fewer is in how many samples one had fewer than it was to have
	fewest         int // copies that one had
}

// watchCopies counts the copies that can be read, every 100 ms, until the function that it returns
// is called.
func watchCopies(ctx context.Context, w *world, all []string, copies int) (end func() seen) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	s := seen{fewest: copies}
	wg.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			n := w.fewest(ctx, all)
			if ctx.Err() != nil {
				return
			}
			s.fewest = min(s.fewest, n)
			s.samples++
			if n < copies {
				s.fewer++
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	})
	return func() seen {
		cancel()
		wg.Wait()
		return s
	}
}

// fewest is how many copies the DAG has that has the fewest. What is asked of one node is asked at
// the same time, so that a sample is short.
func (w *world) fewest(ctx context.Context, all []string) int {
	counts := make([]atomic.Int64, len(all))
	var wg sync.WaitGroup
	for _, n := range w.nodes {
		for i, c := range all {
			wg.Go(func() {
				if n.Has(ctx, c) {
					counts[i].Add(1)
				}
			})
		}
	}
	wg.Wait()
	least := int64(len(w.nodes))
	for i := range counts {
		least = min(least, counts[i].Load())
	}
	return int(least)
}

// Replication goes up and down, and what is not wanted any more goes.
func TestReplicationChanges(t *testing.T) {
	ctx := within(t, 5*time.Minute)
	// As in move, no recovery runs while the pinset changes.
	w := newWorld(t, ctx, 3, peers.Options{Min: 2, Max: 2, RecoverEvery: 12 * time.Minute},
		"HOLDFAST_RPC_UNPIN_GRACE=10s", "HOLDFAST_STORE_RECLAIM_INTERVAL=1s")
	all := files(t, ctx, w.source, 9_000, 20, 10)
	for _, n := range []int{2, 3, 1} {
		for _, c := range all {
			check(t, w.Peers[0].Pin(ctx, c, url.Values{"replication-min": {fmt.Sprint(n)}, "replication-max": {fmt.Sprint(n)}}))
		}
		eventually(t, ctx, "the pinset has it", func() bool {
			list, err := w.Peers[0].Allocations(ctx)
			for _, a := range list {
				if len(a.Allocations) != n && !(n == 3 && len(a.Allocations) == 0) {
					return false
				}
			}
			return err == nil && len(list) == len(all)
		})
		w.agrees(t, ctx)
	}
	eventually(t, ctx, "one copy is left of each", func() bool {
		for _, c := range all {
			if w.copies(ctx, c) != 1 {
				return false
			}
		}
		return true
	})
}
