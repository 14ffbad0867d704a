package pintest

import (
	"errors"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
)

func testReplace(e *env) {
	old, a := e.pinned(alice, named(1, "old"))
	e.clock.move(time.Second)
	now, was, released, err := e.recs.Replace(e.ctx, alice, old.ID, named(2, "new"))
	e.must(err)
	e.released(released) // the new one holds it until it is done
	if d := diff(was, old); d != "" {
		e.Errorf("the old one: %s", d)
	}
	if now.ID == old.ID || now.Status != pin.Queued || now.Name != "new" || !now.Created.After(old.Created) {
		e.Errorf("the new one: %+v", now)
	}
	_, err = e.recs.Get(e.ctx, alice, old.ID)
	e.notFound("Get", old.ID, err)
	if got := e.list(alice, pin.Query{Statuses: pin.Statuses()}); got.Count != 1 {
		e.Errorf("%d requests", got.Count)
	}
	if r := e.add(bob, DAGSpec(1)); r.Status != pin.Pinned {
		e.Errorf("a held DAG is no longer complete: %s", r.Status)
	} else {
		e.released(e.remove(r))
	}
	e.reopen()
	b := e.begin(DAGSpec(2))
	e.released(e.complete(DAGSpec(2), b), a)
	e.status(now, pin.Pinned)
	e.released(e.remove(now), b)
}

func testReplaceComplete(e *env) {
	old, a := e.pinned(alice, DAGSpec(1))
	e.pinned(bob, DAGSpec(2))
	now, released := e.replace(alice, old.ID, DAGSpec(2))
	e.released(released, a)
	if now.Status != pin.Pinned {
		e.Errorf("status is %s", now.Status)
	}
}

func testReplaceSame(e *env) {
	// Complete: the new one is pinned at once, and nothing is released.
	r, a := e.pinned(alice, DAGSpec(1))
	now, released := e.replace(alice, r.ID, DAGSpec(1))
	e.released(released)
	if now.Status != pin.Pinned || now.ID == r.ID {
		e.Errorf("%+v", now)
	}
	e.released(e.remove(now), a)

	// Under way: the attempt goes on.
	r = e.add(alice, DAGSpec(2))
	b := e.begin(DAGSpec(2))
	now, released = e.replace(alice, r.ID, DAGSpec(2))
	e.released(released)
	if now.Status != pin.Queued {
		e.Errorf("status is %s", now.Status)
	}
	if again := e.begin(DAGSpec(2)); again != b {
		e.Errorf("attempt %d, then %d", b, again)
	}
	e.released(e.complete(DAGSpec(2), b))
	e.released(e.remove(now), b)

	// Queued, never begun.
	r = e.add(alice, DAGSpec(3))
	now, released = e.replace(alice, r.ID, DAGSpec(3))
	e.released(released)
	e.released(e.remove(now))
}

func testReplaceChain(e *env) {
	r, a := e.pinned(alice, DAGSpec(1))
	r, released := e.replace(alice, r.ID, DAGSpec(2))
	e.released(released)
	b := e.begin(DAGSpec(2))
	r, released = e.replace(alice, r.ID, DAGSpec(3)) // holds 3, 2 and 1
	e.released(released)
	r, released = e.replace(alice, r.ID, DAGSpec(4)) // 3 never began
	e.released(released)
	e.reopen()
	again := e.add(bob, DAGSpec(2))
	if got := e.begin(DAGSpec(2)); got != b {
		e.Errorf("attempt %d of a DAG that is held became %d", b, got)
	}
	e.released(e.remove(again))
	d := e.begin(DAGSpec(4))
	e.released(e.complete(DAGSpec(4), d), a, b)
	_, _, err := e.recs.Begin(e.ctx, DAGSpec(3).DAG())
	e.notFound("Begin", "of what nothing holds", err)
	e.released(e.remove(r), d)
}

func testReplaceBack(e *env) {
	r, a := e.pinned(alice, DAGSpec(1))
	r, _ = e.replace(alice, r.ID, DAGSpec(2))
	b := e.begin(DAGSpec(2))
	r, released := e.replace(alice, r.ID, DAGSpec(1))
	e.released(released, b)
	if r.Status != pin.Pinned {
		e.Errorf("status is %s", r.Status)
	}
	e.released(e.remove(r), a)
}

