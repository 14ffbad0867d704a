package authtest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/holdfast-ipfs/holdfast/auth"
)

// Open makes empty Accounts. reopen closes them and opens the same data again; it may be
// called many times, and each call closes what the call before returned. shut closes them.
// Open cleans up with t.
type Open func(t *testing.T) (a auth.Accounts, reopen func() auth.Accounts, shut func())

// RunAccounts checks that what open makes keeps the contract of [auth.Accounts].
func RunAccounts(t *testing.T, open Open) {
	for _, c := range []struct {
		name string
		run  func(*env)
	}{
		{"AccountRoundTrip", testAccountRoundTrip},
		{"EmailIsUnique", testEmailUnique},
		{"AbsentAccount", testAbsentAccount},
		{"IDsThatAreNone", testOddIDs},
		{"ListAccountsByEmail", testListAccounts},
		{"ChangeAccount", testChangeAccount},
		{"ChangeAccountRefused", testChangeAccountRefused},
		{"ChangeAccountAtOnce", testChangeAccountAtOnce},
		{"DeleteAccount", testDeleteAccount},
		{"TokenRoundTrip", testTokenRoundTrip},
		{"CreateTokenTwice", testCreateTokenTwice},
		{"CreateTokenNotAllowed", testCreateTokenNotAllowed},
		{"ListTokens", testListTokens},
		{"ChangeToken", testChangeToken},
		{"ChangeTokenRefused", testChangeTokenRefused},
		{"ChangeTokenOnceOfMany", testChangeTokenOnce},
		{"DeleteToken", testDeleteToken},
		{"Sweep", testSweep},
		{"SweepMany", testSweepMany},
		{"CreateAtOnce", testCreateAtOnce},
		{"MarkUsed", testMarkUsed},
		{"KeysInUse", testKeysInUse},
		{"Invites", testInvites},
		{"RedeemInviteOnce", testRedeemOnce},
		{"Events", testEvents},
		{"EventsOfAccount", testEventsOfAccount},
		{"EventsShareTheCommit", testEventsShared},
		{"EventsAtOnce", testEventsAtOnce},
		{"SweepEvents", testSweepEvents},
		{"CancelledContext", testCancelled},
		{"Closed", testClosed},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, reopen, shut := open(t)
			c.run(&env{T: t, a: a, reopen: reopen, shut: shut})
		})
	}
}

// env is one implementation under one test.
type env struct {
	*testing.T
	a      auth.Accounts
	reopen func() auth.Accounts
	shut   func()
	made   int
}

var start = time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)

// account creates an account that differs from all earlier ones.
func (e *env) account() auth.Account {
	e.Helper()
	e.made++
	a := auth.Account{
		ID: uuid.NewString(), Email: fmt.Sprintf("user%d@example.com", e.made),
		PasswordHash: "$argon2id$something", Created: start.Add(time.Duration(e.made) * time.Second),
	}
	e.ok(e.a.CreateAccount(e.Context(), a))
	return a
}

// token creates a token of the account as the account is now.
func (e *env) token(account string, k auth.Kind, change func(*auth.Token)) auth.Token {
	e.Helper()
	acc, err := e.a.AccountByID(e.Context(), account)
	e.ok(err)
	e.made++
	t := auth.Token{ID: uuid.NewString(), Account: account, Kind: k, Epoch: acc.Sessions, Created: start.Add(time.Duration(e.made) * time.Second)}
	if k == auth.Device {
		t.Epoch, t.Name = acc.Devices, fmt.Sprint("device ", e.made)
		t.Scope, t.Key, t.Used = auth.ScopeRead, "key", start.Add(time.Minute)
	} else {
		t.Refresh, t.Expires = uuid.NewString(), start.Add(time.Hour)
		t.Previous, t.Refreshed, t.Address = uuid.NewString(), start.Add(time.Minute), "203.0.113.7"
	}
	if change != nil {
		change(&t)
	}
	e.ok(e.a.CreateToken(e.Context(), t))
	return t
}

