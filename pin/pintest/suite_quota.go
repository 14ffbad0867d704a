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
	e.limitPins(3)
	third, err := e.recs.Add(e.ctx, alice, DAGSpec(3))
	e.must(err)
	// Queued, pinning and pinned: three.
	e.limitPins(3)
	_, err = e.recs.Add(e.ctx, alice, DAGSpec(4))
	e.overPins("Add", err, 3, 3)
	e.limitPins(2)
	_, err = e.recs.Add(e.ctx, alice, DAGSpec(4))
	e.overPins("Add under a limit that was lowered", err, 3, 2)
	if n := e.count(alice); n != 3 {
		e.Errorf("%d requests, want 3", n)
	}
	// Others are counted apart, and the count outlasts a restart.
	e.limitPins(1)
	_, err = e.recs.Add(e.ctx, bob, DAGSpec(4))
	e.must(err)
	e.reopen()
	e.limitPins(3)
	_, err = e.recs.Add(e.ctx, alice, DAGSpec(4))
	e.overPins("Add after a restart", err, 3, 3)
	e.limitPins(0)
	e.add(alice, DAGSpec(4))
	// One that fails counts no more, nor does one that is gone.
	e.fail(DAGSpec(4), "why")
	e.fail(DAGSpec(3), "why")
	e.limitPins(3)
	again, err := e.recs.Add(e.ctx, alice, DAGSpec(5))
	e.must(err)
	e.remove(again)
	e.remove(third) // which had failed
	e.limitPins(3)
	_, err = e.recs.Add(e.ctx, alice, DAGSpec(5))
	e.must(err)
	e.limitPins(3)
	_, err = e.recs.Add(e.ctx, alice, DAGSpec(6))
	e.overPins("Add", err, 3, 3)
}

// Requests for one DAG count once, however many there are, and until the last of them ends.
func testPinsLimitSameDAG(e *env) {
	const limit, adds = 40, 45
	e.limitPins(limit)
	for range adds {
		e.add(alice, named(0, "site"))
	}
	e.pins(1)
	for n := 1; n < limit; n++ {
		e.add(alice, DAGSpec(n))
	}
	_, err := e.recs.Add(e.ctx, alice, DAGSpec(limit))
	e.overPins("Add", err, limit, limit)
	e.add(alice, DAGSpec(1)) // which it has

	// One of two goes, and the other counts on; then that goes too.
	e.limitPins(0)
	all := e.list(alice, pin.Query{Statuses: pin.Statuses(), Limit: 1000}).Requests
	for _, r := range all {
		if r.DAG() == DAGSpec(0).DAG() {
			e.remove(r)
			e.pins(limit - 1 + min(1, uint64(e.countOf(alice, DAGSpec(0)))))
		}
	}
	e.pins(limit - 1)

	// The same when they fail, some before the others, and are tried again.
	first := e.add(alice, DAGSpec(100))
	e.fail(DAGSpec(100), "why")
	e.pins(limit - 1)
	second := e.add(alice, DAGSpec(100))
	e.pins(limit)
	e.limitPins(limit)
	_, err = e.recs.Retry(e.ctx, alice, first.ID) // for what is queued anyway
	e.must(err)
	e.pins(limit)
	e.remove(second)
	e.pins(limit)
	e.reopen()
	e.fail(DAGSpec(100), "why")
	e.pins(limit - 1)

	// A request that is replaced makes room only if it is the last for its DAG.
	e.limitPins(0)
	e.remove(e.get(first))
	shared := e.add(alice, DAGSpec(1))
	e.limitPins(limit - 1)
	_, _, _, err = e.recs.Replace(e.ctx, alice, shared.ID, DAGSpec(101))
	e.overPins("Replace of one of several", err, limit-1, limit-1)
	shared, _ = e.replace(alice, shared.ID, DAGSpec(2)) // by what the account has
	e.pins(limit - 1)
	e.limitPins(limit - 1)
	shared, _ = e.replace(alice, shared.ID, shared.Spec) // by the same
	e.pins(limit - 1)
	e.remove(shared)
	e.pins(limit - 1)
}