// However long a chain of replacements is, it holds the last pinned DAG and the newest
// tries.
func testReplaceRow(e *env) {
	r, first := e.pinned(alice, DAGSpec(0))
	var tries []pin.Attempt
	for n := 1; n < 30; n++ {
		var released []pin.Attempt
		r, released = e.replace(alice, r.ID, DAGSpec(n))
		if len(tries) > pin.KeptTries {
			e.released(released, tries[0])
			tries = tries[1:]
		} else {
			e.released(released)
		}
		if n%5 == 0 { // one that never began is not held, and pushes nothing out
			r, released = e.replace(alice, r.ID, DAGSpec(100+n))
			e.released(released)
			r, released = e.replace(alice, r.ID, DAGSpec(n))
			e.released(released)
		}
		tries = append(tries, e.begin(DAGSpec(n)))
		if n == 15 {
			e.reopen()
		}
	}
	if again := e.add(bob, DAGSpec(0)); again.Status != pin.Pinned {
		e.Errorf("what was pinned before the row is %s", again.Status)
	} else {
		e.released(e.remove(again))
	}
	last := tries[len(tries)-1]
	e.released(e.complete(DAGSpec(29), last), append(tries[:len(tries)-1], first)...)
	e.status(r, pin.Pinned)
	// Then the next row begins.
	r, released := e.replace(alice, r.ID, DAGSpec(30))
	e.released(released)
	e.released(e.remove(r), last)
}

// A chain that goes to and fro between DAGs holds and counts each of them once.
func testReplaceRowSame(e *env) {
	r := e.add(alice, DAGSpec(0))
	other := e.begin(DAGSpec(0))
	r, released := e.replace(alice, r.ID, DAGSpec(1))
	e.released(released)
	one := e.begin(DAGSpec(1))
	two := pin.Attempt(0)
	for n := range 20 {
		r, released = e.replace(alice, r.ID, DAGSpec(2-n%2))
		e.released(released)
		switch a := e.begin(DAGSpec(2 - n%2)); {
		case n == 0:
			two = a
		case n%2 == 0 && a != two, n%2 == 1 && a != one:
			e.Fatalf("attempts %d and %d are %d in round %d", one, two, a, n)
		}
	}
	e.released(e.complete(DAGSpec(1), one), two, other)
	e.released(e.remove(r), one)
}

func testReplaceFailed(e *env) {
	r := e.add(alice, DAGSpec(1))
	a := e.begin(DAGSpec(1))
	e.released(e.fail(DAGSpec(1), "why"), a)
	r, released := e.replace(alice, r.ID, DAGSpec(2))
	e.released(released)
	if r.Details != "" || r.Status != pin.Queued {
		e.Errorf("%+v", r)
	}
	_, _, err := e.recs.Begin(e.ctx, DAGSpec(1).DAG())
	e.notFound("Begin", "of a failed DAG", err)
}

func testReplaceRemove(e *env) {
	r, a := e.pinned(alice, DAGSpec(1))
	r, _ = e.replace(alice, r.ID, DAGSpec(2))
	b := e.begin(DAGSpec(2))
	e.released(e.remove(r), a, b)
}

func testReplaceFail(e *env) {
	r, a := e.pinned(alice, DAGSpec(1))
	r, _ = e.replace(alice, r.ID, DAGSpec(2))
	b := e.begin(DAGSpec(2))
	keep := e.add(bob, DAGSpec(1))
	e.released(e.fail(DAGSpec(2), "why"), b)
	e.status(r, pin.Failed)
	e.released(e.remove(keep), a)

	// Nobody else holds it.
	r, a = e.pinned(alice, DAGSpec(3))
	r, _ = e.replace(alice, r.ID, DAGSpec(4))
	b = e.begin(DAGSpec(4))
	e.released(e.fail(DAGSpec(4), "why"), a, b)

	// A retry holds its own DAG only.
	_, err := e.recs.Retry(e.ctx, alice, r.ID)
	e.must(err)
	_, _, err = e.recs.Begin(e.ctx, DAGSpec(3).DAG())
	e.notFound("Begin", "of what nothing holds", err)
}

func testReplaceRefused(e *env) {
	r, _ := e.pinned(alice, DAGSpec(1))
	for err := error(nil); err == nil; { // until it is too fast
		_, err = e.recs.Add(e.ctx, alice, DAGSpec(1))
	}
	_, _, released, err := e.recs.Replace(e.ctx, alice, r.ID, DAGSpec(2))
	if !errors.Is(err, pin.ErrTooFast) || len(released) > 0 {
		e.Errorf("Replace: %v, released %v", err, released)
	}
	if d := diff(e.get(r), r); d != "" {
		e.Error(d)
	}
	_, _, err = e.recs.Begin(e.ctx, DAGSpec(2).DAG())
	e.notFound("Begin", "of what was refused", err)
}

