package pintest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// every makes a query select all statuses, since most cases do not filter by them.
func every(q pin.Query) pin.Query {
	q.Statuses = pin.Statuses()
	q.Limit = 1000
	return q
}

// wantNames checks the names that a query of alice's returns, newest first, and that Count
// agrees, with a page and without.
func (e *env) wantNames(q pin.Query, want ...string) {
	e.Helper()
	page := e.list(alice, q)
	got := make([]string, 0, len(page.Requests))
	for _, r := range page.Requests {
		got = append(got, r.Name)
	}
	if !slices.Equal(got, want) || page.Count != len(want) {
		e.Errorf("query %+v: count %d of %q, want %q", q, page.Count, got, want)
	}
	q.Limit = 0
	if page := e.list(alice, q); page.Count != len(want) || len(page.Requests) > 0 {
		e.Errorf("query %+v: counted %d and gave %d requests, want %d and 0", q, page.Count, len(page.Requests), len(want))
	}
}

// spread makes four requests of alice's, a second apart, one in each status and named after
// it: pinned, failed, pinning, queued.
func (e *env) spread() {
	e.Helper()
	e.pinned(alice, named(1, "pinned"))
	e.clock.move(time.Second)
	e.add(alice, named(2, "failed"))
	e.fail(DAGSpec(2), "why")
	e.clock.move(time.Second)
	e.add(alice, named(3, "pinning"))
	e.begin(DAGSpec(3))
	e.clock.move(time.Second)
	e.add(alice, named(4, "queued"))
}

func testListDefaults(e *env) {
	e.wantNames(pin.Query{})
	e.spread()
	e.wantNames(pin.Query{Limit: 10}, "pinned")
	e.wantNames(pin.Query{Limit: 10, Match: pin.IPartial}, "pinned") // no name, nothing to match
	if got := e.list("0c000000-0000-4000-8000-000000000003", every(pin.Query{})); got.Count != 0 || len(got.Requests) != 0 {
		e.Errorf("an account without requests has %+v", got)
	}
}

func testListStatus(e *env) {
	e.spread()
	for _, c := range []struct {
		statuses []pin.Status
		want     []string
	}{
		{[]pin.Status{pin.Queued}, []string{"queued"}},
		{[]pin.Status{pin.Pinning}, []string{"pinning"}},
		{[]pin.Status{pin.Pinned}, []string{"pinned"}},
		{[]pin.Status{pin.Failed}, []string{"failed"}},
		{[]pin.Status{pin.Pinned, pin.Queued}, []string{"queued", "pinned"}},
		{[]pin.Status{pin.Queued, pin.Pinned, pin.Queued}, []string{"queued", "pinned"}},
		{[]pin.Status{pin.Failed, pin.Pinning}, []string{"pinning", "failed"}},
		{pin.Statuses(), []string{"queued", "pinning", "failed", "pinned"}},
	} {
		e.wantNames(pin.Query{Statuses: c.statuses, Limit: 10}, c.want...)
	}
}

func testListDAG(e *env) {
	e.spread()
	v1 := DAGSpec(3).Root
	v0 := cid.NewCidV0(v1.Hash()) // dag-pb, so another DAG than the raw v1
	e.add(alice, pin.Spec{CID: v0.String(), Root: v0, Name: "v0"})
	pb := cid.NewCidV1(cid.DagProtobuf, v1.Hash())
	e.add(alice, pin.Spec{CID: pb.String(), Root: pb, Name: "v1 of v0"})

	dags := func(cs ...cid.Cid) pin.Query {
		var q pin.Query
		for _, c := range cs {
			q.DAGs = append(q.DAGs, pin.DAGOf(c))
		}
		return every(q)
	}
	e.wantNames(dags(v1), "pinning")
	e.wantNames(dags(v0), "v1 of v0", "v0")
	e.wantNames(dags(pb), "v1 of v0", "v0")
	e.wantNames(dags(pb, v0), "v1 of v0", "v0")
	e.wantNames(dags(v1, pb), "v1 of v0", "v0", "pinning")
	e.wantNames(dags(DAGSpec(99).Root))
	e.wantNames(dags(DAGSpec(99).Root, DAGSpec(1).Root), "pinned")
	ten := []cid.Cid{DAGSpec(1).Root, DAGSpec(2).Root, v1, DAGSpec(4).Root}
	for i := range 6 {
		ten = append(ten, DAGSpec(100+i).Root)
	}
	e.wantNames(dags(ten...), "queued", "pinning", "failed", "pinned")
}

