package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
	"github.com/holdfast-ipfs/holdfast/store/internal/space"
)

// stoppedClock stands still, but for what a test adds.
type stoppedClock struct{ at time.Time }

func (c *stoppedClock) now() time.Time { return c.at }

// openLocked opens a directory that the test has locked. It may be closed before the test ends.
func openLocked(t *testing.T, dir string, clock *stoppedClock) *Store {
	t.Helper()
	s, err := openWith(t.Context(), dir, Config{Now: clock.now}.withDefaults(), space.BadgerOptions(), migrations())
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

// eventsOf reads events, and says of each what happened to what.
func eventsOf(t *testing.T, s *Store, q auth.EventQuery) (told []string, page []auth.Event) {
	t.Helper()
	if q.Limit == 0 {
		q.Limit = 1000
	}
	page, err := s.Events(t.Context(), q)
	must(t, err)
	for _, e := range page {
		told = append(told, strings.TrimSpace(string(e.Kind)+" "+e.Detail))
	}
	return told, page
}

// Whatever is done to a pin is in the audit record in the same commit, with who did it.
func TestChangesOfPinsAreAudited(t *testing.T) {
	clock := &stoppedClock{time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	dir := t.TempDir()
	lock, err := Lock(dir)
	must(t, err)
	t.Cleanup(func() { must(t, lock.Close()) })
	s := openLocked(t, dir, clock)
	alice, admin := roomtest.Account, uuid.NewString()
	by := func(account, token, address string) context.Context {
		clock.at = clock.at.Add(10 * time.Second)
		return auth.WithAddress(auth.WithPrincipal(t.Context(), auth.Principal{Account: account, TokenID: token}), address)
	}
	spec := pintest.DAGSpec(1)
	spec.Name = "thesis"
	first, err := s.requestRecords.Add(by(alice, "her token", "192.0.2.1"), alice, spec)
	must(t, err)
	spec.Name = "thesis, final"
	renamed, _, _, err := s.requestRecords.Replace(by(alice, "her token", "192.0.2.1"), alice, first.ID, spec)
	must(t, err)
	clock.at = clock.at.Add(10 * time.Second)
	_, err = s.requestRecords.Fail(t.Context(), spec.DAG(), "nobody has it")
	must(t, err)
	_, err = s.requestRecords.Retry(by(alice, "another token", "192.0.2.2"), alice, renamed.ID)
	must(t, err)
	// By the socket, where somebody acts for the account.
	_, err = s.requestRecords.Fail(t.Context(), spec.DAG(), "nobody has it")
	must(t, err)
	_, err = s.requestRecords.Retry(by(alice, "", ""), alice, renamed.ID)
	must(t, err)
	if _, page := eventsOf(t, s, auth.EventQuery{Limit: 1}); page[0].Actor != "" || page[0].Kind != auth.EventPinRetried {
		t.Errorf("what the host's operator did is told as %+v", page[0])
	}
	other := pintest.DAGSpec(2)
	other.Name = spec.Name
	last, _, _, err := s.requestRecords.Replace(by(alice, "her token", "192.0.2.1"), alice, renamed.ID, other)
	must(t, err)
	_, _, err = s.requestRecords.Remove(by(admin, "the admin's", "198.51.100.7"), alice, last.ID)
	must(t, err)
	// What was not done is not told.
	if _, _, err := s.requestRecords.Remove(by(alice, "x", ""), alice, last.ID); !errors.Is(err, pin.ErrNotFound) {
		t.Fatal(err)
	}
	want := []string{
		`pin.removed name "thesis, final"`,
		`pin.replaced it was ` + spec.CID + `, name "thesis, final"`,
		`pin.retried name "thesis, final"`,
		"pin.failed nobody has it",
		`pin.retried name "thesis, final"`,
		"pin.failed nobody has it",
		`pin.replaced renamed from "thesis" to "thesis, final"`,
		`pin.added name "thesis"`,
	}
	for range 2 { // and after a restart
		told, page := eventsOf(t, s, auth.EventQuery{Account: alice})
		if !slices.Equal(told, want) {
			t.Fatalf("the record has %q, want %q", told, want)
		}
		removed, moved, failed := page[0], page[6], page[5]
		if removed.Pin != last.ID || removed.CID != other.CID || removed.Actor != admin || removed.Token != "the admin's" || removed.Address != "198.51.100.7" || removed.Account != alice {
			t.Errorf("the removal is told as %+v", removed)
		}
		if moved.Pin != renamed.ID || moved.Was != first.ID || failed.Pin != renamed.ID || failed.Actor != "" {
			t.Errorf("the replacement is told as %+v, the failure as %+v", moved, failed)
		}
		for q, n := range map[auth.EventQuery]int{
			{Account: admin}: 1, {Kind: auth.EventPinRemoved}: 1, {Kind: auth.EventPinReplaced, Account: alice}: 2, {Kind: auth.EventsOfPins}: 8,
			{Kind: auth.EventsOfAccounts}: 0, {Kind: auth.EventLogin}: 0, {Pin: first.ID}: 2, {Pin: renamed.ID}: 6, {Pin: other.CID}: 2,
			{Kind: auth.EventPinRemoved, To: removed.Time}: 0, {Kind: auth.EventPinRemoved, From: removed.Time}: 1, {Account: alice, Look: 2}: 2,
		} {
			if told, _ := eventsOf(t, s, q); len(told) != n {
				t.Errorf("%+v selects %q", q, told)
			}
		}
		must(t, s.Close())
		s = openLocked(t, dir, clock)
	}
	// They end with the others.
	n, err := s.SweepEvents(t.Context(), clock.at.Add(time.Hour))
	must(t, err)
	if told, _ := eventsOf(t, s, auth.EventQuery{Account: alice}); n != 8 || len(told) > 0 {
		t.Errorf("%d were swept, there are still %q", n, told)
	}
}

// An account that changes pins without end does not fill the disk with events: beyond a thousand
// they are counted, each minute, by who did them.
func TestEventsOfPinsAreBounded(t *testing.T) {
	clock := &stoppedClock{time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	s := openServed(t, t.TempDir(), Config{Now: clock.now})
	alice := roomtest.Account
	as := func(token string) context.Context {
		return auth.WithPrincipal(t.Context(), auth.Principal{Account: alice, TokenID: token})
	}
	const burst, more = 1000, 500
	var last pin.Request
	for i := range burst + more {
		clock.at = clock.at.Add(time.Millisecond)
		r, err := s.requestRecords.Add(as("one"), alice, pintest.DAGSpec(i))
		must(t, err)
		last = r
	}
	_, _, err := s.requestRecords.Remove(as("two"), alice, last.ID)
	must(t, err)
	bob := roomtest.ThreeAccounts[1]
	_, err = s.requestRecords.Add(t.Context(), bob, pintest.DAGSpec(1)) // who has not done anything
	must(t, err)
	count := func(q auth.EventQuery) (events, changes int) {
		for q.Limit = 1000; ; {
			_, page := eventsOf(t, s, q)
			for _, e := range page {
				events, changes = events+1, changes+e.Count
			}
			if len(page) < q.Limit {
				return events, changes
			}
			q.Before = page[len(page)-1].ID
		}
	}
	events, changes := count(auth.EventQuery{Account: alice, Kind: auth.EventPinAdded})
	if events > burst+5 || changes != burst+more { // a second gives room for one more
		t.Errorf("%d pins are told by %d events of %d changes", burst+more, events, changes)
	}
	_, page := eventsOf(t, s, auth.EventQuery{Account: alice, Kind: auth.EventPinRemoved})
	if len(page) != 1 || page[0].Token != "two" || page[0].Actor != alice {
		t.Errorf("the removal is told as %+v", page)
	}
	if events, _ := count(auth.EventQuery{Account: bob}); events != 1 {
		t.Errorf("another account has %d events", events)
	}
	// After a while there is room again, for a second's worth of each second.
	clock.at = clock.at.Add(10 * time.Second)
	for i := range 20 {
		clock.at = clock.at.Add(time.Millisecond)
		_, err := s.requestRecords.Add(as("one"), alice, pintest.DAGSpec(10_000+i))
		must(t, err)
	}
	if after, changes := count(auth.EventQuery{Account: alice, Kind: auth.EventPinAdded}); after < events+9 || after > events+13 || changes != burst+more+20 {
		t.Errorf("then there are %d events of %d changes, after %d", after, changes, events)
	}
}

// Events of one millisecond have IDs of their own, whatever their kinds, also after a restart and
// when the clock is set back.
func TestEventsOfOneMillisecond(t *testing.T) {
	clock := &stoppedClock{time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	dir := t.TempDir()
	lock, err := Lock(dir)
	must(t, err)
	t.Cleanup(func() { must(t, lock.Close()) })
	s := openLocked(t, dir, clock)
	made := 0
	for range 2 {
		for range 3 {
			_, err := s.requestRecords.Add(t.Context(), roomtest.Account, pintest.DAGSpec(made))
			must(t, err)
			made++
			must(t, s.AppendEvents(t.Context(), []auth.Event{{Time: clock.at, Kind: auth.EventLogin, Detail: fmt.Sprint(made), Count: 1}}))
		}
		must(t, s.Close())
		s = openLocked(t, dir, clock)
	}
	_, page := eventsOf(t, s, auth.EventQuery{})
	ids := map[string]bool{}
	for _, e := range page {
		ids[e.ID] = true
	}
	if len(page) != 2*made || len(ids) != len(page) {
		t.Errorf("%d events have %d IDs", len(page), len(ids))
	}
	logins, _ := eventsOf(t, s, auth.EventQuery{Kind: auth.EventLogin, Limit: 2})
	if want := []string{"login 6", "login 5"}; !slices.Equal(logins, want) {
		t.Errorf("the newest logins are %q, want %q", logins, want)
	}
	// All of them, a few at a time.
	var all []string
	for q := (auth.EventQuery{Limit: 5}); ; {
		_, some := eventsOf(t, s, q)
		for _, e := range some {
			all = append(all, e.ID)
		}
		if len(some) < q.Limit {
			break
		}
		q.Before = some[len(some)-1].ID
	}
	if len(all) != len(page) {
		t.Errorf("page by page there are %d events, want %d", len(all), len(page))
	}
}

// To unpin by CID is in the audit record as a removal; that the grace is over is not.
func TestUnpinsAreAudited(t *testing.T) {
	clock := &stoppedClock{time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	dir := t.TempDir()
	lock, err := Lock(dir)
	must(t, err)
	t.Cleanup(func() { must(t, lock.Close()) })
	s := openLocked(t, dir, clock)
	r, err := s.requestRecords.Add(t.Context(), roomtest.Account, pintest.DAGSpec(1))
	must(t, err)
	_, _, err = s.Linger(t.Context(), roomtest.Account, r.ID)
	must(t, err)
	_, _, err = s.EndLingering(t.Context(), "", 0)
	must(t, err)
	_, page := eventsOf(t, s, auth.EventQuery{})
	if len(page) != 2 || page[0].Kind != auth.EventPinRemoved || page[1].Kind != auth.EventPinAdded {
		t.Errorf("events %+v", page)
	}
}