func (e *env) ok(err error) {
	e.Helper()
	if err != nil {
		e.Fatal(err)
	}
}

func (e *env) is(err, want error) {
	e.Helper()
	if !errors.Is(err, want) {
		e.Fatalf("error %v, want %v", err, want)
	}
}

func (e *env) same(got, want any) {
	e.Helper()
	if !reflect.DeepEqual(got, want) {
		e.Fatalf("got\n%+v\nwant\n%+v", got, want)
	}
}

// has checks that every way to read the account returns want, also after closing and opening
// again.
func (e *env) has(want auth.Account) {
	e.Helper()
	for range 2 {
		got, err := e.a.AccountByID(e.Context(), want.ID)
		e.ok(err)
		e.same(got, want)
		got, err = e.a.AccountByEmail(e.Context(), want.Email)
		e.ok(err)
		e.same(got, want)
		e.a = e.reopen()
	}
}

// hasToken checks the same for a token.
func (e *env) hasToken(want auth.Token) {
	e.Helper()
	for range 2 {
		got, err := e.a.TokenByID(e.Context(), want.ID)
		e.ok(err)
		e.same(got, want)
		e.a = e.reopen()
	}
}

// lacksToken checks that a token is gone, also from lists.
func (e *env) lacksToken(t auth.Token) {
	e.Helper()
	for range 2 {
		_, err := e.a.TokenByID(e.Context(), t.ID)
		e.is(err, auth.ErrNoToken)
		list, err := e.a.ListTokens(e.Context(), t.Account)
		e.ok(err)
		for _, l := range list {
			if l.ID == t.ID {
				e.Fatalf("token %s is listed and gone", t.ID)
			}
		}
		e.a = e.reopen()
	}
}

func testAccountRoundTrip(e *env) {
	e.has(e.account()) // zero in every field that may be
	full := auth.Account{
		ID: uuid.NewString(), Email: "maximé@example.com", PasswordHash: "$argon2id$v=19$m=1,t=1,p=1$YQ$Yg",
		Admin: true, Disabled: true, Created: start, Quota: math.MaxUint64, QuotaPins: math.MaxUint64 - 1, Replication: "2-3", Sessions: math.MaxUint64, Devices: 7,
	}
	e.ok(e.a.CreateAccount(e.Context(), full))
	e.has(full)

	// Times come back to the second and in UTC.
	fine := full
	fine.ID, fine.Email = uuid.NewString(), "fine@example.com"
	fine.Created = start.Add(999 * time.Millisecond).In(time.FixedZone("east", 3600))
	e.ok(e.a.CreateAccount(e.Context(), fine))
	fine.Created = start
	e.has(fine)
}

func testEmailUnique(e *env) {
	a := e.account()
	for range 2 {
		e.is(e.a.CreateAccount(e.Context(), auth.Account{ID: uuid.NewString(), Email: a.Email, Created: start}), auth.ErrExists)
		e.is(e.a.CreateAccount(e.Context(), auth.Account{ID: a.ID, Email: "other@example.com", Created: start}), auth.ErrExists)
		_, err := e.a.AccountByEmail(e.Context(), "other@example.com")
		e.is(err, auth.ErrNoAccount)
		e.a = e.reopen()
	}
	e.has(a)
	// Addresses that begin alike are different addresses.
	for _, email := range []string{a.Email + "x", a.Email[:len(a.Email)-1], a.Email + "\x00"} {
		_, err := e.a.AccountByEmail(e.Context(), email)
		e.is(err, auth.ErrNoAccount)
		e.ok(e.a.CreateAccount(e.Context(), auth.Account{ID: uuid.NewString(), Email: email, Created: start}))
	}
	e.has(a)
}

