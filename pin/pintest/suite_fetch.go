package pintest

import (
	"errors"
	"reflect"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
)

func testBeginTwice(e *env) {
	r := e.add(alice, DAGSpec(1))
	a := e.begin(DAGSpec(1))
	late := e.add(alice, DAGSpec(1))
	if late.Status != pin.Queued {
		e.Errorf("added as %s", late.Status)
	}
	if again := e.begin(DAGSpec(1)); again != a {
		e.Errorf("attempt %d, then %d", a, again)
	}
	e.status(r, pin.Pinning)
	e.status(late, pin.Pinning)
	e.reopen()
	if again := e.begin(DAGSpec(1)); again != a {
		e.Errorf("attempt %d, after a restart %d", a, again)
	}
}

func testBeginComplete(e *env) {
	r, a := e.pinned(alice, DAGSpec(1))
	got, complete, err := e.recs.Begin(e.ctx, DAGSpec(1).DAG())
	e.must(err)
	if got != a || !complete {
		e.Errorf("attempt %d, complete %v; want %d and true", got, complete, a)
	}
	e.status(r, pin.Pinned)
}

func testAttempts(e *env) {
	seen := map[pin.Attempt]bool{}
	for i := range 20 {
		r := e.add(alice, DAGSpec(i%2))
		a := e.begin(DAGSpec(i % 2))
		if seen[a] {
			e.Fatalf("attempt %d twice", a)
		}
		seen[a] = true
		e.released(e.remove(r), a)
		if i%3 == 0 {
			e.must(e.recs.Dropped(e.ctx, a))
		}
		if i%5 == 0 {
			e.reopen()
		}
	}
}

func testComplete(e *env) {
	queued := e.add(alice, DAGSpec(1))
	a := e.begin(DAGSpec(1))
	late := e.add(bob, DAGSpec(1))
	other := e.add(alice, DAGSpec(2))
	e.released(e.complete(DAGSpec(1), a))
	e.status(queued, pin.Pinned)
	e.status(late, pin.Pinned)
	e.status(other, pin.Queued)
	e.released(e.complete(DAGSpec(1), a)) // again is harmless
	e.reopen()
	e.status(queued, pin.Pinned)
	e.status(late, pin.Pinned)
}

func testSuperseded(e *env) {
	complete := func(a pin.Attempt) {
		e.Helper()
		if _, _, err := e.recs.Complete(e.ctx, DAGSpec(1).DAG(), a, pin.Totals{Blocks: 1}); !errors.Is(err, pin.ErrSuperseded) {
			e.Errorf("Complete(%d): %v", a, err)
		}
	}
	complete(0)
	complete(1)
	r := e.add(alice, DAGSpec(1))
	complete(0)
	old := e.begin(DAGSpec(1))
	e.released(e.remove(r), old)
	complete(old)
	r = e.add(alice, DAGSpec(1))
	complete(old)
	now := e.begin(DAGSpec(1))
	complete(old)
	complete(now + 1)
	e.status(r, pin.Pinning)
	e.released(e.complete(DAGSpec(1), now))
	e.status(r, pin.Pinned)
}

func testCompleteMany(e *env) {
	const n = 700
	for i := range n {
		e.add([]string{alice, bob}[i%2], DAGSpec(1))
	}
	a := e.begin(DAGSpec(1))
	check := func(s pin.Status) {
		e.Helper()
		for _, account := range []string{alice, bob} {
			if got := e.list(account, pin.Query{Statuses: []pin.Status{s}}); got.Count != n/2 {
				e.Errorf("%d of %s are %s, want %d", got.Count, account, s, n/2)
			}
		}
	}
	check(pin.Pinning)
	e.released(e.complete(DAGSpec(1), a))
	check(pin.Pinned)
}

func testFail(e *env) {
	a := e.add(alice, DAGSpec(1))
	attempt := e.begin(DAGSpec(1))
	b := e.add(bob, DAGSpec(1))
	other := e.add(bob, DAGSpec(2))
	e.released(e.fail(DAGSpec(1), "nobody has it"), attempt)
	for _, r := range []pin.Request{a, b} {
		if got := e.get(r); got.Status != pin.Failed || got.Details != "nobody has it" {
			e.Errorf("%s, %q", got.Status, got.Details)
		}
	}
	e.status(other, pin.Queued)
	e.released(e.fail(DAGSpec(1), "again"))
	if got := e.get(a); got.Details != "nobody has it" {
		e.Errorf("failed again: %q", got.Details)
	}
	e.released(e.fail(DAGSpec(9), "never seen"))
	_, _, err := e.recs.Begin(e.ctx, DAGSpec(1).DAG())
	e.notFound("Begin", "of a failed DAG", err)
	e.released(e.remove(a))
}