func testListName(e *env) {
	names := []string{"", "a", "A", "ab", "Über", "über", "\u212aelvin", "kelvin", "straße", "a\x00b", "xAbx"}
	for i, n := range names {
		e.add(alice, named(i, n))
	}
	for _, c := range []struct {
		name  string
		match pin.Match
		want  []string
	}{
		{"a", "", []string{"a"}},
		{"a", pin.Exact, []string{"a"}},
		{"a", pin.IExact, []string{"A", "a"}},
		{"ÜBER", pin.Exact, nil},
		{"ÜBER", pin.IExact, []string{"über", "Über"}},
		{"KELVIN", pin.IExact, []string{"kelvin", "\u212aelvin"}},
		{"ab", pin.Exact, []string{"ab"}},
		{"ab", pin.Partial, []string{"ab"}},
		{"ab", pin.IPartial, []string{"xAbx", "ab"}},
		{"b", pin.Partial, []string{"xAbx", "a\x00b", "über", "Über", "ab"}},
		{"B", pin.Partial, nil},
		{"B", pin.IPartial, []string{"xAbx", "a\x00b", "über", "Über", "ab"}},
		{"\x00", pin.Partial, []string{"a\x00b"}},
		{"\u212a", pin.IPartial, []string{"kelvin", "\u212aelvin"}},
		{"raSS", pin.IPartial, nil}, // simple folding: ß is not ss
		{"", pin.Exact, []string{"xAbx", "a\x00b", "straße", "kelvin", "\u212aelvin", "über", "Über", "ab", "A", "a", ""}},
		{"a", "soundex", nil},
	} {
		e.wantNames(every(pin.Query{Name: c.name, Match: c.match}), c.want...)
	}
}

func testListMeta(e *env) {
	for i, m := range []map[string]string{nil, {"app": "x"}, {"app": "x", "v": "1"}, {"app": "y", "v": "1"}, {"app": ""}, {"v": "app"}} {
		s := named(i, fmt.Sprint(i))
		s.Meta = m
		e.add(alice, s)
	}
	for _, c := range []struct {
		meta map[string]string
		want []string
	}{
		{nil, []string{"5", "4", "3", "2", "1", "0"}},
		{map[string]string{"app": "x"}, []string{"2", "1"}},
		{map[string]string{"v": "1"}, []string{"3", "2"}},
		{map[string]string{"app": "x", "v": "1"}, []string{"2"}},
		{map[string]string{"app": ""}, []string{"4"}},
		{map[string]string{"nothing": ""}, nil},
		{map[string]string{"APP": "x"}, nil},
	} {
		e.wantNames(every(pin.Query{Meta: c.meta}), c.want...)
	}
}

// A map as Go prints it finds what has that map, whatever is in it.
func testListPrintedMeta(e *env) {
	for i, m := range []map[string]string{
		nil, {"app": "my cool app"}, {"app": "my cool app", "url": "https://example.org:80/"}, {"dc:title": "a b", "z": ""},
		{"app": "my", "zero": " 0"}, {"": "x", "a key": "v"}, {"app": "x", "big": strings.Repeat("b", 4<<10)},
	} {
		s := named(i, fmt.Sprint(i))
		s.Meta = m
		e.add(alice, s)
	}
	for _, c := range []struct {
		meta map[string]string
		want []string
	}{
		{map[string]string{"app": "my cool app"}, []string{"2", "1"}},
		{map[string]string{"url": "https://example.org:80/"}, []string{"2"}},
		{map[string]string{"app": "my cool app", "url": "https://example.org:80/"}, []string{"2"}},
		{map[string]string{"app": "my cool app", "url": "https://example.org:80"}, nil},
		{map[string]string{"app": "my cool"}, nil},
		{map[string]string{"cool": "app"}, nil},
		{map[string]string{"dc:title": "a b"}, []string{"3"}},
		{map[string]string{"dc:title": "a b", "z": ""}, []string{"3"}},
		{map[string]string{"z": ""}, []string{"3"}},
		{map[string]string{"app": "my"}, []string{"4"}},
		{map[string]string{"zero": " 0"}, []string{"4"}},
		{map[string]string{"zero": "0"}, nil},
		{map[string]string{"": "x"}, []string{"5"}},
		{map[string]string{"": "x", "a key": "v"}, []string{"5"}},
		{map[string]string{"app": "x"}, []string{"6"}},
	} {
		printed := strings.TrimSuffix(strings.TrimPrefix(fmt.Sprint(c.meta), "map["), "]")
		e.wantNames(every(pin.Query{PrintedMeta: printed}), c.want...)
		e.wantNames(every(pin.Query{Meta: c.meta}), c.want...) // which is what it means
	}
	// One text may be that of two maps: both are found.
	one, two := named(7, "7"), named(8, "8")
	one.Meta, two.Meta = map[string]string{"p": "q r:s"}, map[string]string{"p": "q", "r": "s"}
	e.add(alice, one)
	e.add(alice, two)
	e.wantNames(every(pin.Query{PrintedMeta: "p:q r:s"}), "8", "7")
}

