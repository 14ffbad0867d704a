package pintest

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// overPins checks that a call was refused for the account's number of pins, and
// that the error says what it has.
func (e *env) overPins(method string, err error, used, limit uint64) {
	e.Helper()
	var over *pin.QuotaError
	if !errors.As(err, &over) || !errors.Is(err, pin.ErrQuota) {
		e.Errorf("%s: %v, want a QuotaError", method, err)
	} else if want := (pin.QuotaError{Pins: true, Used: used, Limit: limit}); *over != want {
		e.Errorf("%s: %+v, want %+v", method, *over, want)
	}
}

func (e *env) count(account string) int {
	e.Helper()
	return e.list(account, pin.Query{Statuses: pin.Statuses()}).Count
}

func testPinsLimit(e *env) {
	e.add(alice, DAGSpec(1))
	e.begin(DAGSpec(1))
	e.pinned(alice, DAGSpec(2))
	third, err := e.recs.Add(e.ctx, alice, DAGSpec(3), 3)
	e.must(err)
	// Queued, pinning and pinned: three.
	_, err = e.recs.Add(e.ctx, alice, DAGSpec(4), 3)
	e.overPins("Add", err, 3, 3)
	_, err = e.recs.Add(e.ctx, alice, DAGSpec(2), 2) // which is pinned already
	e.overPins("Add under a limit that was lowered", err, 3, 2)
	if n := e.count(alice); n != 3 {
		e.Errorf("%d requests, want 3", n)
	}
	// Others are counted apart, and the count outlasts a restart.
	_, err = e.recs.Add(e.ctx, bob, DAGSpec(4), 1)
	e.must(err)
	e.reopen()
	_, err = e.recs.Add(e.ctx, alice, DAGSpec(4), 3)
	e.overPins("Add after a restart", err, 3, 3)
	e.add(alice, DAGSpec(4)) // without a limit
	// One that fails counts no more, nor does one that is gone.
	e.fail(DAGSpec(4), "why")
	_, err = e.recs.FailRequest(e.ctx, alice, third.ID, "why")
	e.must(err)
	again, err := e.recs.Add(e.ctx, alice, DAGSpec(5), 3)
	e.must(err)
	e.remove(again)
	e.remove(third) // which had failed
	_, err = e.recs.Add(e.ctx, alice, DAGSpec(5), 3)
	e.must(err)
	_, err = e.recs.Add(e.ctx, alice, DAGSpec(5), 3)
	e.overPins("Add", err, 3, 3)
}

func testPinsLimitReplace(e *env) {
	replace := func(r pin.Request, n int, most uint64) (pin.Request, error) {
		now, _, _, err := e.recs.Replace(e.ctx, alice, r.ID, DAGSpec(n), most)
		return now, err
	}
	one, two := e.add(alice, DAGSpec(1)), e.add(alice, DAGSpec(2))
	// At the limit: one goes and one comes.
	one, err := replace(one, 3, 2)
	e.must(err)
	// Over it, since it was lowered.
	_, err = replace(one, 4, 1)
	e.overPins("Replace over the limit", err, 2, 1)
	e.status(one, pin.Queued)
	// What failed does not count, so that nothing goes for what comes.
	e.fail(DAGSpec(2), "why")
	e.add(alice, DAGSpec(5))
	_, err = replace(two, 4, 2)
	e.overPins("Replace of a failed one", err, 2, 2)
	e.status(two, pin.Failed)
	_, err = replace(two, 4, 3)
	e.must(err)
	_, err = e.recs.Add(e.ctx, alice, DAGSpec(6), 3)
	e.overPins("Add", err, 3, 3)
}

func testPinsLimitRetry(e *env) {
	one := e.add(alice, DAGSpec(1))
	two, _ := e.pinned(alice, DAGSpec(2))
	_, err := e.recs.Retry(e.ctx, alice, one.ID, 1)
	if !errors.Is(err, pin.ErrNotFailed) {
		e.Errorf("Retry of one that has not failed: %v", err)
	}
	e.fail(DAGSpec(1), "why")
	_, err = e.recs.Retry(e.ctx, alice, one.ID, 1)
	e.overPins("Retry", err, 1, 1)
	e.status(one, pin.Failed)
	_, err = e.recs.Retry(e.ctx, alice, one.ID, 2)
	e.must(err)
	_, err = e.recs.Add(e.ctx, alice, DAGSpec(3), 2)
	e.overPins("Add", err, 2, 2)
	e.remove(two)
	_, err = e.recs.Add(e.ctx, alice, DAGSpec(3), 2)
	e.must(err)
}

// Of many calls at the same time exactly as many pass as there is room for.
func testPinsLimitTogether(e *env) {
	const most, callers = 40, 200
	var failed []pin.Request
	for range callers / 4 {
		failed = append(failed, e.add(alice, DAGSpec(0)))
	}
	e.fail(DAGSpec(0), "why")
	var passed, refused atomic.Int64
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			var err error
			if i%4 == 0 {
				_, err = e.recs.Retry(e.ctx, alice, failed[i/4].ID, most)
			} else {
				_, err = e.recs.Add(e.ctx, alice, DAGSpec(i), most)
			}
			switch {
			case err == nil:
				passed.Add(1)
			case errors.Is(err, pin.ErrQuota):
				refused.Add(1)
			default:
				e.Error(err)
			}
		})
	}
	wg.Wait()
	if passed.Load() != most || refused.Load() != callers-most {
		e.Errorf("%d passed and %d were refused, want %d and %d", passed.Load(), refused.Load(), most, callers-most)
	}
	if n := e.list(alice, pin.Query{Statuses: []pin.Status{pin.Queued}}).Count; n != most {
		e.Errorf("%d are queued, want %d", n, most)
	}
}
