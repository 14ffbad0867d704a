package authtest

import (
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/holdfast-ipfs/holdfast/auth"
)

func testMarkUsed(e *env) {
	a := e.account()
	first, second := e.token(a.ID, auth.Device, nil), e.token(a.ID, auth.Session, nil)
	later := start.Add(time.Hour)
	e.ok(e.a.MarkUsed(e.Context(), map[string]time.Time{
		first.ID: later.Add(time.Millisecond).In(time.FixedZone("east", 3600)), second.ID: later,
		uuid.NewString(): later, "": later, "../x": later,
	}))
	first.Used, second.Used = later, later
	e.hasToken(first)
	e.hasToken(second)
	e.ok(e.a.MarkUsed(e.Context(), map[string]time.Time{first.ID: start})) // not back
	e.ok(e.a.MarkUsed(e.Context(), nil))
	e.hasToken(first)

	// More than one commit takes.
	many := map[string]time.Time{second.ID: later.Add(time.Hour)}
	for range 1500 {
		many[uuid.NewString()] = later
	}
	e.ok(e.a.MarkUsed(e.Context(), many))
	second.Used = later.Add(time.Hour)
	e.hasToken(second)
}

func testKeysInUse(e *env) {
	check := func(wantKeys []string, wantSessions time.Time) {
		e.Helper()
		for range 2 {
			keys, sessions, err := e.a.KeysInUse(e.Context(), start)
			e.ok(err)
			if len(keys) != len(wantKeys) || len(keys) > 0 && !reflect.DeepEqual(keys, wantKeys) || !sessions.Equal(wantSessions) {
				e.Fatalf("keys %q, sessions until %v; want %q, %v", keys, sessions, wantKeys, wantSessions)
			}
			e.a = e.reopen()
		}
	}
	check(nil, time.Time{})
	a, b := e.account(), e.account()
	of := func(key string, ends time.Time) func(*auth.Token) {
		return func(t *auth.Token) { t.Key, t.Expires = key, ends }
	}
	e.token(a.ID, auth.Device, of("b", time.Time{}))
	e.token(b.ID, auth.Device, of("b", start.Add(time.Hour)))
	e.token(a.ID, auth.Device, of("expired", start))
	last := e.token(b.ID, auth.Device, of("a", start.Add(time.Second)))
	e.token(a.ID, auth.Session, of("session", start.Add(3*time.Hour)))
	e.token(b.ID, auth.Session, of("session", start.Add(2*time.Hour)))
	check([]string{"a", "b"}, start.Add(3*time.Hour))
	_, err := e.a.DeleteToken(e.Context(), last.ID)
	e.ok(err)
	check([]string{"b"}, start.Add(3*time.Hour))
	_, err = e.a.ChangeAccount(e.Context(), a.ID, func(c *auth.Account) error { c.Devices++; return nil })
	e.ok(err)
	check([]string{"b"}, start.Add(3*time.Hour))
	_, err = e.a.DeleteAccount(e.Context(), b.ID)
	e.ok(err)
	check(nil, start.Add(3*time.Hour))
}

func (e *env) invite(age time.Duration) auth.Invite {
	e.Helper()
	i := auth.Invite{ID: uuid.NewString(), By: uuid.NewString(), Created: start.Add(-age), Expires: start.Add(time.Hour - age), Quota: 7, QuotaPins: 8}
	e.ok(e.a.CreateInvite(e.Context(), i))
	return i
}

// hasInvites checks which invitations exist.
func (e *env) hasInvites(want ...auth.Invite) {
	e.Helper()
	for range 2 {
		all, err := e.a.ListInvites(e.Context())
		e.ok(err)
		if len(all) != len(want) || len(all) > 0 && !reflect.DeepEqual(all, want) {
			e.Fatalf("invitations %+v, want %+v", all, want)
		}
		for _, i := range want {
			got, err := e.a.InviteByID(e.Context(), i.ID)
			e.ok(err)
			e.same(got, i)
		}
		e.a = e.reopen()
	}
}