func testAbsentAccount(e *env) {
	e.account()
	id := uuid.NewString()
	_, err := e.a.AccountByID(e.Context(), id)
	e.is(err, auth.ErrNoAccount)
	_, err = e.a.AccountByEmail(e.Context(), "nobody@example.com")
	e.is(err, auth.ErrNoAccount)
	_, err = e.a.ChangeAccount(e.Context(), id, func(*auth.Account) error { e.Error("called"); return nil })
	e.is(err, auth.ErrNoAccount)
	_, err = e.a.DeleteAccount(e.Context(), id)
	e.is(err, auth.ErrNoAccount)
	e.is(e.a.CreateToken(e.Context(), auth.Token{ID: uuid.NewString(), Account: id, Kind: auth.Device, Created: start}), auth.ErrNoAccount)
	list, err := e.a.ListTokens(e.Context(), id)
	e.ok(err)
	e.same(len(list), 0)
	_, err = e.a.TokenByID(e.Context(), id)
	e.is(err, auth.ErrNoToken)
	_, err = e.a.ChangeToken(e.Context(), id, func(*auth.Token) error { e.Error("called"); return nil })
	e.is(err, auth.ErrNoToken)
	_, err = e.a.DeleteToken(e.Context(), id)
	e.is(err, auth.ErrNoToken)
}

// testOddIDs asks for IDs as they come from a command line or a URL.
func testOddIDs(e *env) {
	a := e.account()
	tok := e.token(a.ID, auth.Device, nil)
	for _, id := range []string{"", "x", "../../etc", a.ID[:35], a.ID + "0", "{" + a.ID + "}", "urn:uuid:" + a.ID} {
		_, err := e.a.AccountByID(e.Context(), id)
		e.is(err, auth.ErrNoAccount)
		_, err = e.a.DeleteAccount(e.Context(), id)
		e.is(err, auth.ErrNoAccount)
	}
	for _, id := range []string{"", "x", tok.ID[:35], tok.ID + "0", "{" + tok.ID + "}", "urn:uuid:" + tok.ID} {
		_, err := e.a.TokenByID(e.Context(), id)
		e.is(err, auth.ErrNoToken)
		_, err = e.a.DeleteToken(e.Context(), id)
		e.is(err, auth.ErrNoToken)
	}
	e.has(a)
	e.hasToken(tok)
}

func testListAccounts(e *env) {
	list, err := e.a.ListAccounts(e.Context())
	e.ok(err)
	e.same(len(list), 0)
	var want []auth.Account
	for _, email := range []string{"a@x", "b@x", "ba@x", "c@x"} {
		want = append(want, auth.Account{ID: uuid.NewString(), Email: email, Created: start})
	}
	for _, i := range []int{2, 0, 3, 1} {
		e.ok(e.a.CreateAccount(e.Context(), want[i]))
	}
	for range 2 {
		list, err = e.a.ListAccounts(e.Context())
		e.ok(err)
		e.same(list, want)
		e.a = e.reopen()
	}
}

func testChangeAccount(e *env) {
	a, other := e.account(), e.account()
	for i := range uint64(3) {
		got, err := e.a.ChangeAccount(e.Context(), a.ID, func(c *auth.Account) error {
			if !reflect.DeepEqual(*c, a) {
				return fmt.Errorf("given %+v, want %+v", *c, a)
			}
			c.PasswordHash, c.Admin, c.Disabled, c.Quota, c.QuotaPins, c.Sessions, c.Devices = fmt.Sprint(i), i == 1, i == 2, i, i+3, i+1, i+2
			return nil
		})
		e.ok(err)
		a.PasswordHash, a.Admin, a.Disabled, a.Quota, a.QuotaPins, a.Sessions, a.Devices = fmt.Sprint(i), i == 1, i == 2, i, i+3, i+1, i+2
		e.same(got, a)
		e.has(a)
	}
	e.has(other)
}

func testChangeAccountRefused(e *env) {
	a := e.account()
	no := errors.New("no")
	_, err := e.a.ChangeAccount(e.Context(), a.ID, func(c *auth.Account) error { c.Admin = true; return no })
	e.is(err, no)
	for name, change := range map[string]func(*auth.Account){
		"ID":      func(c *auth.Account) { c.ID = uuid.NewString() },
		"Email":   func(c *auth.Account) { c.Email = "other@example.com" },
		"Created": func(c *auth.Account) { c.Created = c.Created.Add(time.Second) },
	} {
		_, err := e.a.ChangeAccount(e.Context(), a.ID, func(c *auth.Account) error { change(c); c.Admin = true; return nil })
		if err == nil {
			e.Errorf("%s of an account was changed", name)
		}
	}
	e.has(a)
	list, err := e.a.ListAccounts(e.Context())
	e.ok(err)
	e.same(list, []auth.Account{a})
}

