package pin_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
)

// reaches checks how far a DAG comes.
func (r *rig) reaches(what string, n int, want pin.Reach) {
	r.t.Helper()
	synctest.Wait()
	got, err := r.Reach(r.t.Context(), alice, pintest.DAGSpec(n).DAG())
	if err != nil || got != want {
		r.t.Errorf("%s reaches %d, want %d: %v", what, got, want, err)
	}
}

// A fetch that finds blocks goes on, however slowly; one that does not comes to no more, and holds
// what it has; one that is over has come to its end.
func TestReach(t *testing.T) {
	cfg := pin.Config{Workers: 1, IdleTimeout: 20 * time.Second, StallTimeout: time.Hour}
	run(t, cfg, func(r *rig) {
		dag := func(n int) pin.DAG { return pintest.DAGSpec(n).DAG() }
		r.net.set(dag(1), content{blocks: 100, delay: 15 * time.Second}) // has the worker for 25 minutes
		r.net.set(dag(2), content{blocks: 10, serve: 5})
		long := r.add(alice, 1)
		r.after(time.Second, long, pin.Pinning)
		part, dead := r.add(alice, 2), r.add(alice, 3)
		r.reaches("what no request is for", 4, pin.ReachedEnd)
		r.after(5*time.Second, part, pin.Pinning)
		r.reaches("what waits for a worker", 2, pin.ReachesOn)
		r.after(14*time.Second, dead, pin.Pinning)
		r.reaches("what is looked for", 3, pin.ReachesOn)
		r.after(2*time.Second, dead, pin.Pinning)
		r.reaches("what nobody has", 3, pin.ReachesNoFurther)
		r.after(20*time.Minute, part, pin.Pinning)
		r.reaches("what comes slowly", 1, pin.ReachesOn)
		r.after(10*time.Minute, long, pin.Pinned)
		r.reaches("what has come", 1, pin.ReachedEnd)
		r.after(time.Minute, part, pin.Pinning)
		r.reaches("what came in part", 2, pin.ReachesNoFurther)
		if err := r.Remove(t.Context(), alice, dead.ID); err != nil {
			t.Fatal(err)
		}
		r.reaches("what was removed", 3, pin.ReachedEnd)
	})
}

// A fetch that comes no further begins anew when it is told that there is more, whether it still has
// its place, was put off, or is on disk alone. One that goes on is left alone.
func TestAgain(t *testing.T) {
	cfg := pin.Config{Workers: 1, Seekers: 1, Window: 1, IdleTimeout: 20 * time.Second, StallTimeout: 24 * time.Hour}
	run(t, cfg, func(r *rig) {
		dag := func(n int) pin.DAG { return pintest.DAGSpec(n).DAG() }
		again := func(n int) {
			t.Helper()
			if err := r.Again(t.Context(), alice, dag(n)); err != nil {
				t.Fatal(err)
			}
			r.reaches("what is tried again", n, pin.ReachesOn)
		}
		alone := r.add(alice, 1)
		r.after(time.Minute, alone, pin.Pinning)
		r.reaches("what nobody has", 1, pin.ReachesNoFurther)
		before := r.net.fetches(dag(1))
		again(1)
		if got := r.net.fetches(dag(1)); got != before+1 {
			t.Errorf("%d fetches began", got-before)
		}
		again(1) // it goes on
		if got := r.net.fetches(dag(1)); got != before+1 {
			t.Errorf("a fetch that goes on was begun %d times", got-before)
		}
		var all []pin.View
		for n := 2; n < 10; n++ {
			all = append(all, r.add(alice, n))
		}
		r.after(time.Hour, all[0], pin.Pinning)
		for n := 2; n < 10; n++ {
			r.net.set(dag(n), content{blocks: 1})
			before := r.net.fetches(dag(n))
			if err := r.Again(t.Context(), alice, dag(n)); err != nil {
				t.Fatal(err)
			}
			r.after(time.Minute, all[n-2], pin.Pinned)
			if r.net.fetches(dag(n)) > before+2 {
				t.Errorf("DAG %d was fetched %d times", n, r.net.fetches(dag(n))-before)
			}
		}
		if err := r.Again(t.Context(), alice, dag(2)); err != nil { // it is pinned
			t.Fatal(err)
		}
		r.reaches("what is pinned", 2, pin.ReachedEnd)
	})
}