func testInvites(e *env) {
	e.hasInvites()
	young, old, middle := e.invite(0), e.invite(2*time.Hour), e.invite(time.Minute)
	e.hasInvites(old, middle, young)
	if err := e.a.CreateInvite(e.Context(), young); err == nil {
		e.Error("an invitation was made twice")
	}
	for _, id := range []string{"", "x", uuid.NewString(), young.ID + "0", "{" + young.ID + "}"} {
		_, err := e.a.InviteByID(e.Context(), id)
		e.is(err, auth.ErrNoInvite)
		_, err = e.a.DeleteInvite(e.Context(), id)
		e.is(err, auth.ErrNoInvite)
		e.is(e.a.RedeemInvite(e.Context(), id, auth.Account{ID: uuid.NewString(), Email: "x@example.com", Created: start}), auth.ErrNoInvite)
	}
	gone, err := e.a.DeleteInvite(e.Context(), middle.ID)
	e.ok(err)
	e.same(gone, middle)
	_, err = e.a.DeleteInvite(e.Context(), middle.ID)
	e.is(err, auth.ErrNoInvite)
	e.hasInvites(old, young)

	// An invitation that is expired at the time is swept.
	n, err := e.a.SweepTokens(e.Context(), start.Add(-time.Hour))
	e.ok(err)
	e.same(n, 1)
	e.hasInvites(young)

	a := e.account()
	other := auth.Account{ID: uuid.NewString(), Email: a.Email, Created: start}
	e.is(e.a.RedeemInvite(e.Context(), young.ID, other), auth.ErrExists)
	e.hasInvites(young)
	other.Email = "invited@example.com"
	e.ok(e.a.RedeemInvite(e.Context(), young.ID, other))
	e.hasInvites()
	e.has(other)
}

// testRedeemOnce: one invitation makes one account, however many redeem it at once.
func testRedeemOnce(e *env) {
	i := e.invite(0)
	var mu sync.Mutex
	won := 0
	var wg sync.WaitGroup
	for n := range 20 {
		wg.Go(func() {
			err := e.a.RedeemInvite(e.Context(), i.ID, auth.Account{ID: uuid.NewString(), Email: fmt.Sprint(n, "@example.com"), Created: start})
			if err == nil {
				mu.Lock()
				defer mu.Unlock()
				won++
			} else if !errors.Is(err, auth.ErrNoInvite) {
				e.Error(err)
			}
		})
	}
	wg.Wait()
	e.same(won, 1)
	all, err := e.a.ListAccounts(e.Context())
	e.ok(err)
	e.same(len(all), 1)
}

// details reads the events that match, and returns their details, which identify them.
func (e *env) details(q auth.EventQuery) (details []string, page []auth.Event) {
	e.Helper()
	if q.Limit == 0 {
		q.Limit = 1000
	}
	page, err := e.a.Events(e.Context(), q)
	e.ok(err)
	for _, ev := range page {
		details = append(details, ev.Detail)
	}
	return details, page
}

