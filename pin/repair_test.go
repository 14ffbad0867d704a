package pin_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// A DAG that is repaired is walked again, under the attempt that it has, and
// its requests are pinned again when it is whole.
func TestRepair(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		r.net.set(dag(1), content{blocks: 10, delay: time.Second})
		v := r.after(time.Minute, r.add(alice, 1), pin.Pinned)
		theirs := r.add(bob, 1)
		if err := r.Repair(t.Context(), r.recs, dag(1)); err != nil {
			t.Fatal(err)
		}
		r.after(time.Second, v, pin.Pinning)
		r.after(0, theirs, pin.Pinning)
		// Once more while it is under way.
		if err := r.Repair(t.Context(), r.recs, dag(1)); err != nil {
			t.Fatal(err)
		}
		r.after(time.Minute, v, pin.Pinned)
		r.after(0, theirs, pin.Pinned)
		if n := r.net.fetches(dag(1)); n != 2 && n != 3 {
			t.Errorf("%d fetches, want one more, or two", n)
		}
		if n := r.dropped(); n != 0 {
			t.Errorf("%d attempts were dropped", n)
		}
		if err := r.Repair(t.Context(), r.recs, dag(2)); !errors.Is(err, pin.ErrNotFound) {
			t.Errorf("repair of what nobody holds: %v", err)
		}
	})
}

// A repair that the process does not live to see goes on after the next start.
func TestRepairGoesOn(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		r.net.set(dag(1), content{blocks: 10, delay: time.Second})
		v := r.after(time.Minute, r.add(alice, 1), pin.Pinned)
		if err := r.Repair(t.Context(), r.recs, dag(1)); err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if err := r.Repair(context.WithoutCancel(t.Context()), r.recs, dag(1)); !errors.Is(err, pin.ErrClosed) {
			t.Errorf("repair after Close: %v", err)
		}
		r.recs.Records = r.recs.Reopen()
		r.start()
		r.after(time.Minute, v, pin.Pinned)
	})
}
