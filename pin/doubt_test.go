package pin_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
)

// doubtful are records whose changes succeed and return ErrInDoubt, while on is set.
type doubtful struct {
	*records
	on atomic.Bool
}

func (d *doubtful) end(err error) error {
	if err == nil && d.on.Load() {
		return fmt.Errorf("commit: %w", pin.ErrInDoubt)
	}
	return err
}

func (d *doubtful) Add(ctx context.Context, account string, s pin.Spec) (pin.Request, error) {
	r, err := d.records.Add(ctx, account, s)
	return r, d.end(err)
}

func (d *doubtful) Replace(ctx context.Context, account, id string, s pin.Spec) (now, old pin.Request, released []pin.Attempt, err error) {
	now, old, released, err = d.records.Replace(ctx, account, id, s)
	return now, old, released, d.end(err)
}

func (d *doubtful) Remove(ctx context.Context, account, id string) (pin.Request, []pin.Attempt, error) {
	old, released, err := d.records.Remove(ctx, account, id)
	return old, released, d.end(err)
}

func (d *doubtful) Retry(ctx context.Context, account, id string) (pin.Request, error) {
	r, err := d.records.Retry(ctx, account, id)
	return r, d.end(err)
}

func (d *doubtful) Fail(ctx context.Context, dag pin.DAG, reason string) ([]pin.Attempt, error) {
	released, err := d.records.Fail(ctx, dag, reason)
	if err = d.end(err); err != nil {
		return nil, err
	}
	return released, nil
}

func (d *doubtful) FailOverQuota(ctx context.Context, account string, dag pin.DAG, bytes uint64) (int, []pin.Attempt, error) {
	n, released, err := d.records.FailOverQuota(ctx, account, dag, bytes)
	if err = d.end(err); err != nil {
		return 0, nil, err
	}
	return n, released, nil
}

func (d *doubtful) GiveWay(ctx context.Context, dag pin.DAG) ([]pin.Attempt, error) {
	released, err := d.records.GiveWay(ctx, dag)
	if err = d.end(err); err != nil {
		return nil, err
	}
	return released, nil
}

// What a change in doubt let go of is dropped, whoever made the change, and also if nothing else is pinned
// after it.
func TestReleasedInDoubtIsDropped(t *testing.T) {
	for name, c := range map[string]struct {
		cfg  pin.Config
		dag  content
		when time.Duration // the disk fails from then on, and until a minute after until
		till time.Duration
		full bool // so is the disk
	}{
		"a pin that nobody sends": {dag: half, cfg: pin.Config{StallTimeout: time.Minute, KeepPartial: -1}, when: 30 * time.Second, till: 2 * time.Minute},
		"a parked one":            {dag: half, cfg: pin.Config{StallTimeout: time.Minute, KeepPartial: -1, Seekers: 1}, when: 30 * time.Second, till: 2 * time.Minute},
		"one over quota": {
			dag: content{blocks: 100, delay: time.Second}, cfg: pin.Config{Quotas: limits{alice: {Bytes: 2000}}}, when: 10 * time.Second, till: time.Minute,
		},
		"one that gives way": {dag: half, when: 30 * time.Second, till: 3 * time.Minute, full: true},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, c.cfg, func(r *rig) {
				r.Close()
				recs := &doubtful{records: r.recs}
				var err error
				if r.Manager, err = pin.New(t.Context(), r.cfg, recs, r.net); err != nil {
					t.Fatal(err)
				}
				r.net.set(dag(1), c.dag)
				r.add(alice, 1)
				if c.cfg.Seekers > 0 {
					time.Sleep(time.Second)
					r.add(alice, 2)
				}
				time.Sleep(c.when)
				recs.on.Store(true)
				if c.full {
					r.recs.SetFault(func(method string) error {
						if method == "Room" {
							return &pin.DiskFullError{Kept: 1}
						}
						return nil
					})
				}
				time.Sleep(c.till)
				recs.on.Store(false)
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				if n := r.dropped(); n == 0 {
					t.Error("nothing was dropped")
				}
			})
		})
	}
}

// A change in doubt is processed as one that succeeded: what was requested is fetched, and
// what was released is dropped.
func TestChangesInDoubtGoOn(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		r.Close()
		recs := &doubtful{records: r.recs}
		var err error
		if r.Manager, err = pin.New(t.Context(), r.cfg, recs, r.net); err != nil {
			t.Fatal(err)
		}
		inDoubt := func(what string, err error) {
			t.Helper()
			if !errors.Is(err, pin.ErrInDoubt) {
				t.Errorf("%s: %v, want that it is in doubt", what, err)
			}
		}
		doubting := func(do func()) {
			recs.on.Store(true)
			do()
			recs.on.Store(false)
		}
		for n := range 4 {
			r.net.set(dag(n), content{blocks: 3})
		}
		r.net.set(dag(9), content{refuse: "it is too deep"})

		var added, replaced pin.View
		doubting(func() { added, err = r.Add(t.Context(), alice, pintest.DAGSpec(0)); inDoubt("a pin", err) })
		r.after(5*time.Second, added, pin.Pinned)
		doubting(func() {
			replaced, err = r.Replace(t.Context(), alice, added.ID, pintest.DAGSpec(1))
			inDoubt("a replacement", err)
		})
		r.after(5*time.Second, replaced, pin.Pinned)
		if n := r.dropped(); n != 1 {
			t.Errorf("%d attempts were dropped, want that of what was replaced", n)
		}
		doubting(func() { inDoubt("a removal", r.Remove(t.Context(), alice, replaced.ID)) })
		time.Sleep(time.Second)
		synctest.Wait()
		if n := r.dropped(); n != 2 {
			t.Errorf("%d attempts were dropped, want that of what was removed, too", n)
		}

		recs.on.Store(true)
		failing, err := r.Add(t.Context(), alice, pintest.DAGSpec(9))
		inDoubt("a pin that fails", err)
		r.after(time.Second, failing, pin.Failed)
		recs.on.Store(false)
		time.Sleep(time.Minute) // it is tried again, and what it let go of is found
		synctest.Wait()
		if n := r.dropped(); n != 3 {
			t.Errorf("%d attempts were dropped, want that of what failed, too", n)
		}
		r.net.set(dag(9), content{blocks: 3})
		doubting(func() { _, err = r.Retry(t.Context(), alice, failing.ID); inDoubt("a retry", err) })
		r.after(5*time.Second, failing, pin.Pinned)
	})
}