func testEvents(e *env) {
	if got, _ := e.details(auth.EventQuery{}); len(got) != 0 {
		e.Fatalf("events before any: %q", got)
	}
	full := auth.Event{
		Time: start.Add(1500 * time.Microsecond).In(time.FixedZone("east", 3600)), Kind: auth.EventLogin,
		Account: uuid.NewString(), Email: "maximé@example.com", Actor: uuid.NewString(), Address: "2001:db8::1",
		Token: uuid.NewString(), Pin: uuid.NewString(), CID: "bafkqaaa", Was: uuid.NewString(), Detail: "full \x00 \xff", Count: 3,
	}
	e.ok(e.a.AppendEvents(e.Context(), []auth.Event{full}))
	_, page := e.details(auth.EventQuery{})
	if len(page) != 1 || len(page[0].ID) != 24 {
		e.Fatalf("events %+v", page)
	}
	full.ID, full.Time = page[0].ID, start.Add(time.Millisecond)
	e.same(page[0], full)

	// Several at the same time, in order, and one from when the clock was set back.
	at := func(d time.Duration, detail string) auth.Event {
		return auth.Event{Time: start.Add(d), Kind: auth.EventLoginRefused, Detail: detail, Count: 1}
	}
	e.ok(e.a.AppendEvents(e.Context(), []auth.Event{at(time.Second, "1"), at(time.Second, "2")}))
	e.a = e.reopen()
	e.ok(e.a.AppendEvents(e.Context(), []auth.Event{at(time.Second, "3"), at(2*time.Second, "4"), at(-time.Hour, "0")}))
	for range 2 {
		got, page := e.details(auth.EventQuery{})
		e.same(got, []string{"4", "3", "2", "1", full.Detail, "0"})
		for i := 1; i < len(page); i++ {
			if page[i].ID >= page[i-1].ID {
				e.Errorf("event %s is listed after %s", page[i].ID, page[i-1].ID)
			}
		}
		for _, c := range []struct {
			q    auth.EventQuery
			want []string
		}{
			{auth.EventQuery{Limit: 2}, []string{"4", "3"}},
			{auth.EventQuery{Limit: 2, Before: page[1].ID}, []string{"2", "1"}},
			{auth.EventQuery{Before: page[5].ID}, nil},
			{auth.EventQuery{From: start.Add(time.Second)}, []string{"4", "3", "2", "1"}},
			{auth.EventQuery{From: start.Add(time.Second + 1)}, []string{"4"}},
			{auth.EventQuery{To: start.Add(time.Second)}, []string{full.Detail, "0"}},
			{auth.EventQuery{To: start.Add(time.Second + 1)}, []string{"3", "2", "1", full.Detail, "0"}},
			{auth.EventQuery{From: start.Add(-time.Minute), To: start.Add(2 * time.Second), Before: page[1].ID}, []string{"2", "1", full.Detail}},
			{auth.EventQuery{From: start.Add(time.Hour)}, nil},
			{auth.EventQuery{From: start.Add(time.Second), To: start.Add(time.Second)}, nil},
			{auth.EventQuery{Account: full.Account}, []string{full.Detail}},
			{auth.EventQuery{Account: "nobody"}, nil},
			{auth.EventQuery{Kind: full.Kind}, []string{full.Detail}},
			{auth.EventQuery{Kind: auth.EventLoginRefused, Limit: 2, Before: page[1].ID}, []string{"2", "1"}},
			{auth.EventQuery{Kind: auth.EventKeysRotated}, nil},
			{auth.EventQuery{Kind: auth.EventsOfAccounts, Limit: 2}, []string{"4", "3"}},
			{auth.EventQuery{Kind: auth.EventsOfPins}, nil},
			{auth.EventQuery{Pin: "x"}, nil},
		} {
			if got, _ := e.details(c.q); !reflect.DeepEqual(got, c.want) {
				e.Errorf("%+v: %q, want %q", c.q, got, c.want)
			}
		}
		e.a = e.reopen()
	}
	for _, before := range []string{"x", page[0].ID[1:], page[0].ID + "00", "zz" + page[0].ID[2:]} {
		_, err := e.a.Events(e.Context(), auth.EventQuery{Limit: 1, Before: before})
		if bad := new(auth.InvalidError); !errors.As(err, &bad) {
			e.Errorf("before %q: %v", before, err)
		}
	}
	if none, err := e.a.Events(e.Context(), auth.EventQuery{}); err != nil || len(none) != 0 {
		e.Errorf("limit 0: %v, %v", none, err)
	}
}

func testEventsOfAccount(e *env) {
	a, b := uuid.NewString(), uuid.NewString()
	for i, ev := range []auth.Event{{Account: a}, {Account: b}, {Account: b, Actor: a}, {Account: a, Actor: a}, {Actor: b}, {}} {
		ev.Time, ev.Detail = start.Add(time.Duration(i)*time.Second), fmt.Sprint(i)
		e.ok(e.a.AppendEvents(e.Context(), []auth.Event{ev}))
	}
	for range 2 {
		got, page := e.details(auth.EventQuery{Account: a})
		e.same(got, []string{"3", "2", "0"})
		got, _ = e.details(auth.EventQuery{Account: a, Limit: 1, Before: page[0].ID})
		e.same(got, []string{"2"})
		got, _ = e.details(auth.EventQuery{Account: b, From: start.Add(2 * time.Second), To: start.Add(4 * time.Second)})
		e.same(got, []string{"2"})
		e.a = e.reopen()
	}
}

