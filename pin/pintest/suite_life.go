package pintest

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// clock stands still until it is moved.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock {
	return &clock{t: time.Date(2026, 3, 1, 12, 0, 0, 123_456_789, time.UTC)}
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func contains(as []pin.Attempt, a pin.Attempt) bool { return slices.Contains(as, a) }

func (e *env) sameAttempts(got, want []pin.Attempt) {
	e.Helper()
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		e.Errorf("released %v, want %v", got, want)
	}
}

// diff says how two requests differ; "" if they do not.
func diff(got, want pin.Request) string {
	var out []string
	add := func(field string, g, w any) { out = append(out, fmt.Sprintf("%s is %q, want %q", field, g, w)) }
	if got.ID != want.ID {
		add("ID", got.ID, want.ID)
	}
	if got.Account != want.Account {
		add("Account", got.Account, want.Account)
	}
	if got.CID != want.CID {
		add("CID", got.CID, want.CID)
	}
	if got.Root != want.Root {
		add("Root", got.Root, want.Root)
	}
	if got.Name != want.Name {
		add("Name", got.Name, want.Name)
	}
	if !maps.Equal(got.Meta, want.Meta) {
		add("Meta", got.Meta, want.Meta)
	}
	if !slices.Equal(got.Origins, want.Origins) {
		add("Origins", got.Origins, want.Origins)
	}
	if got.From != want.From {
		add("From", got.From, want.From)
	}
	if !got.Created.Equal(want.Created) {
		add("Created", got.Created, want.Created)
	}
	if got.Status != want.Status {
		add("Status", got.Status, want.Status)
	}
	if got.Details != want.Details {
		add("Details", got.Details, want.Details)
	}
	return strings.Join(out, "; ")
}

func testAdd(e *env) {
	r := e.add(alice, named(1, "one"))
	if r.Account != alice || r.Name != "one" || r.Status != pin.Queued || r.Details != "" {
		e.Errorf("added %+v", r)
	}
	id, err := uuid.Parse(r.ID)
	if err != nil || id.Version() != 7 || id.String() != r.ID {
		e.Fatalf("ID %q is not a UUIDv7 in its usual form", r.ID)
	}
	var ms int64
	for _, b := range id[:6] {
		ms = ms<<8 | int64(b)
	}
	if ms != r.Created.UnixMilli() {
		e.Errorf("ID says %d ms, Created %d", ms, r.Created.UnixMilli())
	}
	if want := e.clock.now().Truncate(time.Millisecond); !r.Created.Equal(want) || r.Created.Location() != time.UTC {
		e.Errorf("Created is %v, want %v", r.Created, want)
	}
	if d := diff(e.get(r), r); d != "" {
		e.Errorf("read back: %s", d)
	}
}

func testAddRoundTrip(e *env) {
	v1 := DAGSpec(1).Root
	v0 := cid.NewCidV0(v1.Hash())
	big := map[string]string{}
	for i := range 16 {
		big[fmt.Sprint(i)] = strings.Repeat("m", 1<<10)
	}
	for _, s := range []pin.Spec{
		{CID: v0.String(), Root: v0},
		{CID: "ZUPPER" + v1.String(), Root: v1, Name: "the CID is kept as written"},
		{CID: "x", Root: v1, Name: strings.Repeat("n", 255), Meta: big},
		{CID: "x", Root: v1, Name: strings.Repeat("\u2318", 255), Meta: map[string]string{"": "", "k": "\xff\x00", "\xfe": "é"}},
		{CID: "x", Root: v1, Name: "\xff\x00\xfe", Origins: []string{"/ip4/127.0.0.1/tcp/1/p2p/a", "/b"}},
		{CID: "x", Root: v1, Origins: []string{"/ip4/127.0.0.1/tcp/1/p2p/a"}, From: netip.MustParseAddr("127.0.0.1")},
		{CID: "x", Root: v1, Origins: []string{"/ip6/fd00::7/tcp/1/p2p/a"}, From: netip.MustParseAddr("fd00::7")},
	} {
		r := e.add(alice, s)
		want := r
		want.Spec = s
		if d := diff(r, want); d != "" {
			e.Errorf("Add gave: %s", d)
		}
		got := e.get(r)
		if d := diff(got, want); d != "" {
			e.Errorf("Get gave: %s", d)
		}
		if len(s.Meta) == 0 && got.Meta != nil || len(s.Origins) == 0 && got.Origins != nil {
			e.Errorf("none is not nil: %#v %#v", got.Meta, got.Origins)
		}
		listed := e.list(alice, pin.Query{Statuses: pin.Statuses(), Limit: 1})
		if d := diff(listed.Requests[0], want); d != "" {
			e.Errorf("List gave: %s", d)
		}
		unfinished, err := e.recs.UnfinishedAfter(e.Context(), alice, pin.Queued, r.Created.Add(-time.Millisecond), 1)
		e.must(err)
		if len(unfinished) != 1 || diff(unfinished[0], want) != "" {
			e.Errorf("UnfinishedAfter gave: %+v", unfinished)
		}
	}
}

