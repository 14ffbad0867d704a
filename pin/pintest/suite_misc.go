package pintest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
)

func testConcurrent(e *env) {
	const writers, each = 8, 40
	var wg sync.WaitGroup
	errs := make(chan error, writers)
	for w := range writers {
		wg.Go(func() { errs <- concurrentWriter(e.ctx, e.recs, w, each) })
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		e.must(err)
	}
	got := e.list(alice, pin.Query{Statuses: pin.Statuses(), Limit: 1000})
	if got.Count != writers*each/2 || len(got.Requests) != got.Count {
		e.Errorf("count %d, %d listed, want %d", got.Count, len(got.Requests), writers*each/2)
	}
	for i := 1; i < len(got.Requests); i++ {
		if !got.Requests[i].Created.Before(got.Requests[i-1].Created) {
			e.Errorf("%v is listed after %v", got.Requests[i].Created, got.Requests[i-1].Created)
		}
	}
}

// concurrentWriter adds requests of alice's, of which it removes every other.
func concurrentWriter(ctx context.Context, recs pin.Records, w, n int) error {
	for i := range n {
		r, err := recs.Add(ctx, alice, named(i%5, fmt.Sprint(w, i)))
		if err != nil {
			return err
		}
		if a, complete, err := recs.Begin(ctx, r.DAG()); err == nil && !complete && i%3 == 0 {
			if _, _, err := recs.Complete(ctx, r.DAG(), a, pin.Totals{Blocks: 1}); err != nil && !errors.Is(err, pin.ErrSuperseded) {
				return err
			}
		} else if err != nil {
			return err
		}
		if i%2 == 0 {
			if _, _, err := recs.Remove(ctx, alice, r.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

func testContext(e *env) {
	r := e.add(alice, DAGSpec(1))
	ctx, cancel := context.WithCancel(e.ctx)
	cancel()
	e.refusedBy(context.Canceled, ctx, r)
	e.status(r, pin.Queued)
}

func testClosed(e *env) {
	r := e.add(alice, DAGSpec(1))
	old := e.recs
	e.reopen()
	now := e.recs
	e.recs = old
	e.refusedBy(pin.ErrClosed, e.ctx, r)
	e.recs = now
	if d := diff(e.get(r), r); d != "" {
		e.Error(d)
	}
}

// refusedBy checks that every method gives the error and does nothing.
func (e *env) refusedBy(want error, ctx context.Context, r pin.Request) {
	d := r.DAG()
	errOf := map[string]func() error{
		"Add":           func() error { _, err := e.recs.Add(ctx, alice, DAGSpec(2)); return err },
		"Replace":       func() error { _, _, _, err := e.recs.Replace(ctx, alice, r.ID, DAGSpec(2)); return err },
		"Remove":        func() error { _, _, err := e.recs.Remove(ctx, alice, r.ID); return err },
		"Get":           func() error { _, err := e.recs.Get(ctx, alice, r.ID); return err },
		"List":          func() error { _, err := e.recs.List(ctx, alice, pin.Query{}); return err },
		"Retry":         func() error { _, err := e.recs.Retry(ctx, alice, r.ID); return err },
		"Begin":         func() error { _, _, err := e.recs.Begin(ctx, d); return err },
		"Complete":      func() error { _, _, err := e.recs.Complete(ctx, d, 1, pin.Totals{}); return err },
		"Fail":          func() error { _, err := e.recs.Fail(ctx, d, ""); return err },
		"FailOverQuota": func() error { _, _, err := e.recs.FailOverQuota(ctx, alice, d, 1); return err },
		"Usage":         func() error { _, err := e.recs.Usage(ctx, alice); return err },
		"Repairing":     func() error { _, err := e.recs.Repairing(ctx, d); return err },
		"Accounts":      func() error { _, err := e.recs.Accounts(ctx, pin.Queued); return err },
		"UnfinishedAfter": func() error {
			_, err := e.recs.UnfinishedAfter(ctx, alice, pin.Queued, time.Time{}, 1)
			return err
		},
		"Dropped":     func() error { return e.recs.Dropped(ctx, 1) },
		"Released":    func() error { _, err := e.recs.Released(ctx); return err },
		"ReleasedDAG": func() error { _, err := e.recs.ReleasedDAG(ctx, 1); return err },
		"Roots": func() error {
			for _, err := range e.recs.Roots(ctx) {
				return err
			}
			return nil
		},
	}
	for method, call := range errOf {
		if err := call(); !errors.Is(err, want) {
			e.Errorf("%s: %v, want %v", method, err, want)
		}
	}
}

func testAccounts(e *env) {
	mine, _ := e.pinned(alice, named(1, "same"))
	e.add(bob, named(1, "same"))
	for _, account := range []string{alice, bob} {
		for _, q := range []pin.Query{{Limit: 9}, {DAGs: []pin.DAG{DAGSpec(1).DAG()}, Limit: 9}, {Name: "same", Limit: 9}} {
			got := e.list(account, q)
			if got.Count != 1 || len(got.Requests) != 1 || got.Requests[0].Account != account {
				e.Errorf("%s sees %+v", account, got)
			}
		}
	}
	e.remove(mine)
	if got := e.list(bob, pin.Query{}); got.Count != 1 {
		e.Errorf("bob has %d", got.Count)
	}
}

var _ testing.TB = (*env)(nil)