// testEventsShared: the events given with a change exist exactly if the change was made.
func testEventsShared(e *env) {
	n := 0
	var want []string
	log := func() auth.Event {
		n++
		return auth.Event{Time: start.Add(time.Duration(n) * time.Second), Kind: auth.EventLogin, Detail: fmt.Sprint(n), Count: 1}
	}
	did := func(err error) {
		e.Helper()
		e.ok(err)
		want = append([]string{fmt.Sprint(n)}, want...)
	}
	failed := func(err error) {
		e.Helper()
		if err == nil {
			e.Fatal("no error")
		}
	}
	ctx := e.Context()
	a := auth.Account{ID: uuid.NewString(), Email: "ann@example.com", Created: start}
	t := auth.Token{ID: uuid.NewString(), Account: a.ID, Kind: auth.Device, Created: start}
	i := auth.Invite{ID: uuid.NewString(), Created: start, Expires: start.Add(time.Hour)}
	j := i
	j.ID = uuid.NewString()
	did(e.a.CreateAccount(ctx, a, log()))
	failed(e.a.CreateAccount(ctx, a, log()))
	_, err := e.a.ChangeAccount(ctx, a.ID, func(*auth.Account) error { return nil }, log())
	did(err)
	_, err = e.a.ChangeAccount(ctx, a.ID, func(*auth.Account) error { return errors.New("no") }, log())
	failed(err)
	did(e.a.CreateToken(ctx, t, log()))
	failed(e.a.CreateToken(ctx, t, log()))
	_, err = e.a.DeleteToken(ctx, t.ID, log())
	did(err)
	_, err = e.a.DeleteToken(ctx, t.ID, log())
	failed(err)
	did(e.a.CreateInvite(ctx, i, log()))
	failed(e.a.CreateInvite(ctx, i, log()))
	did(e.a.CreateInvite(ctx, j, log()))
	_, err = e.a.DeleteInvite(ctx, i.ID, log())
	did(err)
	_, err = e.a.DeleteInvite(ctx, i.ID, log())
	failed(err)
	failed(e.a.RedeemInvite(ctx, j.ID, a, log()))
	did(e.a.RedeemInvite(ctx, j.ID, auth.Account{ID: uuid.NewString(), Email: "bob@example.com", Created: start}, log()))
	_, err = e.a.DeleteAccount(ctx, a.ID, log())
	did(err)
	_, err = e.a.DeleteAccount(ctx, a.ID, log())
	failed(err)
	for range 2 {
		got, _ := e.details(auth.EventQuery{})
		e.same(got, want)
		e.a = e.reopen()
	}
}

func testEventsAtOnce(e *env) {
	const n = 50
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			if err := e.a.AppendEvents(e.Context(), []auth.Event{{Time: start, Detail: "x"}, {Time: start, Detail: "x"}}); err != nil {
				e.Error(err)
			}
		})
	}
	wg.Wait()
	seen := map[string]bool{}
	_, page := e.details(auth.EventQuery{})
	for _, ev := range page {
		seen[ev.ID] = true
	}
	if len(page) != 2*n || len(seen) != 2*n {
		e.Errorf("%d events with %d IDs, want %d", len(page), len(seen), 2*n)
	}
}

// testSweepEvents has more events than one commit removes.
func testSweepEvents(e *env) {
	a := uuid.NewString()
	var log []auth.Event
	for i := range 1200 {
		log = append(log, auth.Event{Time: start.Add(time.Duration(i) * time.Second), Account: a, Actor: uuid.NewString(), Detail: fmt.Sprint(i)})
	}
	e.ok(e.a.AppendEvents(e.Context(), log))
	n, err := e.a.SweepEvents(e.Context(), start)
	e.ok(err)
	e.same(n, 0)
	n, err = e.a.SweepEvents(e.Context(), start.Add(1198*time.Second+time.Millisecond))
	e.ok(err)
	e.same(n, 1199)
	for range 2 {
		for _, q := range []auth.EventQuery{{}, {Account: a}} {
			got, _ := e.details(q)
			e.same(got, []string{"1199"})
		}
		e.a = e.reopen()
	}
	n, err = e.a.SweepEvents(e.Context(), start.Add(time.Hour))
	e.ok(err)
	e.same(n, 1)
	if got, _ := e.details(auth.EventQuery{Account: a}); len(got) != 0 {
		e.Errorf("left: %q", got)
	}
}