func testAddTwice(e *env) {
	a := e.add(alice, DAGSpec(1))
	b := e.add(alice, DAGSpec(1))
	if a.ID == b.ID {
		e.Fatal("one ID for two requests")
	}
	attempt := e.begin(DAGSpec(1))
	e.status(a, pin.Pinning)
	e.status(b, pin.Pinning)
	e.released(e.complete(DAGSpec(1), attempt))
	e.status(a, pin.Pinned)
	e.status(b, pin.Pinned)
	e.released(e.remove(a))
	e.released(e.remove(b), attempt)
}

func testAddToComplete(e *env) {
	e.pinned(alice, DAGSpec(1))
	if r := e.add(bob, DAGSpec(1)); r.Status != pin.Pinned {
		e.Errorf("status is %s", r.Status)
	}
	if got := e.list(bob, pin.Query{Limit: 10}); got.Count != 1 {
		e.Errorf("%d pinned requests", got.Count)
	}
}

func testCreated(e *env) {
	var last time.Time
	for i := range 50 {
		if i%10 == 9 {
			e.clock.move(time.Millisecond)
		}
		r := e.add(alice, DAGSpec(i))
		if !r.Created.After(last) {
			e.Fatalf("created %v after %v", r.Created, last)
		}
		if !r.Created.Equal(r.Created.Truncate(time.Millisecond)) {
			e.Fatalf("created %v is finer than a millisecond", r.Created)
		}
		last = r.Created
	}
	if r := e.add(bob, DAGSpec(1)); !r.Created.Before(last) {
		e.Error("one account's requests moved another's time")
	}
	e.clock.move(time.Minute)
	if r := e.add(alice, DAGSpec(1)); !r.Created.Equal(e.clock.now().Truncate(time.Millisecond)) {
		e.Errorf("created %v, the clock says %v", r.Created, e.clock.now())
	}
}

func testClockBack(e *env) {
	a := e.add(alice, DAGSpec(1))
	e.clock.move(-900 * time.Millisecond)
	b := e.add(alice, DAGSpec(2))
	if want := a.Created.Add(time.Millisecond); !b.Created.Equal(want) {
		e.Errorf("created %v, want %v", b.Created, want)
	}
	// Set back by far: requests go on, a millisecond apart, and no faster than
	// ever; also after a restart.
	e.clock.move(-time.Hour)
	last := e.add(alice, DAGSpec(3))
	if want := b.Created.Add(time.Millisecond); !last.Created.Equal(want) {
		e.Errorf("created %v, want %v", last.Created, want)
	}
	e.reopen()
	n := 0
	for ; n < 2000; n++ {
		r, err := e.recs.Add(e.ctx, alice, DAGSpec(n%7))
		if errors.Is(err, pin.ErrTooFast) {
			break
		}
		e.must(err)
		if !r.Created.After(last.Created) {
			e.Fatalf("created %v, after %v", r.Created, last.Created)
		}
		last = r
	}
	if n < 990 || n > 1000 {
		e.Errorf("%d requests went through at once", n)
	}
	e.clock.move(2 * time.Hour) // caught up, and past it
	if r := e.add(alice, DAGSpec(3)); !r.Created.Equal(e.clock.now().Truncate(time.Millisecond)) {
		e.Errorf("created %v, the clock says %v", r.Created, e.clock.now())
	}
}

func testCreatedReopen(e *env) {
	a := e.add(alice, DAGSpec(1))
	e.remove(a)
	e.reopen()
	e.clock.move(-500 * time.Millisecond)
	b := e.add(alice, DAGSpec(2))
	if !b.Created.After(a.Created) {
		e.Errorf("created %v, after a restart, after %v", b.Created, a.Created)
	}
}

