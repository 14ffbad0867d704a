package pin_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
)

// denials is a denylist of DAGs.
type denials struct {
	mu   sync.Mutex
	dags map[pin.DAG]bool
}

func (d *denials) deny(dags ...pin.DAG) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dags == nil {
		d.dags = make(map[pin.DAG]bool)
	}
	for _, dag := range dags {
		d.dags[dag] = true
	}
}

func (d *denials) denied(dag pin.DAG) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dags[dag] {
		return fmt.Errorf("by line 7: %w", pin.ErrDenied)
	}
	return nil
}

// A denied DAG is refused, and nothing is written.
func TestDeniedIsRefused(t *testing.T) {
	var list denials
	list.deny(dag(1))
	run(t, pin.Config{Denied: list.denied}, func(r *rig) {
		ctx := t.Context()
		if _, err := r.Add(ctx, alice, pintest.DAGSpec(1)); !errors.Is(err, pin.ErrDenied) {
			t.Errorf("add: %v", err)
		}
		r.net.set(dag(2), content{blocks: 1})
		other := r.after(time.Second, r.add(alice, 2), pin.Pinned)
		if _, err := r.Replace(ctx, alice, other.ID, pintest.DAGSpec(1)); !errors.Is(err, pin.ErrDenied) {
			t.Errorf("replace: %v", err)
		}
		page, err := r.List(ctx, alice, pin.Query{Statuses: pin.Statuses(), Limit: 10})
		if err != nil || page.Count != 1 || page.Views[0].ID != other.ID || page.Views[0].Status != pin.Pinned {
			t.Errorf("there is %+v, %v", page, err)
		}

		r.net.set(dag(3), content{refuse: "it is no good"})
		failed := r.after(time.Second, r.add(alice, 3), pin.Failed)
		list.deny(dag(3))
		if _, err := r.Retry(ctx, alice, failed.ID); !errors.Is(err, pin.ErrDenied) {
			t.Errorf("retry: %v", err)
		}
		if got := r.get(failed).Info["status_details"]; got != "it is no good" {
			t.Errorf("the failed one says %q", got)
		}
	})
}

// A pin whose DAG becomes denied stays, and says so.
func TestDeniedIsShown(t *testing.T) {
	var list denials
	run(t, pin.Config{Denied: list.denied}, func(r *rig) {
		r.net.deaf = true
		r.net.set(dag(1), content{blocks: 1})
		v := r.after(time.Second, r.add(alice, 1), pin.Pinned)
		if said, ok := v.Info["status_details"]; ok {
			t.Errorf("it says %q", said)
		}
		list.deny(dag(1))
		v = r.after(0, v, pin.Pinned)
		if got := v.Info["status_details"]; !strings.Contains(got, "denylist") {
			t.Errorf("it says %q", got)
		}
		if _, err := r.Add(t.Context(), bob, pintest.DAGSpec(1)); !errors.Is(err, pin.ErrDenied) {
			t.Errorf("the same for another: %v", err)
		}
	})
}

// A parked pin is tried at once when its DAG becomes denied; others wait on.
func TestDeniedDoesNotWait(t *testing.T) {
	var list denials
	run(t, pin.Config{Denied: list.denied}, func(r *rig) {
		for n := 1; n <= 2; n++ {
			faults := make([]error, 20)
			for i := range faults {
				faults[i] = errors.New("a fault")
			}
			r.net.set(dag(n), content{errs: faults})
		}
		one, two := r.add(alice, 1), r.add(alice, 2)
		r.after(10*time.Minute, one, pin.Pinning) // so that they are tried every five minutes
		tries := r.net.fetches(dag(2))
		for n := 1; n <= 2; n++ {
			r.net.set(dag(n), content{refuse: "it is denied"})
		}
		list.deny(dag(1))
		r.DenialsChanged()
		if v := r.after(time.Second, one, pin.Failed); v.Info["status_details"] != "it is denied" {
			t.Errorf("it says %v", v.Info)
		}
		r.after(0, two, pin.Pinning)
		if n := r.net.fetches(dag(2)); n > 0 {
			t.Errorf("%d tries of what is not denied, after %d", n, tries)
		}
	})
}