func testChangeAccountAtOnce(e *env) {
	a := e.account()
	const n = 50
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			if _, err := e.a.ChangeAccount(e.Context(), a.ID, func(c *auth.Account) error { c.Sessions++; return nil }); err != nil {
				e.Error(err)
			}
		})
	}
	wg.Wait()
	a.Sessions = n
	e.has(a)
}

func testDeleteAccount(e *env) {
	a, other := e.account(), e.account()
	gone := []auth.Token{e.token(a.ID, auth.Device, nil), e.token(a.ID, auth.Session, nil)}
	stays := e.token(other.ID, auth.Device, nil)
	old, err := e.a.DeleteAccount(e.Context(), a.ID)
	e.ok(err)
	e.same(old, a)
	_, err = e.a.DeleteAccount(e.Context(), a.ID)
	e.is(err, auth.ErrNoAccount)
	for range 2 {
		_, err = e.a.AccountByID(e.Context(), a.ID)
		e.is(err, auth.ErrNoAccount)
		_, err = e.a.AccountByEmail(e.Context(), a.Email)
		e.is(err, auth.ErrNoAccount)
		list, err := e.a.ListAccounts(e.Context())
		e.ok(err)
		e.same(list, []auth.Account{other})
		e.a = e.reopen()
	}
	for _, t := range gone {
		e.lacksToken(t)
	}
	e.hasToken(stays)

	// The address is free, and nothing of its old account is left.
	again := auth.Account{ID: uuid.NewString(), Email: a.Email, Created: start}
	e.ok(e.a.CreateAccount(e.Context(), again))
	e.has(again)
	list, err := e.a.ListTokens(e.Context(), again.ID)
	e.ok(err)
	e.same(len(list), 0)
}

func testTokenRoundTrip(e *env) {
	a := e.account()
	e.hasToken(e.token(a.ID, auth.Session, nil))
	e.hasToken(e.token(a.ID, auth.Device, nil))
	east := time.FixedZone("east", 3600)
	fine := e.token(a.ID, auth.Device, func(t *auth.Token) {
		t.Name = "a naïve name: ☃ \x00 \" "
		t.Created = start.Add(time.Millisecond).In(east)
		t.Expires = start.Add(time.Hour + time.Millisecond).In(east)
	})
	fine.Created, fine.Expires = start, start.Add(time.Hour)
	e.hasToken(fine)
}

func testCreateTokenTwice(e *env) {
	a, b := e.account(), e.account()
	tok := e.token(a.ID, auth.Device, nil)
	for _, account := range []string{a.ID, b.ID} {
		again := tok
		again.Account, again.Name = account, "another"
		if err := e.a.CreateToken(e.Context(), again); err == nil {
			e.Error("a token with the ID of another was created")
		}
	}
	e.hasToken(tok)
}

func testCreateTokenNotAllowed(e *env) {
	a := e.account()
	change := func(f func(*auth.Account)) {
		e.Helper()
		_, err := e.a.ChangeAccount(e.Context(), a.ID, func(c *auth.Account) error { f(c); return nil })
		e.ok(err)
	}
	create := func(k auth.Kind, epoch uint64) error {
		return e.a.CreateToken(e.Context(), auth.Token{ID: uuid.NewString(), Account: a.ID, Kind: k, Epoch: epoch, Created: start})
	}
	change(func(c *auth.Account) { c.Sessions = 1 })
	e.is(create(auth.Session, 0), auth.ErrEnded)
	e.ok(create(auth.Session, 1))
	e.ok(create(auth.Device, 0))
	change(func(c *auth.Account) { c.Devices = 5 })
	e.is(create(auth.Device, 0), auth.ErrEnded)
	e.ok(create(auth.Device, 5))
	e.ok(create(auth.Session, 1))
	change(func(c *auth.Account) { c.Disabled = true })
	e.is(create(auth.Device, 5), auth.ErrEnded)
	e.is(create(auth.Session, 1), auth.ErrEnded)
	list, err := e.a.ListTokens(e.Context(), a.ID)
	e.ok(err)
	e.same(len(list), 4) // those that were allowed, ended or not
}

