package pin_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
)

// Whoever has something pinned sees whether the network knows, and since when.
func TestInfoSaysWhatIsAnnounced(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		r.net.set(dag(1), content{blocks: 3})
		v := r.after(time.Second, r.add(alice, 1), pin.Pinned)
		at := time.Now()
		for _, tt := range []struct {
			after time.Duration
			want  string
		}{
			{0, "not yet"},
			{announceTime, at.Add(-time.Second).UTC().Format(time.RFC3339)},
		} {
			time.Sleep(tt.after)
			v, err := r.Get(t.Context(), alice, v.ID)
			if err != nil {
				t.Fatal(err)
			}
			if v.Info["announced"] != tt.want {
				t.Errorf("after %v it says %q, want %q", tt.after, v.Info["announced"], tt.want)
			}
		}
		r.net.set(dag(2), content{blocks: 3, delay: time.Minute})
		v = r.after(time.Second, r.add(alice, 2), pin.Pinning)
		if said, ok := v.Info["announced"]; ok {
			t.Errorf("while it is fetched it says %q", said)
		}
	})
}

// Where nothing is announced nothing is said of it.
func TestInfoWithoutAnnouncements(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		r.net.deaf = true
		r.net.set(dag(1), content{blocks: 3})
		v := r.after(time.Second, r.add(alice, 1), pin.Pinned)
		if said, ok := v.Info["announced"]; ok {
			t.Errorf("it says %q", said)
		}
	})
}

// What nothing holds any more is withdrawn, however it came to that.
func TestWithdraws(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		for n := range 5 {
			r.net.set(dag(n), content{blocks: 3})
		}
		one, other := r.add(alice, 1), r.add(bob, 1)
		r.after(time.Second, one, pin.Pinned)
		check := func(what string, want ...pin.DAG) {
			t.Helper()
			synctest.Wait()
			if got := r.net.taken(); !slices.Equal(got, want) {
				t.Errorf("%s: withdrawn is %v, want %v", what, got, want)
			}
		}
		if err := r.Remove(t.Context(), alice, one.ID); err != nil {
			t.Fatal(err)
		}
		check("another has it")
		if err := r.Remove(t.Context(), bob, other.ID); err != nil {
			t.Fatal(err)
		}
		check("nobody has it", dag(1))

		two := r.after(time.Second, r.add(alice, 2), pin.Pinned)
		three, err := r.Replace(t.Context(), alice, two.ID, pintest.DAGSpec(3))
		if err != nil {
			t.Fatal(err)
		}
		r.after(time.Second, three, pin.Pinned)
		check("replaced", dag(1), dag(2))

		// At the next start, if the last one did not come to it.
		r.recs.SetFault(func(m string) error {
			if m == "ReleasedDAG" || m == "Drop" {
				return errors.New("input/output error")
			}
			return nil
		})
		if err := r.Remove(t.Context(), alice, three.ID); err != nil {
			t.Fatal(err)
		}
		check("while the disk fails", dag(1), dag(2))
		r.Close()
		r.recs.SetFault(nil)
		r.start()
		check("after a restart", dag(1), dag(2), dag(3))
	})
}