func testHeldOnly(e *env) {
	r := e.add(alice, DAGSpec(1))
	a := e.begin(DAGSpec(1))
	r, released := e.replace(alice, r.ID, DAGSpec(2))
	e.released(released)
	// No request is for it any more, so Begin does not give it out; a fetch that was at
	// its end may still complete it.
	_, _, err := e.recs.Begin(e.ctx, DAGSpec(1).DAG())
	e.notFound("Begin", "of a DAG that is only held", err)
	e.released(e.complete(DAGSpec(1), a))
	e.released(e.fail(DAGSpec(1), "nothing is for it"))
	if r := e.add(bob, DAGSpec(1)); r.Status != pin.Pinned {
		e.Errorf("status is %s", r.Status)
	} else {
		e.released(e.remove(r))
	}
	b := e.begin(DAGSpec(2))
	e.released(e.complete(DAGSpec(2), b), a)
	e.released(e.remove(r), b)
}

func testDropped(e *env) {
	r, a := e.pinned(alice, DAGSpec(1))
	if err := e.recs.Dropped(e.ctx, a); err == nil {
		e.Error("Dropped of an attempt that is in use")
	}
	fetched := e.add(alice, DAGSpec(2))
	b := e.begin(DAGSpec(2))
	if err := e.recs.Dropped(e.ctx, b); err == nil {
		e.Error("Dropped of an attempt that is under way")
	}
	e.released(e.remove(r), a)
	e.released(e.remove(fetched), b)
	e.reopen()
	marked, err := e.recs.Released(e.ctx)
	e.must(err)
	e.sameAttempts(marked, []pin.Attempt{a, b})
	for a, want := range map[pin.Attempt]pin.DAG{a: DAGSpec(1).DAG(), b: DAGSpec(2).DAG()} {
		if d, err := e.recs.ReleasedDAG(e.ctx, a); err != nil || d != want {
			e.Errorf("attempt %d was for %s, %v; want %s", a, d, err, want)
		}
	}
	e.add(alice, DAGSpec(3))
	_, err = e.recs.ReleasedDAG(e.ctx, e.begin(DAGSpec(3)))
	e.notFound("ReleasedDAG", "of an attempt in use", err)
	for range 2 { // the second finds nothing to do
		e.must(e.recs.Dropped(e.ctx, a))
		marked, err = e.recs.Released(e.ctx)
		e.must(err)
		e.sameAttempts(marked, []pin.Attempt{b})
	}
	e.must(e.recs.Dropped(e.ctx, b))
	e.must(e.recs.Dropped(e.ctx, 1<<60)) // never was
	e.must(e.recs.Dropped(e.ctx, 0))
	for _, a := range []pin.Attempt{a, b, 1 << 60, 0} {
		_, err := e.recs.ReleasedDAG(e.ctx, a)
		e.notFound("ReleasedDAG", "of an attempt that is not there", err)
	}
	marked, err = e.recs.Released(e.ctx)
	e.must(err)
	e.sameAttempts(marked, nil)
}

func testRoots(e *env) {
	if got := e.roots(); len(got) > 0 {
		e.Errorf("roots of nothing: %v", got)
	}
	_, _ = e.pinned(alice, DAGSpec(1))
	r, _ := e.pinned(bob, DAGSpec(2))
	e.add(alice, DAGSpec(3))
	e.add(alice, DAGSpec(4))
	e.begin(DAGSpec(4))
	e.wantRoots(1, 2)
	e.reopen()
	e.wantRoots(1, 2)
	e.remove(r)
	e.wantRoots(1)
	for d, err := range e.recs.Roots(e.ctx) { // may be left early
		e.must(err)
		if d != DAGSpec(1).DAG() {
			e.Errorf("root %s", d)
		}
		break
	}
}

func (e *env) wantRoots(ns ...int) {
	e.Helper()
	want := map[pin.DAG]bool{}
	for _, n := range ns {
		want[DAGSpec(n).DAG()] = true
	}
	got := e.roots()
	for _, d := range got {
		if !want[d] {
			e.Errorf("root %s is not wanted, or there twice", d)
		}
		delete(want, d)
	}
	if len(want) > 0 {
		e.Errorf("%d roots are missing of %v", len(want), got)
	}
}