func testListTokens(e *env) {
	a, b := e.account(), e.account()
	var want []auth.Token
	for i := range 3 {
		want = append(want, e.token(a.ID, []auth.Kind{auth.Session, auth.Device}[i%2], nil))
		e.token(b.ID, auth.Device, nil)
	}
	old := e.token(a.ID, auth.Device, func(t *auth.Token) { t.Created = start.Add(-time.Hour) })
	want = append([]auth.Token{old}, want...)
	same := e.token(a.ID, auth.Device, func(t *auth.Token) {
		t.Created, t.ID = want[1].Created, "ffffffff"+want[1].ID[8:]
	})
	if want[1].ID < same.ID {
		want = append(want[:2:2], append([]auth.Token{same}, want[2:]...)...)
	}
	for range 2 {
		got, err := e.a.ListTokens(e.Context(), a.ID)
		e.ok(err)
		e.same(got, want)
		e.a = e.reopen()
	}
}

func testChangeToken(e *env) {
	a := e.account()
	tok, other := e.token(a.ID, auth.Session, nil), e.token(a.ID, auth.Session, nil)
	got, err := e.a.ChangeToken(e.Context(), tok.ID, func(c *auth.Token) error {
		if !reflect.DeepEqual(*c, tok) {
			return fmt.Errorf("given %+v, want %+v", *c, tok)
		}
		c.Refresh, c.Name, c.Expires = "new", "name", start.Add(time.Minute+time.Millisecond)
		c.Previous, c.Refreshed, c.Key = tok.Refresh, start.Add(2*time.Minute+time.Millisecond), "another"
		return nil
	})
	e.ok(err)
	tok.Previous, tok.Refreshed, tok.Key = tok.Refresh, start.Add(2*time.Minute), "another"
	tok.Refresh, tok.Name, tok.Expires = "new", "name", start.Add(time.Minute)
	e.same(got, tok)
	e.hasToken(tok)
	e.hasToken(other)
	list, err := e.a.ListTokens(e.Context(), a.ID)
	e.ok(err)
	e.same(list, []auth.Token{tok, other})
}

func testChangeTokenRefused(e *env) {
	a := e.account()
	tok := e.token(a.ID, auth.Session, nil)
	no := errors.New("no")
	_, err := e.a.ChangeToken(e.Context(), tok.ID, func(c *auth.Token) error { c.Name = "x"; return no })
	e.is(err, no)
	for name, change := range map[string]func(*auth.Token){
		"ID":      func(c *auth.Token) { c.ID = uuid.NewString() },
		"Account": func(c *auth.Token) { c.Account = uuid.NewString() },
		"Kind":    func(c *auth.Token) { c.Kind = auth.Device },
		"Epoch":   func(c *auth.Token) { c.Epoch++ },
		"Created": func(c *auth.Token) { c.Created = c.Created.Add(time.Second) },
	} {
		if _, err := e.a.ChangeToken(e.Context(), tok.ID, func(c *auth.Token) error { change(c); return nil }); err == nil {
			e.Errorf("%s of a token was changed", name)
		}
	}
	_, err = e.a.ChangeAccount(e.Context(), a.ID, func(c *auth.Account) error { c.Sessions++; return nil })
	e.ok(err)
	_, err = e.a.ChangeToken(e.Context(), tok.ID, func(c *auth.Token) error { c.Name = "x"; return nil })
	e.is(err, auth.ErrEnded)
	e.hasToken(tok)
}