// pins checks how many pins alice has, as her quota counts them.
func (e *env) pins(want uint64) {
	e.Helper()
	u, err := e.recs.Usage(e.ctx, alice)
	e.must(err)
	if u.Pins != want {
		e.Errorf("%d pins count, want %d", u.Pins, want)
	}
}

func (e *env) countOf(account string, s pin.Spec) int {
	e.Helper()
	return e.list(account, pin.Query{Statuses: pin.Statuses(), DAGs: []pin.DAG{s.DAG()}}).Count
}

func testPinsLimitOfOthers(e *env) {
	e.limitPins(2)
	one := e.add(alice, DAGSpec(1))
	e.fail(DAGSpec(1), "why")
	r := e.add(alice, DAGSpec(2))
	e.add(alice, DAGSpec(3))
	_, err := e.recs.Add(e.ctx, alice, DAGSpec(4))
	e.overPins("Add", err, 2, 2)
	_, err = e.recs.Retry(e.ctx, alice, one.ID)
	e.overPins("Retry", err, 2, 2)
	_, _, _, err = e.recs.Replace(e.ctx, alice, one.ID, DAGSpec(4))
	e.overPins("Replace of a failed one", err, 2, 2)
	e.replace(alice, r.ID, DAGSpec(4))
	e.add(bob, DAGSpec(1))
}