func testRetry(e *env) {
	r := e.add(alice, DAGSpec(1))
	_, err := e.recs.Retry(e.ctx, alice, r.ID)
	e.notFailed(err)
	old := e.begin(DAGSpec(1))
	_, err = e.recs.Retry(e.ctx, alice, r.ID)
	e.notFailed(err)
	e.released(e.fail(DAGSpec(1), "why"), old)

	again, err := e.recs.Retry(e.ctx, alice, r.ID)
	e.must(err)
	want := r
	want.Status, want.Details = pin.Queued, ""
	if d := diff(again, want); d != "" {
		e.Error(d)
	}
	if d := diff(e.get(r), want); d != "" {
		e.Error(d)
	}
	a := e.begin(DAGSpec(1))
	if a == old {
		e.Error("a released attempt came back")
	}
	e.released(e.complete(DAGSpec(1), a))
	_, err = e.recs.Retry(e.ctx, alice, r.ID)
	e.notFailed(err)
	e.released(e.remove(r), a)
}

func (e *env) notFailed(err error) {
	e.Helper()
	if !errors.Is(err, pin.ErrNotFailed) {
		e.Errorf("Retry: %v", err)
	}
}

func testRetryComplete(e *env) {
	r := e.add(alice, DAGSpec(1))
	e.released(e.fail(DAGSpec(1), "why"))
	_, a := e.pinned(bob, DAGSpec(1))
	e.status(r, pin.Failed)
	again, err := e.recs.Retry(e.ctx, alice, r.ID)
	e.must(err)
	if again.Status != pin.Pinned || again.Details != "" {
		e.Errorf("%s, %q", again.Status, again.Details)
	}
	for _, account := range []string{alice, bob} {
		if got := e.list(account, pin.Query{}); got.Count != 1 {
			e.Errorf("%s has %d pinned", account, got.Count)
		}
	}
	e.released(e.remove(e.list(bob, pin.Query{Limit: 1}).Requests[0]))
	e.released(e.remove(r), a)
}

// A DAG is being repaired from Refetch until it is complete again.
func testRepairing(e *env) {
	refetcher, ok := e.recs.(pin.Refetcher)
	if !ok {
		e.Fatal("they cannot take back that a DAG is complete")
	}
	check := func(n int, want bool) {
		e.Helper()
		got, err := e.recs.Repairing(e.ctx, DAGSpec(n).DAG())
		e.must(err)
		if got != want {
			e.Errorf("repairing DAG %d: %v", n, got)
		}
		if _, got, err = e.recs.Kept(e.ctx, DAGSpec(n).DAG()); err != nil || got != want {
			e.Errorf("what is kept of DAG %d says that it is repaired: %v, %v", n, got, err)
		}
	}
	_, a := e.pinned(alice, DAGSpec(1))
	e.add(alice, DAGSpec(2))
	e.begin(DAGSpec(2))
	for n := range 3 {
		check(n, false)
	}
	for n := 1; n <= 2; n++ {
		_, err := refetcher.Refetch(e.ctx, DAGSpec(n).DAG())
		e.must(err)
	}
	check(1, true)
	check(2, false) // which was not complete
	e.reopen()
	check(1, true)
	e.released(e.complete(DAGSpec(1), a))
	check(1, false)
}

// testDelivered: who delivered a DAG is known of the requests for which it was fetched, and of
// those that replace them, until the account has it pinned no more.
func testDelivered(e *env) {
	by := &pin.Delivered{
		At:      time.Date(2026, 3, 1, 12, 0, 0, int(5*time.Millisecond), time.UTC),
		Sources: []pin.Source{{Name: "12D3KooWa", Blocks: 2, Bytes: 700}, {Name: "https://gateway.example", Blocks: 1, Bytes: 50}},
		Others:  3, Rest: pin.Source{Blocks: 4, Bytes: 250},
	}
	has := func(r pin.Request, want *pin.Delivered) {
		e.Helper()
		for range 2 {
			if got := e.get(r).Totals.By; !reflect.DeepEqual(got, want) {
				e.Errorf("%s was delivered by %+v, want %+v", r.ID, got, want)
			}
			e.reopen()
		}
	}
	first, second := e.add(alice, DAGSpec(1)), e.add(alice, DAGSpec(1))
	a := e.begin(DAGSpec(1))
	has(first, nil)
	_, _, err := e.recs.Complete(e.ctx, DAGSpec(1).DAG(), a, pin.Totals{Blocks: 7, Bytes: 1000, By: by})
	e.must(err)
	has(first, by)
	has(second, by)
	if page := e.list(alice, pin.Query{Limit: 5}); len(page.Requests) != 2 || page.Requests[0].Totals != (pin.Totals{Blocks: 7, Bytes: 1000}) {
		e.Errorf("the list has %+v", page.Requests)
	}
	other := e.add(bob, DAGSpec(1)) // to whom those who had it before are a secret
	has(other, nil)
	e.remove(first)
	renamed := DAGSpec(1)
	renamed.Name = "another name"
	now, _, _, err := e.recs.Replace(e.ctx, alice, second.ID, renamed)
	e.must(err)
	has(now, by)
	e.remove(now)
	has(e.add(alice, DAGSpec(1)), nil)
}