// testChangeTokenOnce makes several changes at once, as refreshes do: one wins.
func testChangeTokenOnce(e *env) {
	tok := e.token(e.account().ID, auth.Session, nil)
	used := errors.New("used")
	var mu sync.Mutex
	var won []string
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			got, err := e.a.ChangeToken(e.Context(), tok.ID, func(c *auth.Token) error {
				if c.Refresh != tok.Refresh {
					return used
				}
				c.Refresh = fmt.Sprint(i)
				return nil
			})
			if err == nil {
				mu.Lock()
				defer mu.Unlock()
				won = append(won, got.Refresh)
			} else if !errors.Is(err, used) {
				e.Error(err)
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		e.Fatalf("%d changes won, want 1", len(won))
	}
	tok.Refresh = won[0]
	e.hasToken(tok)
}

func testDeleteToken(e *env) {
	a := e.account()
	tok, other := e.token(a.ID, auth.Device, nil), e.token(a.ID, auth.Device, nil)
	old, err := e.a.DeleteToken(e.Context(), tok.ID)
	e.ok(err)
	e.same(old, tok)
	e.lacksToken(tok)
	_, err = e.a.DeleteToken(e.Context(), tok.ID)
	e.is(err, auth.ErrNoToken)
	_, err = e.a.ChangeToken(e.Context(), tok.ID, func(*auth.Token) error { return nil })
	e.is(err, auth.ErrNoToken)
	e.hasToken(other)
}

func testSweep(e *env) {
	a := e.account()
	now := start.Add(24 * time.Hour)
	ended := e.token(a.ID, auth.Session, func(t *auth.Token) { t.Expires = now.Add(time.Hour) })
	_, err := e.a.ChangeAccount(e.Context(), a.ID, func(c *auth.Account) error { c.Sessions++; return nil })
	e.ok(err)
	expired := e.token(a.ID, auth.Session, func(t *auth.Token) { t.Expires = now })
	expiredDevice := e.token(a.ID, auth.Device, func(t *auth.Token) { t.Expires = now.Add(-time.Second) })
	stay := []auth.Token{
		e.token(a.ID, auth.Session, func(t *auth.Token) { t.Expires = now.Add(time.Second) }),
		e.token(a.ID, auth.Device, nil),
	}
	n, err := e.a.SweepTokens(e.Context(), now)
	e.ok(err)
	e.same(n, 3)
	for _, t := range []auth.Token{ended, expired, expiredDevice} {
		e.lacksToken(t)
	}
	for _, t := range stay {
		e.hasToken(t)
	}
	n, err = e.a.SweepTokens(e.Context(), now)
	e.ok(err)
	e.same(n, 0)
}

