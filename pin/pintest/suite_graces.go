package pintest

import (
	"errors"
	"fmt"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// linger removes a request so that its DAG lingers.
func (e *env) linger(r pin.Request) []pin.Attempt {
	e.Helper()
	old, released, err := e.recs.Linger(e.ctx, r.Account, r.ID)
	e.must(err)
	if old.ID != r.ID || old.Status != r.Status {
		e.Fatalf("unpinned %s (%s), was given back %s (%s)", r.ID, r.Status, old.ID, old.Status)
	}
	return released
}

// lingering checks what lingers.
func (e *env) lingering(dags int, bytes uint64) {
	e.Helper()
	l, err := e.recs.Lingering(e.ctx)
	e.must(err)
	if l.DAGs != uint64(dags) || l.Bytes != bytes {
		e.Errorf("%+v lingers, want %d DAGs of %d bytes", l, dags, bytes)
	}
}

// endLingering ends what has lingered for so long, in one call.
func (e *env) endLingering(account string, age time.Duration, graces int, want ...pin.Attempt) {
	e.Helper()
	got, more, err := e.recs.EndLingering(e.ctx, account, age)
	e.must(err)
	if got.Graces != graces || more {
		e.Errorf("%d graces ended, more %v, want %d", got.Graces, more, graces)
	}
	e.released(got.Released, want...)
}

// gone checks that nothing shows a request.
func (e *env) gone(r pin.Request) {
	e.Helper()
	if _, err := e.recs.Get(e.ctx, r.Account, r.ID); !errors.Is(err, pin.ErrNotFound) {
		e.Errorf("Get of what was unpinned: %v", err)
	}
	for _, s := range pin.Statuses() {
		if p := e.list(r.Account, pin.Query{Statuses: []pin.Status{s}, Limit: 10}); p.Count != 0 {
			e.Errorf("%d requests are %s", p.Count, s)
		}
	}
	if p := e.list(r.Account, pin.Query{DAGs: []pin.DAG{r.DAG()}, Statuses: pin.Statuses(), Limit: 10}); p.Count != 0 {
		e.Errorf("%d requests are for the DAG", p.Count)
	}
	if found, err := e.recs.For(e.ctx, r.Account, r.Root, 10); err != nil || len(found) > 0 {
		e.Errorf("%d requests for the CID, %v", len(found), err)
	}
	u, err := e.recs.Usage(e.ctx, r.Account)
	if e.must(err); u != (pin.Usage{}) {
		e.Errorf("usage is %+v", u)
	}
}

// What was unpinned is in no list, count, quota or usage, and is held all the same.
func testLinger(e *env) {
	one := DAGSpec(1)
	r, a := e.pinned(alice, one)
	e.released(e.linger(r))
	check := func() {
		e.Helper()
		e.gone(r)
		e.lingering(1, 1000)
		if got := e.roots(); len(got) != 1 || got[0] != one.DAG() {
			e.Errorf("roots %v", got)
		}
		marked, err := e.recs.Released(e.ctx)
		if e.must(err); len(marked) > 0 {
			e.Errorf("released are %v", marked)
		}
	}
	check()
	e.reopen()
	check()
	if _, _, err := e.recs.Linger(e.ctx, alice, r.ID); !errors.Is(err, pin.ErrNotFound) {
		e.Errorf("unpinned twice: %v", err)
	}
	if _, _, err := e.recs.Begin(e.ctx, DAGSpec(2).DAG()); !errors.Is(err, pin.ErrNotFound) {
		e.Errorf("Begin of another: %v", err)
	}
	// No quota counts it.
	e.recs.SetQuotas(QuotaFunc(func(string) pin.Quota { return pin.Quota{Pins: 1, Bytes: 1000} }))
	e.pinned(alice, DAGSpec(2))
	e.endLingering("", 0, 1, a)
	e.lingering(0, 0)
}

// A request that comes for what lingers is pinned at once, under the same attempt. What another
// account adds or removes leaves it as it is.
func testRevive(e *env) {
	one := DAGSpec(1)
	r, a := e.pinned(alice, one)
	e.released(e.linger(r))
	of := e.add(bob, one)
	e.status(of, pin.Pinned)
	e.lingering(1, 1000)
	e.released(e.remove(of))
	e.reopen()
	again := e.add(alice, one)
	if again.ID == r.ID {
		e.Error("the removed request came back")
	}
	e.status(again, pin.Pinned)
	e.lingering(0, 0)
	e.endLingering("", 0, 0)
	e.released(e.remove(again), a)

	two := DAGSpec(2)
	r, a = e.pinned(alice, two)
	e.released(e.linger(r))
	x, _ := e.pinned(alice, DAGSpec(3))
	now, released := e.replace(alice, x.ID, two)
	if now.Status != pin.Pinned || len(released) != 1 {
		e.Errorf("the replacement is %s and released %v", now.Status, released)
	}
	e.lingering(0, 0)
	e.released(e.remove(now), a)
}

// What is not complete lingers too: a request that comes goes on under its attempt.
func testLingerPartial(e *env) {
	one := DAGSpec(1)
	r := e.add(alice, one)
	a := e.begin(one)
	e.status(r, pin.Pinning)
	e.keep(one, a, pin.Kept{Blocks: 3, Bytes: 500, Last: e.clock.now().Truncate(time.Millisecond)})
	e.released(e.linger(e.get(r)))
	e.gone(r)
	e.lingering(1, 500)
	if _, _, err := e.recs.Begin(e.ctx, one.DAG()); !errors.Is(err, pin.ErrNotFound) {
		e.Errorf("Begin without a request: %v", err)
	}
	e.reopen()
	if got := e.partials(); len(got) > 0 { // nobody waits for it
		e.Errorf("noted are %+v", got)
	}
	again := e.add(alice, one)
	e.status(again, pin.Queued)
	if b := e.begin(one); b != a {
		e.Errorf("attempt %d, want %d", b, a)
	}
	e.released(e.complete(one, a))
	e.released(e.linger(e.get(again)))
	e.lingering(1, 1000)

	two := DAGSpec(2) // queued: there is no attempt
	e.released(e.linger(e.add(alice, two)))
	e.lingering(2, 1000)
	e.endLingering("", 0, 2, a)
}

// Two requests for one DAG: it lingers once the last is unpinned.
func testLingerVersions(e *env) {
	v1 := DAGSpec(1)
	r, a := e.pinned(alice, v1)
	other := e.add(alice, named(1, "another"))
	e.released(e.linger(r))
	e.lingering(0, 0)
	e.status(other, pin.Pinned)
	e.clock.move(time.Second)
	e.released(e.linger(other))
	e.lingering(1, 1000)
	e.endLingering("", time.Second, 0)
	// Of two accounts each has its own.
	of := e.add(bob, v1)
	e.released(e.linger(of))
	e.lingering(2, 2000)
	e.endLingering(alice, 0, 1)
	e.lingering(1, 1000)
	e.endLingering(alice, 0, 0)
	e.endLingering(bob, 0, 1, a)
}

// What failed holds nothing, and does not linger. A failed request that is tried again ends the
// lingering.
func testLingerFailed(e *env) {
	one := DAGSpec(1)
	r := e.add(alice, one)
	a := e.begin(one)
	e.released(e.fail(one, "no"), a)
	e.released(e.linger(e.get(r)))
	e.gone(r)
	e.lingering(0, 0)

	two := DAGSpec(2)
	bad := e.add(alice, two)
	b := e.begin(two)
	e.released(e.fail(two, "no"), b)
	good, c := e.pinned(alice, two)
	e.released(e.linger(good))
	e.lingering(1, 1000)
	e.status(bad, pin.Failed)
	now, err := e.recs.Retry(e.ctx, alice, bad.ID)
	e.must(err)
	e.status(now, pin.Pinned)
	e.lingering(0, 0)
	e.released(e.remove(now), c)
}

// What a request had taken over is let go of.
func testLingerReplaced(e *env) {
	old, a := e.pinned(alice, DAGSpec(1))
	now, released := e.replace(alice, old.ID, DAGSpec(2))
	e.released(released)
	b := e.begin(DAGSpec(2))
	e.released(e.linger(e.get(now)), a)
	e.gone(now)
	e.endLingering("", 0, 1, b)
}

// What has lingered for long enough ends, the oldest first.
func testEndLingering(e *env) {
	r, a := e.pinned(alice, DAGSpec(1))
	e.released(e.linger(r))
	e.clock.move(time.Hour)
	s, b := e.pinned(bob, DAGSpec(2))
	e.released(e.linger(s))
	e.endLingering("", time.Hour+time.Millisecond, 0)
	e.reopen()
	e.endLingering("", time.Hour, 1, a)
	e.lingering(1, 1000)
	e.clock.move(time.Hour)
	e.endLingering("nobody", 0, 0)
	e.endLingering("", time.Hour, 1, b)
	if got := e.roots(); len(got) > 0 {
		e.Errorf("roots %v", got)
	}
}

// A clock that steps back ends nothing, and lengthens what lingers by no more than its grace.
func testEndLingeringClock(e *env) {
	const grace = time.Hour
	e.clock.move(365 * 24 * time.Hour) // it is wrong
	r, a := e.pinned(alice, DAGSpec(1))
	e.released(e.linger(r))
	e.clock.move(-364 * 24 * time.Hour)
	s, b := e.pinned(alice, DAGSpec(2))
	e.released(e.linger(s))
	e.endLingering("", grace, 0)
	e.lingering(2, 2000)
	e.clock.move(grace / 2)
	e.reopen()
	e.endLingering("", grace, 0)
	e.clock.move(grace / 2)
	e.endLingering("", grace, 2, a, b)

	r, a = e.pinned(alice, DAGSpec(3))
	e.released(e.linger(r))
	e.clock.move(-time.Hour)
	e.endLingering("", 0, 1, a) // all means all
}

// Each call ends some of many.
func testEndLingeringMany(e *env) {
	const n = pin.EndsAtOnce + 7
	for i := range n {
		r := e.add(alice, DAGSpec(i))
		e.released(e.linger(r))
		e.clock.move(time.Millisecond)
	}
	ended := 0
	for more := true; more; {
		var got pin.Ended
		var err error
		got, more, err = e.recs.EndLingering(e.ctx, "", 0)
		e.must(err)
		ended += got.Graces
	}
	if ended != n {
		e.Errorf("%d graces ended, want %d", ended, n)
	}
	e.lingering(0, 0)
}

// A full disk takes what has lingered longest.
func testEndOldest(e *env) {
	var all []pin.Attempt
	for i := range 4 {
		r, a := e.pinned(alice, DAGSpec(i))
		e.released(e.linger(r))
		all = append(all, a)
		e.clock.move(-time.Minute) // the order is that of the calls
	}
	age := time.Duration(0)
	end := func(bytes uint64, want ...pin.Attempt) {
		e.Helper()
		got, err := e.recs.EndOldest(e.ctx, age, bytes)
		e.must(err)
		if got.Graces != len(want) || got.Bytes != 1000*uint64(len(want)) {
			e.Errorf("ended %+v, want %d", got, len(want))
		}
		e.released(got.Released, want...)
	}
	end(1001, all[0], all[1])
	e.lingering(2, 2000)
	e.reopen()
	end(0, all[2])
	end(1<<40, all[3])
	end(1 << 40)
	e.lingering(0, 0)
	// What has lingered for a shorter time stays.
	r, a := e.pinned(alice, DAGSpec(5))
	e.released(e.linger(r))
	e.clock.move(time.Minute)
	s, b := e.pinned(alice, DAGSpec(6))
	e.released(e.linger(s))
	age = time.Minute + time.Millisecond
	end(1 << 40)
	age = time.Minute
	end(1<<40, a)
	e.clock.move(-time.Hour)
	end(1 << 40)
	age = 0
	end(1<<40, b)
}

// Requests are found by their CID as it is written.
func testFor(e *env) {
	v0 := cid.NewCidV0(DAGSpec(1).Root.Hash())
	v1 := cid.NewCidV1(cid.DagProtobuf, v0.Hash())
	of := func(c cid.Cid, name string) pin.Spec { return pin.Spec{CID: c.String(), Root: c, Name: name} }
	find := func(account string, c cid.Cid, limit int, want ...pin.Request) {
		e.Helper()
		got, err := e.recs.For(e.ctx, account, c, limit)
		e.must(err)
		if len(got) != len(want) {
			e.Fatalf("%d requests for %s, want %d", len(got), c, len(want))
		}
		for i := range want {
			if d := diff(got[i], e.get(want[i])); d != "" {
				e.Error(d)
			}
		}
	}
	find(alice, v0, 10)
	zero, one := e.add(alice, of(v0, "zero")), e.add(alice, of(v1, "one"))
	find(alice, v0, 10, zero)
	find(alice, v1, 10, one)
	find(bob, v0, 10)
	find("nobody", v0, 10)
	find(alice, cid.NewCidV1(cid.Raw, v0.Hash()), 10) // another DAG
	again := e.add(alice, of(v0, "again"))
	find(alice, v0, 10, again, zero)
	find(alice, v0, 1, again)
	find(alice, v0, 0)
	a := e.begin(of(v1, ""))
	find(alice, v0, 10, again, zero)
	e.released(e.complete(of(v1, ""), a))
	find(alice, v0, 10, again, zero)
	e.reopen()
	find(alice, v1, 10, one)
	e.remove(again)
	find(alice, v0, 10, zero)
}

// Every change that returned is seen at once.
func testForChanges(e *env) {
	for i := range 20 {
		s := named(i%3, fmt.Sprint(i))
		saw := func(want int, status pin.Status) {
			e.Helper()
			got, err := e.recs.For(e.ctx, alice, s.Root, 10)
			e.must(err)
			if len(got) != want || want > 0 && got[0].Status != status {
				e.Fatalf("round %d: %d requests, want %d that are %s: %+v", i, len(got), want, status, got)
			}
		}
		saw(0, "")
		r := e.add(alice, s)
		saw(1, pin.Queued)
		a := e.begin(s)
		saw(1, pin.Pinning)
		if i%2 == 0 {
			e.complete(s, a)
			saw(1, pin.Pinned)
			e.linger(e.get(r))
			saw(0, "")
			e.endLingering("", 0, 1, a)
			continue
		}
		e.fail(s, "no")
		saw(1, pin.Failed)
		e.remove(r)
		saw(0, "")
	}
}
