package store

import (
	"slices"
	"testing"

	blocks "github.com/ipfs/go-block-format"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
)

// A walk that has passed over a node goes on, or is done, when a block below that is
// found damaged: what it says of the nodes above hides nothing from the repair.
func TestRepairBelowWhatAWalkPassed(t *testing.T) {
	for name, done := range map[string]bool{"the walk goes on": false, "the walk is done": true} {
		t.Run(name, func(t *testing.T) {
			all := dagtest.Tree(dagtest.Leaves(100, 50), 5)
			late := dagtest.Raw("late")
			over := dagtest.PB("over", dagtest.Last(all), late.Cid())
			o := newOverlap(t, append(slices.Clone(all), over)...)
			v := o.add(roomtest.Account, dagtest.Last(all))
			o.awaitPinned(v)
			w := o.add(roomtest.Account, over.Cid())
			o.awaitPassed(dagtest.Last(all))
			bad := all[42]
			overwrite(t, o.s, bad, []byte("torn"))
			o.s.kv.LookAfresh() // a real disk does not show what was there a moment ago
			found, _ := verify(t, o.s)
			if d := found[string(bad.Cid().Hash())]; len(found) != 1 || len(d.DAGs) != 2 {
				t.Fatalf("found %v", found)
			}
			if done { // while verify reads the rest of a large store
				o.net.Add(late)
				o.awaitPinned(w)
			}
			var told []pin.DAG
			must(t, o.pins.Repair(t.Context(), o.s, []multihash.Multihash{bad.Cid().Hash()}, func(d pin.DAG) { told = append(told, d) }))
			if len(told) != 2 {
				t.Errorf("%v are repaired", told)
			}
			o.net.Add(late)
			o.awaitPinned(v)
			o.awaitPinned(w)
			if found, _ := verify(t, o.s); len(found) > 0 {
				t.Errorf("it was repaired and is pinned, and %d blocks are damaged", len(found))
			}
			o.holds(append(slices.Clone(all), over, late)...)
		})
	}
}

// What is damaged below a node that several DAGs share is found to hurt all of them,
// is not passed over any more, and is mended by going to it and nowhere else.
func TestRepairOfSharedNodes(t *testing.T) {
	s := openTest(t, t.TempDir(), Config{})
	all := dagtest.Tree(dagtest.Leaves(500, 50), 5)
	over := append(all[:len(all):len(all)], dagtest.PB("over", dagtest.Last(all)))
	other := append(all[:len(all):len(all)], dagtest.PB("other", dagtest.Last(all)))
	p, q, r := roomtest.PinDAG(t, s, all), roomtest.PinDAG(t, s, over), roomtest.PinDAG(t, s, other)
	p.Remove(t, s) // whose nodes live on below the others
	reclaimAll(t, s)
	want := roomtest.SizesOf(append(over, other[len(other)-1]))
	checkHeld(t, s, want)
	for _, damage := range []func(b blocks.Block){
		func(b blocks.Block) { overwrite(t, s, b, []byte("torn")) },
		func(b blocks.Block) { roomtest.Set(t, s.db, roomtest.BlockKey(b.Cid().Hash()), nil) },
	} {
		for _, b := range []blocks.Block{all[123], all[len(all)-1]} {
			damage(b)
			s.kv.LookAfresh() // a real disk does not show what was there a moment ago
			found, report := verify(t, s)
			d := found[string(b.Cid().Hash())]
			if len(found) != 1 || len(d.DAGs) != 2 || report.Corrupt+report.Missing != 1 {
				t.Fatalf("found %v, %+v", found, report)
			}
			for _, hurt := range d.DAGs {
				_, err := s.requestRecords.Refetch(t.Context(), hurt.DAG)
				must(t, err)
			}
			for n, p := range []*roomtest.Pinned{q, r} {
				a, complete, err := s.requestRecords.Begin(t.Context(), p.Request.DAG())
				if err != nil || complete || a != p.Attempt {
					t.Fatalf("Begin gives %d, %v, %v", a, complete, err)
				}
				whole := over
				if n == 1 {
					whole = other
				}
				totals := roomtest.WalkDAG(t, s, a, whole)
				if totals.Blocks != uint64(len(whole)) {
					t.Errorf("totals %+v of %d", totals, len(whole))
				}
				_, _, err = s.requestRecords.Complete(t.Context(), p.Request.DAG(), a, totals)
				must(t, err)
			}
			checkHeld(t, s, want)
		}
	}
	q.Remove(t, s)
	r.Remove(t, s)
	reclaimAll(t, s)
	checkHeld(t, s, nil)
}
