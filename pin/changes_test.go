package pin_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// Who follows a DAG hears when its requests become pinned, fail, or are removed, and not of others.
func TestChanged(t *testing.T) {
	run(t, pin.Config{Quotas: limits{bob: {Bytes: 1000}}}, func(r *rig) {
		hears := func(what string, d pin.DAG, do func()) {
			changed, end := r.Changed(d)
			other, endOther := r.Changed(dag(99))
			do()
			synctest.Wait()
			select {
			case <-changed:
			default:
				t.Errorf("nothing is heard when it %s", what)
			}
			end()
			endOther()
			select {
			case <-other:
				t.Errorf("when one %s, another is heard of", what)
			default:
			}
		}
		r.net.set(dag(1), content{blocks: 2})
		var v pin.View
		hears("is pinned", dag(1), func() { v = r.after(5*time.Second, r.add(alice, 1), pin.Pinned) })
		hears("is removed", dag(1), func() { r.drop(v) })
		r.net.set(dag(2), content{blocks: 2, refuse: "it is too large"})
		hears("fails", dag(2), func() { r.after(5*time.Second, r.add(alice, 2), pin.Failed) })
		r.net.set(dag(3), content{blocks: 100, delay: time.Second})
		goesOn := r.add(alice, 3)
		hears("is over quota", dag(3), func() { r.after(20*time.Second, r.add(bob, 3), pin.Failed) })
		r.after(0, goesOn, pin.Pinning)
	})
}

// Who follows a DAG hears which request became pinned, if there is one. Of several it is not said, and not
// of one that failed for its quota.
func TestChangedSaysWhichIsPinned(t *testing.T) {
	run(t, pin.Config{Quotas: limits{bob: {Bytes: 100}}}, func(r *rig) {
		hears := func(n int, want func() pin.View) {
			changed, end := r.Changed(dag(n))
			defer end()
			r.net.set(dag(n), content{blocks: 2})
			v := want()
			time.Sleep(5 * time.Second)
			synctest.Wait()
			change := <-changed
			totals := change.Totals
			totals.By = nil
			if is := change.Pinned(v.Request); is != (v.ID != "") || is && totals != (pin.Totals{Blocks: 2, Bytes: 200}) {
				t.Errorf("of DAG %d it hears %+v", n, change)
			}
		}
		hears(1, func() pin.View { return r.add(alice, 1) })
		hears(2, func() pin.View {
			r.add(alice, 2)
			r.add(bob, 2) // and that is more than bob may have
			return pin.View{}
		})
		hears(3, func() pin.View {
			r.add(bob, 3)
			return pin.View{}
		})
	})
}

func (r *rig) drop(v pin.View) {
	r.t.Helper()
	if err := r.Remove(r.t.Context(), v.Account, v.ID); err != nil {
		r.t.Fatal(err)
	}
}
