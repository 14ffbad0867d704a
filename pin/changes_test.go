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

func (r *rig) drop(v pin.View) {
	r.t.Helper()
	if err := r.Remove(r.t.Context(), v.Account, v.ID); err != nil {
		r.t.Fatal(err)
	}
}
