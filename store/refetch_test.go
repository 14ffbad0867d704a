package store

import (
	"slices"
	"testing"

	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/pin"
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
			v := o.add(benchAccount, dagtest.Last(all))
			o.awaitPinned(v)
			w := o.add(benchAccount, over.Cid())
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

// NotWhole takes marks back once, and names what is above a block.
func TestNotWhole(t *testing.T) {
	s := openTest(t, t.TempDir(), Config{})
	all := dagtest.Tree(dagtest.Leaves(100, 50), 5)
	p := pinDAG(t, s, all)
	q := pinDAG(t, s, append(slices.Clone(all), dagtest.PB("over", dagtest.Last(all))))
	other := pinDAG(t, s, dagtest.Tree(dagtest.Leaves(7, 50)[:3], 5))
	hashes := []multihash.Multihash{all[42].Cid().Hash(), dagtest.Raw("nobody has it").Cid().Hash()}
	for call := range 2 {
		dags, marks, err := s.held.NotWhole(t.Context(), hashes)
		must(t, err)
		if len(dags) != 2 || !slices.Contains(dags, p.request.DAG()) || !slices.Contains(dags, q.request.DAG()) {
			t.Errorf("above the block are %v", dags)
		}
		if (marks > 0) != (call == 0) {
			t.Errorf("call %d took %d marks back", call, marks)
		}
	}
	if whole, err := s.held.Whole(t.Context(), other.request.DAG(), pin.Limits{}, true); err != nil || !whole {
		t.Errorf("another DAG is whole: %v, %v", whole, err)
	}
}
