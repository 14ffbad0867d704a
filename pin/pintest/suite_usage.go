package pintest

import "github.com/holdfast-ipfs/holdfast/pin"

// usage checks what alice takes up: so many pins as a quota counts them, and so many DAGs that are charged,
// each of which has the totals that [env.complete] gives.
func (e *env) usage(pins, dags uint64) {
	e.Helper()
	got, err := e.recs.Usage(e.ctx, alice)
	e.must(err)
	if want := (pin.Usage{Pins: pins, DAGs: dags, Blocks: 3 * dags, Bytes: 1000 * dags}); got != want {
		e.Errorf("usage %+v, want %+v", got, want)
	}
}

func testUsage(e *env) {
	e.usage(0, 0)
	r, _ := e.pinned(alice, DAGSpec(1))
	again := e.add(alice, DAGSpec(1)) // counts once, and is charged once
	e.pinned(bob, DAGSpec(2))
	e.usage(1, 1)
	e.add(alice, DAGSpec(2)) // in full, whoever has it too
	e.usage(2, 2)
	e.add(alice, DAGSpec(3))
	e.begin(DAGSpec(3))
	e.usage(3, 2) // not before it is complete
	e.reopen()
	e.remove(r)
	e.usage(3, 2)
	e.remove(again)
	e.usage(2, 1)
	e.fail(DAGSpec(3), "why")
	e.usage(1, 1)
}

// A pinned DAG is charged until the request that replaced it is done, however that ends.
func testUsageReplaced(e *env) {
	r, _ := e.pinned(alice, DAGSpec(1))
	for n := 2; n < 10; n++ { // a chain of which nothing is received
		r, _ = e.replace(alice, r.ID, DAGSpec(n))
		e.usage(1, 1)
		e.begin(DAGSpec(n))
	}
	e.reopen()
	e.complete(DAGSpec(9), e.begin(DAGSpec(9)))
	e.usage(1, 1) // of the new one

	r, _ = e.replace(alice, r.ID, DAGSpec(10))
	other := e.add(alice, DAGSpec(9)) // is charged with what is held, once
	e.usage(2, 1)
	e.remove(other)
	e.usage(1, 1)
	e.fail(DAGSpec(10), "why")
	e.usage(0, 0)
	e.remove(r)

	r, _ = e.pinned(alice, DAGSpec(1))
	r, _ = e.replace(alice, r.ID, DAGSpec(2))
	r, _ = e.replace(alice, r.ID, DAGSpec(1)) // and back, which is pinned at once
	e.usage(1, 1)
	r, _ = e.replace(alice, r.ID, DAGSpec(2))
	e.remove(r)
	e.usage(0, 0)

	// Two that are replaced by the same.
	one, _ := e.pinned(alice, DAGSpec(3))
	two, _ := e.pinned(alice, DAGSpec(4))
	e.replace(alice, one.ID, DAGSpec(5))
	e.replace(alice, two.ID, DAGSpec(5))
	e.usage(1, 2)
	e.complete(DAGSpec(5), e.begin(DAGSpec(5)))
	e.usage(1, 1)
}