func testListTime(e *env) {
	var at []time.Time
	for i := range 5 {
		at = append(at, e.add(alice, named(1, fmt.Sprint(i))).Created)
		e.clock.move(time.Second)
	}
	ns := time.Nanosecond
	for _, c := range []struct {
		before, after time.Time
		want          []string
	}{
		{before: at[2], want: []string{"1", "0"}},
		{before: at[2].Add(ns), want: []string{"2", "1", "0"}},
		{before: at[2].Add(-ns), want: []string{"1", "0"}},
		{after: at[2], want: []string{"4", "3"}},
		{after: at[2].Add(ns), want: []string{"4", "3"}},
		{after: at[2].Add(-ns), want: []string{"4", "3", "2"}},
		{before: at[4], after: at[1], want: []string{"3", "2"}},
		{before: at[2], after: at[1]},
		{before: at[1], after: at[3]},
		{before: at[0]},
		{after: at[4]},
		{before: at[4].Add(time.Hour), after: at[0].Add(-time.Hour), want: []string{"4", "3", "2", "1", "0"}},
		{before: time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC)},
		{after: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)},
		{before: time.Date(292_277_026, 1, 1, 0, 0, 0, 0, time.UTC), want: []string{"4", "3", "2", "1", "0"}},
		{before: at[2].In(time.FixedZone("", 3600)), want: []string{"1", "0"}},
	} {
		e.wantNames(every(pin.Query{Before: c.before, After: c.after}), c.want...)
	}
}

func testListCombined(e *env) {
	var at []time.Time
	for i := range 24 {
		s := named(i%3, []string{"x", "y"}[i%2])
		s.Meta = map[string]string{"i": fmt.Sprint(i), "third": fmt.Sprint(i % 3)}
		at = append(at, e.add(alice, s).Created)
		e.clock.move(time.Millisecond)
	}
	e.released(e.complete(DAGSpec(0), e.begin(DAGSpec(0))))
	e.begin(DAGSpec(1))
	dag := func(n int) []pin.DAG { return []pin.DAG{DAGSpec(n).DAG()} }

	e.wantNames(pin.Query{Name: "x", Limit: 99}, "x", "x", "x", "x")
	e.wantNames(pin.Query{Name: "X", Match: pin.IExact, DAGs: dag(0), Limit: 99}, "x", "x", "x", "x")
	e.wantNames(pin.Query{Name: "x", DAGs: dag(1), Limit: 99})
	e.wantNames(every(pin.Query{Name: "x", DAGs: dag(1), Before: at[10]}), "x")
	e.wantNames(every(pin.Query{Name: "x", DAGs: append(dag(1), dag(0)...), Before: at[10], After: at[0]}), "x", "x")
	e.wantNames(every(pin.Query{Meta: map[string]string{"third": "2"}, After: at[17]}), "y", "x")
	e.wantNames(pin.Query{Statuses: []pin.Status{pin.Pinning, pin.Queued}, Name: "y", After: at[12], Limit: 99}, "y", "y", "y", "y")
	e.wantNames(pin.Query{Meta: map[string]string{"i": "6"}, Name: "x", DAGs: dag(0), Before: at[7], After: at[5], Limit: 1}, "x")
}

func testListPages(e *env) {
	const n = 137
	var want []string
	for i := range n {
		r := e.add(alice, DAGSpec(i%9))
		want = append(want, r.ID)
		if i%5 == 0 {
			e.clock.move(3 * time.Millisecond)
		}
	}
	slices.Reverse(want)
	for i := range 9 {
		if i%2 == 0 {
			e.begin(DAGSpec(i))
		}
	}
	var got []string
	q := pin.Query{Statuses: pin.Statuses(), Limit: 10}
	for { // as Kubo's client does
		page := e.list(alice, q)
		if page.Count != n-len(got) {
			e.Fatalf("count %d after %d", page.Count, len(got))
		}
		for _, r := range page.Requests {
			got = append(got, r.ID)
			q.Before = r.Created
		}
		if page.Count == len(page.Requests) {
			break
		}
	}
	if !slices.Equal(got, want) {
		e.Errorf("%d requests by pages, want %d in order", len(got), n)
	}
}