// testSweepMany has more tokens than one commit would take.
func testSweepMany(e *env) {
	a := e.account()
	const n = 1500
	var wg sync.WaitGroup
	for w := range 50 {
		wg.Go(func() {
			for i := w; i < n; i += 50 {
				if err := e.a.CreateToken(e.Context(), auth.Token{ID: uuid.NewString(), Account: a.ID, Kind: auth.Session, Created: start, Expires: start.Add(time.Hour)}); err != nil {
					e.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	stays := e.token(a.ID, auth.Device, nil)
	list, err := e.a.ListTokens(e.Context(), a.ID)
	e.ok(err)
	e.same(len(list), n+1)
	swept, err := e.a.SweepTokens(e.Context(), start.Add(time.Hour))
	e.ok(err)
	e.same(swept, n)
	e.a = e.reopen()
	list, err = e.a.ListTokens(e.Context(), a.ID)
	e.ok(err)
	e.same(list, []auth.Token{stays})
}

func testCreateAtOnce(e *env) {
	const n = 20
	var mu sync.Mutex
	var created []auth.Account
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			a := auth.Account{ID: uuid.NewString(), Email: "one@example.com", Created: start}
			err := e.a.CreateAccount(e.Context(), a)
			if err == nil {
				mu.Lock()
				defer mu.Unlock()
				created = append(created, a)
			} else if !errors.Is(err, auth.ErrExists) {
				e.Error(err)
			}
		})
	}
	wg.Wait()
	if len(created) != 1 {
		e.Fatalf("%d accounts got the same address", len(created))
	}
	e.has(created[0])
	list, err := e.a.ListAccounts(e.Context())
	e.ok(err)
	e.same(list, created)
}

// testCancelled: a call whose context has ended changes nothing.
func testCancelled(e *env) {
	a := e.account()
	tok := e.token(a.ID, auth.Device, nil)
	ctx, cancel := context.WithCancel(e.Context())
	cancel()
	e.is(e.a.CreateAccount(ctx, auth.Account{ID: uuid.NewString(), Email: "late@example.com", Created: start}), context.Canceled)
	_, err := e.a.DeleteAccount(ctx, a.ID)
	e.is(err, context.Canceled)
	_, err = e.a.DeleteToken(ctx, tok.ID)
	e.is(err, context.Canceled)
	e.has(a)
	e.hasToken(tok)
	list, err := e.a.ListAccounts(e.Context())
	e.ok(err)
	e.same(len(list), 1)
}

func testClosed(e *env) {
	a := e.account()
	tok := e.token(a.ID, auth.Device, nil)
	e.shut()
	ctx := e.Context()
	for name, call := range map[string]func() error{
		"CreateAccount":  func() error { return e.a.CreateAccount(ctx, a) },
		"AccountByID":    func() error { _, err := e.a.AccountByID(ctx, a.ID); return err },
		"AccountByEmail": func() error { _, err := e.a.AccountByEmail(ctx, a.Email); return err },
		"ListAccounts":   func() error { _, err := e.a.ListAccounts(ctx); return err },
		"ChangeAccount": func() error {
			_, err := e.a.ChangeAccount(ctx, a.ID, func(*auth.Account) error { return nil })
			return err
		},
		"DeleteAccount": func() error { _, err := e.a.DeleteAccount(ctx, a.ID); return err },
		"CreateToken":   func() error { return e.a.CreateToken(ctx, tok) },
		"TokenByID":     func() error { _, err := e.a.TokenByID(ctx, tok.ID); return err },
		"ListTokens":    func() error { _, err := e.a.ListTokens(ctx, a.ID); return err },
		"ChangeToken": func() error {
			_, err := e.a.ChangeToken(ctx, tok.ID, func(*auth.Token) error { return nil })
			return err
		},
		"DeleteToken": func() error { _, err := e.a.DeleteToken(ctx, tok.ID); return err },
		"SweepTokens": func() error { _, err := e.a.SweepTokens(ctx, start); return err },
		"MarkUsed":    func() error { return e.a.MarkUsed(ctx, map[string]time.Time{tok.ID: start.Add(time.Hour)}) },
		"KeysInUse":   func() error { _, _, err := e.a.KeysInUse(ctx, start); return err },
		"CreateInvite": func() error {
			return e.a.CreateInvite(ctx, auth.Invite{ID: uuid.NewString(), Created: start, Expires: start})
		},
		"InviteByID":   func() error { _, err := e.a.InviteByID(ctx, a.ID); return err },
		"ListInvites":  func() error { _, err := e.a.ListInvites(ctx); return err },
		"DeleteInvite": func() error { _, err := e.a.DeleteInvite(ctx, a.ID); return err },
		"RedeemInvite": func() error { return e.a.RedeemInvite(ctx, a.ID, a) },
		"AppendEvents": func() error { return e.a.AppendEvents(ctx, []auth.Event{{Kind: auth.EventLogin, Time: start}}) },
		"Events":       func() error { _, err := e.a.Events(ctx, auth.EventQuery{Limit: 1}); return err },
		"SweepEvents":  func() error { _, err := e.a.SweepEvents(ctx, start); return err },
	} {
		if err := call(); !errors.Is(err, auth.ErrUnavailable) {
			e.Errorf("%s on closed Accounts: %v, want %v", name, err, auth.ErrUnavailable)
		}
	}
	e.a = e.reopen()
	e.has(a)
	e.hasToken(tok)
}