func testPinsLimitReplace(e *env) {
	replace := func(r pin.Request, n int, limit uint64) (pin.Request, error) {
		e.limitPins(limit)
		now, _, _, err := e.recs.Replace(e.ctx, alice, r.ID, DAGSpec(n))
		e.limitPins(0)
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
	e.limitPins(3)
	_, err = e.recs.Add(e.ctx, alice, DAGSpec(6))
	e.overPins("Add", err, 3, 3)
}

func testPinsLimitRetry(e *env) {
	one := e.add(alice, DAGSpec(1))
	two, _ := e.pinned(alice, DAGSpec(2))
	e.limitPins(1)
	_, err := e.recs.Retry(e.ctx, alice, one.ID)
	if !errors.Is(err, pin.ErrNotFailed) {
		e.Errorf("Retry of one that has not failed: %v", err)
	}
	e.fail(DAGSpec(1), "why")
	e.limitPins(1)
	_, err = e.recs.Retry(e.ctx, alice, one.ID)
	e.overPins("Retry", err, 1, 1)
	e.status(one, pin.Failed)
	e.limitPins(2)
	_, err = e.recs.Retry(e.ctx, alice, one.ID)
	e.must(err)
	e.limitPins(2)
	_, err = e.recs.Add(e.ctx, alice, DAGSpec(3))
	e.overPins("Add", err, 2, 2)
	e.remove(two)
	e.limitPins(2)
	_, err = e.recs.Add(e.ctx, alice, DAGSpec(3))
	e.must(err)
}

// Of many calls at the same time, exactly as many succeed as there is room for.
func testPinsLimitTogether(e *env) {
	const limit, callers = 40, 200
	var failed []pin.Request
	for i := range callers / 4 {
		failed = append(failed, e.add(alice, DAGSpec(callers+i)))
		e.fail(DAGSpec(callers+i), "why")
	}
	e.limitPins(limit)
	var passed, refused atomic.Int64
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			var err error
			if i%4 == 0 {
				_, err = e.recs.Retry(e.ctx, alice, failed[i/4].ID)
			} else {
				_, err = e.recs.Add(e.ctx, alice, DAGSpec(i))
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
	if passed.Load() != limit || refused.Load() != callers-limit {
		e.Errorf("%d passed and %d were refused, want %d and %d", passed.Load(), refused.Load(), limit, callers-limit)
	}
	if n := e.list(alice, pin.Query{Statuses: []pin.Status{pin.Queued}}).Count; n != limit {
		e.Errorf("%d are queued, want %d", n, limit)
	}
}

// quota is what alice may have.
func (e *env) quota(q pin.Quota) {
	e.recs.SetQuotas(QuotaFunc(func(account string) pin.Quota {
		if account != alice {
			return pin.Quota{}
		}
		return q
	}))
}

// limitPins bounds how many alice may have.
func (e *env) limitPins(limit uint64) {
	e.quota(pin.Quota{Pins: limit})
}

// limitBytes bounds what alice may be charged for; a DAG of [env.complete] has 1,000.
func (e *env) limitBytes(limit uint64) {
	e.quota(pin.Quota{Bytes: limit})
}

// overBytes checks that a call was refused for the bytes of alice.
func (e *env) overBytes(method string, err error, used, asked, limit uint64) {
	e.Helper()
	var over *pin.QuotaError
	if !errors.As(err, &over) || !errors.Is(err, pin.ErrQuota) {
		e.Errorf("%s: %v, want a QuotaError", method, err)
	} else if want := (pin.QuotaError{Used: used, Asked: asked, Limit: limit}); *over != want {
		e.Errorf("%s: %+v, want %+v", method, *over, want)
	}
}

// failedOver checks that a request failed for the quota of bytes.
func (e *env) failedOver(r pin.Request, used, asked, limit uint64) {
	e.Helper()
	want := (&pin.QuotaError{Used: used, Asked: asked, Limit: limit}).Error()
	if got := e.get(r); got.Status != pin.Failed || got.Details != want {
		e.Errorf("%s, %q; want failed, %q", got.Status, got.Details, want)
	}
}

func testBytesLimit(e *env) {
	e.limitBytes(2500)
	e.pinned(alice, DAGSpec(1))
	e.pinned(bob, DAGSpec(2))
	e.add(alice, DAGSpec(2)) // is charged at once
	e.usage(2, 2)
	e.pinned(bob, DAGSpec(3))
	_, err := e.recs.Add(e.ctx, alice, DAGSpec(3))
	e.overBytes("Add of what is complete", err, 2000, 1000, 2500)
	e.add(alice, DAGSpec(2)) // which costs nothing more
	// What is not complete is decided when it is.
	four := e.add(alice, DAGSpec(4))
	his := e.add(bob, DAGSpec(4))
	a := e.begin(DAGSpec(4))
	e.released(e.complete(DAGSpec(4), a))
	e.failedOver(four, 2000, 1000, 2500)
	e.status(his, pin.Pinned)
	_, err = e.recs.Retry(e.ctx, alice, four.ID)
	e.overBytes("Retry", err, 2000, 1000, 2500)
	// If no account has room, the DAG is released at once.
	five, again := e.add(alice, DAGSpec(5)), e.add(alice, DAGSpec(5))
	a = e.begin(DAGSpec(5))
	e.released(e.complete(DAGSpec(5), a), a)
	e.failedOver(five, 2000, 1000, 2500)
	e.failedOver(again, 2000, 1000, 2500)
	_, _, err = e.recs.Begin(e.ctx, DAGSpec(5).DAG())
	e.notFound("Begin", "of what nobody has room for", err)
	// A full account gets nothing new, and what it has stays.
	e.limitBytes(2000)
	_, err = e.recs.Add(e.ctx, alice, DAGSpec(6))
	e.overBytes("Add in a full account", err, 2000, 0, 2000)
	_, err = e.recs.Retry(e.ctx, alice, five.ID)
	e.overBytes("Retry in a full account", err, 2000, 0, 2000)
	_, _, _, err = e.recs.Replace(e.ctx, alice, five.ID, DAGSpec(6))
	e.overBytes("Replace of a failed one in a full account", err, 2000, 0, 2000)
	e.usage(2, 2)
}

func testBytesLimitReplace(e *env) {
	e.limitBytes(1500)
	r, a := e.pinned(alice, DAGSpec(1))
	// What goes makes room for what comes, whether that is complete or not.
	r, _ = e.replace(alice, r.ID, DAGSpec(2))
	e.usage(1, 1)
	b := e.begin(DAGSpec(2))
	n, released, err := e.recs.FailOverQuota(e.ctx, alice, DAGSpec(2).DAG(), 1500)
	e.must(err)
	e.released(released)
	if n != 0 {
		e.Errorf("%d requests fail with as much as there is room for", n)
	}
	e.released(e.complete(DAGSpec(2), b), a)
	e.status(r, pin.Pinned)
	e.pinned(bob, DAGSpec(3))
	r, released = e.replace(alice, r.ID, DAGSpec(3))
	e.released(released, b)
	e.usage(1, 1)
	// What another request has pinned makes none.
	e.limitBytes(2500)
	other := e.add(alice, DAGSpec(3))
	r, _ = e.replace(alice, r.ID, DAGSpec(4))
	d := e.begin(DAGSpec(4))
	e.limitBytes(1500)
	e.released(e.complete(DAGSpec(4), d), d)
	e.failedOver(r, 1000, 1000, 1500)
	e.usage(1, 1)
	e.status(other, pin.Pinned)
	// Nor does what is held twice until both let go of it.
	e.limitBytes(0)
	one, _ := e.pinned(alice, DAGSpec(5))
	two := e.add(alice, DAGSpec(5))
	e.limitBytes(2500)
	one, _ = e.replace(alice, one.ID, DAGSpec(6))
	two, _ = e.replace(alice, two.ID, DAGSpec(7))
	f := e.begin(DAGSpec(6))
	e.released(e.complete(DAGSpec(6), f), f)
	e.failedOver(one, 2000, 1000, 2500)
	g := e.begin(DAGSpec(7))
	e.complete(DAGSpec(7), g)
	e.status(two, pin.Pinned)
	e.usage(2, 2)
}

func testFailOverQuota(e *env) {
	e.limitBytes(2500)
	over := func(n int, bytes uint64, failed int, want ...pin.Attempt) {
		e.Helper()
		got, released, err := e.recs.FailOverQuota(e.ctx, alice, DAGSpec(n).DAG(), bytes)
		e.must(err)
		e.released(released, want...)
		if got != failed {
			e.Errorf("%d requests fail, want %d", got, failed)
		}
	}
	e.pinned(alice, DAGSpec(1))
	mine := e.add(alice, DAGSpec(2))
	a := e.begin(DAGSpec(2))
	late, his := e.add(alice, DAGSpec(2)), e.add(bob, DAGSpec(2))
	over(2, 1500, 0)
	over(1, 5000, 0) // which is pinned
	over(9, 5000, 0) // which nobody asked for
	e.status(late, pin.Queued)
	over(2, 1501, 2)
	for _, r := range []pin.Request{mine, late} {
		e.failedOver(r, 1000, 1501, 2500)
	}
	e.begin(DAGSpec(2))
	e.status(his, pin.Pinning)
	e.released(e.remove(his), a)
	r := e.add(alice, DAGSpec(3))
	b := e.begin(DAGSpec(3))
	over(3, 1501, 1, b)
	e.status(r, pin.Failed)
}

// Of many calls at the same time, exactly as many succeed as there is room for.
func testBytesLimitTogether(e *env) {
	const together = 50
	e.pinned(bob, DAGSpec(0))
	e.limitBytes(1500)
	var wg sync.WaitGroup
	for n := 1; n <= together; n++ {
		e.add(alice, DAGSpec(n))
		a := e.begin(DAGSpec(n))
		wg.Go(func() {
			if _, _, err := e.recs.Complete(e.ctx, DAGSpec(n).DAG(), a, pin.Totals{Blocks: 3, Bytes: 1000}); err != nil {
				e.Error(err)
			}
		})
		wg.Go(func() { // and one that is complete is added
			if _, err := e.recs.Add(e.ctx, alice, DAGSpec(0)); err != nil && !errors.Is(err, pin.ErrQuota) {
				e.Error(err)
			}
		})
	}
	wg.Wait()
	u, err := e.recs.Usage(e.ctx, alice)
	e.must(err)
	if u.DAGs != 1 || u.Bytes != 1000 {
		e.Errorf("usage %+v of 1500 bytes", u)
	}
}

// A repaired pin stays, even if its account has less room by then than when it was made.
func testBytesLimitRepair(e *env) {
	r, _ := e.pinned(alice, DAGSpec(1))
	e.limitBytes(500)
	_, err := e.recs.(pin.Refetcher).Refetch(e.ctx, DAGSpec(1).DAG())
	e.must(err)
	e.status(r, pin.Pinning)
	a := e.begin(DAGSpec(1))
	n, released, err := e.recs.FailOverQuota(e.ctx, alice, DAGSpec(1).DAG(), 1000)
	e.must(err)
	e.released(released)
	if n != 0 {
		e.Errorf("%d requests fail", n)
	}
	e.released(e.complete(DAGSpec(1), a))
	e.status(r, pin.Pinned)
	e.usage(1, 1)
}