func testTooFast(e *env) {
	n := 0
	var last pin.Request
	for ; n < 2000; n++ {
		r, err := e.recs.Add(e.ctx, alice, DAGSpec(n%7))
		if errors.Is(err, pin.ErrTooFast) {
			break
		}
		e.must(err)
		last = r
	}
	if n != 1001 { // now, and one in each of the 1,000 milliseconds after
		e.Errorf("%d requests went through", n)
	}
	if _, _, _, err := e.recs.Replace(e.ctx, alice, last.ID, DAGSpec(1)); !errors.Is(err, pin.ErrTooFast) {
		e.Errorf("Replace: %v", err)
	}
	e.status(last, pin.Queued)
	if got := e.list(alice, pin.Query{Statuses: pin.Statuses()}); got.Count != n {
		e.Errorf("%d requests are there, want %d", got.Count, n)
	}
	e.add(bob, DAGSpec(1))
	e.clock.move(3 * time.Millisecond)
	for range 3 {
		e.add(alice, DAGSpec(1))
	}
	if _, err := e.recs.Add(e.ctx, alice, DAGSpec(1)); !errors.Is(err, pin.ErrTooFast) {
		e.Errorf("the fourth in three milliseconds: %v", err)
	}
}

func testNotFound(e *env) {
	theirs := e.add(bob, DAGSpec(1))
	gone := e.add(alice, DAGSpec(2))
	e.remove(gone)
	for _, id := range []string{theirs.ID, gone.ID, "", "x", strings.ToUpper(theirs.ID) + "0", uuid.NewString()} {
		_, err := e.recs.Get(e.ctx, alice, id)
		e.notFound("Get", id, err)
		_, _, err = e.recs.Remove(e.ctx, alice, id)
		e.notFound("Remove", id, err)
		_, _, _, err = e.recs.Replace(e.ctx, alice, id, DAGSpec(1))
		e.notFound("Replace", id, err)
		_, err = e.recs.Retry(e.ctx, alice, id)
		e.notFound("Retry", id, err)
	}
	_, _, err := e.recs.Begin(e.ctx, DAGSpec(2).DAG())
	e.notFound("Begin", "of a DAG that nothing holds", err)
	if d := diff(e.get(theirs), theirs); d != "" {
		e.Error(d)
	}
	if got := e.list(alice, pin.Query{Statuses: pin.Statuses(), Limit: 10}); got.Count != 0 || len(got.Requests) != 0 {
		e.Errorf("left over: %+v", got)
	}
}

func (e *env) notFound(method, id string, err error) {
	e.Helper()
	if !errors.Is(err, pin.ErrNotFound) {
		e.Errorf("%s %q: %v", method, id, err)
	}
}

func testRemove(e *env) {
	queued := e.add(alice, DAGSpec(1))
	old, released, err := e.recs.Remove(e.ctx, alice, queued.ID)
	e.must(err)
	e.released(released) // it never began
	if d := diff(old, queued); d != "" {
		e.Error(d)
	}
	pinning := e.add(alice, DAGSpec(2))
	a := e.begin(DAGSpec(2))
	old, released, err = e.recs.Remove(e.ctx, alice, pinning.ID)
	e.must(err)
	e.released(released, a)
	if old.Status != pin.Pinning {
		e.Errorf("it last was %s", old.Status)
	}
	if _, _, err := e.recs.Complete(e.ctx, DAGSpec(2).DAG(), a, pin.Totals{}); !errors.Is(err, pin.ErrSuperseded) {
		e.Errorf("Complete after the last request went: %v", err)
	}
	if got := e.list(alice, pin.Query{Statuses: pin.Statuses()}); got.Count != 0 {
		e.Errorf("%d are left", got.Count)
	}
}

func testRemoveShared(e *env) {
	a := e.add(alice, DAGSpec(1))
	b := e.add(bob, DAGSpec(1))
	attempt := e.begin(DAGSpec(1))
	e.released(e.remove(a))
	e.status(b, pin.Pinning)
	e.released(e.complete(DAGSpec(1), attempt))
	e.status(b, pin.Pinned)
	e.released(e.remove(b), attempt)
}
