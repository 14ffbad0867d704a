package pintest

import (
	"slices"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// partials lists what is noted of DAGs.
func (e *env) partials() (all []pin.Waiting) {
	e.Helper()
	for w, err := range e.recs.Partials(e.ctx) {
		e.must(err)
		slices.Sort(w.Accounts)
		all = append(all, w)
	}
	return all
}

// sameKept checks what is noted of a DAG, and of no other, and who waits for it.
func (e *env) sameKept(s pin.Spec, want pin.Kept, accounts ...string) {
	e.Helper()
	got, _, err := e.recs.Kept(e.ctx, s.DAG())
	e.must(err)
	if got.Blocks != want.Blocks || got.Bytes != want.Bytes || !got.Last.Equal(want.Last) {
		e.Errorf("%+v is kept, want %+v", got, want)
	}
	all := e.partials()
	switch {
	case len(accounts) == 0 && len(all) == 0:
	case len(all) != 1 || all[0].DAG != s.DAG() || all[0].Bytes != want.Bytes || !all[0].Last.Equal(want.Last) || !slices.Equal(all[0].Accounts, accounts):
		e.Errorf("noted are %+v, want %+v of %s for %v", all, want, s.DAG(), accounts)
	}
}

func (e *env) keep(s pin.Spec, a pin.Attempt, p pin.Kept) {
	e.Helper()
	e.must(e.recs.Keep(e.ctx, s.DAG(), a, p))
}

// What is there of a DAG is noted until the DAG is complete or nobody waits for it.
func testPartial(e *env) {
	one, none := DAGSpec(1), pin.Kept{}
	some := pin.Kept{Blocks: 3, Bytes: 1000, Last: e.clock.now().Truncate(time.Millisecond), Troubles: "nobody has one block"}
	e.sameKept(one, none)
	r := e.add(alice, one)
	e.keep(one, 1, some) // not its attempt
	e.sameKept(one, none)
	a := e.begin(one)
	e.keep(one, a, some)
	e.sameKept(one, some, alice)
	e.add(bob, one)
	e.reopen()
	e.sameKept(one, some, alice, bob)
	some.Bytes += 10
	e.keep(one, a, some)
	e.remove(r)
	e.sameKept(one, some, bob)
	e.released(e.complete(one, a))
	e.sameKept(one, none)
	e.keep(one, a, some)
	e.sameKept(one, none)

	two := DAGSpec(2)
	e.add(alice, two)
	a = e.begin(two)
	e.keep(two, a, some)
	e.released(e.fail(two, "nobody has it"), a)
	e.sameKept(two, none)
}

// What is there of a DAG gives way, and its requests are not touched.
func testGiveWay(e *env) {
	one := DAGSpec(1)
	some := pin.Kept{Blocks: 3, Bytes: 1000, Last: e.clock.now().Truncate(time.Millisecond)}
	giveWay := func(want ...pin.Attempt) {
		e.Helper()
		released, err := e.recs.GiveWay(e.ctx, one.DAG())
		e.must(err)
		e.released(released, want...)
	}
	giveWay()
	r := e.add(alice, one)
	a := e.begin(one)
	giveWay() // nothing is noted
	e.keep(one, a, some)
	giveWay(a)
	e.status(r, pin.Pinning)
	some.Blocks, some.Bytes = 0, 0
	e.sameKept(one, some, alice)
	giveWay()
	e.must(e.recs.Dropped(e.ctx, a))
	b := e.begin(one)
	if a == b {
		e.Errorf("attempt %d is given out again", a)
	}
	e.keep(one, a, pin.Kept{Bytes: 5, Last: some.Last})
	e.sameKept(one, some, alice)
	e.released(e.complete(one, b))
	e.status(r, pin.Pinned)
	giveWay()
	e.released(e.remove(r), b)
}
