package pin_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
)

// A pinned request shows whether the network was told of it, and when.
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

// If nothing is announced, a request does not mention announcements.
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

// A DAG that nothing holds any more is withdrawn, whatever released it.
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

		// At the next start, if the last manager did not get to it.
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

// A DAG is announced even if an error followed the commit that made it complete.
func TestAnnouncedAfterAnError(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		r.Close()
		m, err := pin.New(r.t.Context(), pin.Config{Logger: slog.New(slog.DiscardHandler)}, &halfComplete{Records: r.recs}, r.net)
		if err != nil {
			t.Fatal(err)
		}
		r.Manager = m
		r.net.set(dag(1), content{blocks: 1})
		r.after(10*time.Second, r.add(alice, 1), pin.Pinned)
		if got := r.net.announced(); !slices.Equal(got, []pin.DAG{dag(1)}) {
			t.Errorf("announced %v", got)
		}
	})
}

// halfComplete makes Complete return an error after the DAG is marked.
type halfComplete struct{ pin.Records }

func (h *halfComplete) Complete(ctx context.Context, d pin.DAG, a pin.Attempt, t pin.Totals) (int, []pin.Attempt, error) {
	if _, _, err := h.Records.Complete(ctx, d, a, t); err != nil {
		return 0, nil, err
	}
	return 0, nil, errors.New("input/output error")
}