func testListOddNames(e *env) {
	odd := []string{"", "a", "aa", "a\xff", "a\x00", "\xff", "\x00", "\xff\xff", "/", "a/b"}
	for i, n := range odd {
		e.add(alice, named(1, n))
		e.add(alice, named(i, n))
	}
	for _, n := range odd[1:] {
		e.wantNames(every(pin.Query{Name: n}), n, n)
		want := []string{n}
		if n == odd[1] {
			want = append(want, n)
		}
		e.wantNames(every(pin.Query{Name: n, DAGs: []pin.DAG{DAGSpec(1).DAG()}}), want...)
	}
}

func testUnfinished(e *env) {
	e.spread()
	e.add(bob, named(5, "b1"))
	e.clock.move(-900 * time.Millisecond)
	e.add(bob, named(6, "b2")) // clock back: still after b1
	e.add(alice, named(7, "later"))
	check := func(s pin.Status, want ...string) {
		e.Helper()
		var got []string
		for _, r := range e.unfinished(s) {
			got = append(got, r.Name)
			if r.Status != s {
				e.Errorf("%q is %s", r.Name, r.Status)
			}
		}
		if !slices.Equal(got, want) {
			e.Errorf("%s are %q, want %q", s, got, want)
		}
	}
	for range 2 {
		check(pin.Queued, "queued", "later", "b1", "b2")
		check(pin.Pinning, "pinning")
		e.reopen()
	}
}

func testUnfinishedAfter(e *env) {
	var at []time.Time
	for i := range 6 {
		at = append(at, e.add(alice, named(i, fmt.Sprint(i))).Created)
		e.add(bob, named(i, "bob's"))
		e.clock.move(time.Millisecond)
	}
	e.begin(DAGSpec(1))
	e.fail(DAGSpec(4), "why")
	check := func(after time.Time, limit int, want ...string) {
		e.Helper()
		rs, err := e.recs.UnfinishedAfter(e.ctx, alice, pin.Queued, after, limit)
		e.must(err)
		var got []string
		for _, r := range rs {
			got = append(got, r.Name)
		}
		if !slices.Equal(got, want) {
			e.Errorf("queued after %v: %q, want %q", after, got, want)
		}
	}
	check(time.Time{}, 10, "0", "2", "3", "5")
	check(time.Time{}, 3, "0", "2", "3")
	check(at[0], 10, "2", "3", "5")
	check(at[0].Add(-time.Nanosecond), 1, "0")
	check(at[2].Add(time.Nanosecond), 10, "3", "5")
	check(at[5], 10)
	_, err := e.recs.Retry(e.ctx, alice, e.list(alice, pin.Query{Statuses: []pin.Status{pin.Failed}, Limit: 1}).Requests[0].ID)
	e.must(err)
	check(at[3], 10, "4", "5") // where it was
}

func testCodecs(e *env) {
	mh := DAGSpec(1).Root.Hash()
	spec := func(codec uint64) pin.Spec {
		c := cid.NewCidV1(codec, mh)
		return pin.Spec{CID: c.String(), Root: c}
	}
	raw, pb := e.add(alice, spec(cid.Raw)), e.add(alice, spec(cid.DagProtobuf))
	a, b := e.begin(raw.Spec), e.begin(pb.Spec)
	if a == b {
		e.Fatal("one attempt for two DAGs")
	}
	e.released(e.complete(raw.Spec, a))
	e.status(raw, pin.Pinned)
	e.status(pb, pin.Pinning)
	v0 := cid.NewCidV0(mh)
	same := e.add(alice, pin.Spec{CID: v0.String(), Root: v0})
	e.released(e.complete(pb.Spec, b))
	e.status(pb, pin.Pinned)
	e.status(same, pin.Pinned)
}

func testReopen(e *env) {
	e.spread()
	old, _ := e.pinned(alice, named(5, "old"))
	e.clock.move(time.Second)
	kept, _ := e.replace(alice, old.ID, named(6, "new"))
	before := e.list(alice, every(pin.Query{}))
	roots := e.roots()
	e.reopen()
	after := e.list(alice, every(pin.Query{}))
	if after.Count != before.Count {
		e.Fatalf("count %d, after a restart %d", before.Count, after.Count)
	}
	for i, r := range after.Requests {
		if d := diff(r, before.Requests[i]); d != "" {
			e.Errorf("after a restart: %s", d)
		}
	}
	if got := e.roots(); len(got) != len(roots) {
		e.Errorf("%d roots, after a restart %d", len(roots), len(got))
	}
	e.status(kept, pin.Queued)
	e.wantNames(pin.Query{Limit: 9}, "pinned")
}
