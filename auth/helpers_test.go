package auth_test

import (
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/auth/authtest"
)

const goodPassword = "correct horse battery"

// cheap is a hash cost for tests that hash often.
var cheap = auth.HashCost{Memory: 8, Iterations: 1}

// clock is a clock that tests set.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// fixture is a service over accounts in memory, with one account.
type fixture struct {
	testing.TB
	*auth.Service
	keys     *auth.Keys
	accounts *authtest.Accounts
	clock    *clock
	ann      auth.Account // her password is goodPassword
}

func newFixture(t testing.TB, change ...func(*auth.Config)) *fixture {
	t.Helper()
	f := &fixture{TB: t, accounts: authtest.NewAccounts(), keys: newKeys(t),
		clock: &clock{now: time.Date(2026, 5, 4, 3, 2, 1, 500e6, time.UTC)}}
	cfg := auth.Config{HashCost: cheap, Now: f.clock.Now}
	for _, c := range change {
		c(&cfg)
	}
	var err error
	f.Service, err = auth.New(cfg, f.accounts, f.keys)
	f.ok(err)
	f.ann, err = f.AddAccount(t.Context(), auth.NewAccount{Email: "ann@example.com", Password: goodPassword})
	f.ok(err)
	return f
}

func newKeys(t testing.TB) *auth.Keys {
	t.Helper()
	k, err := auth.OpenKeys(filepath.Join(t.TempDir(), "keys.json"))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (f *fixture) ok(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) is(err, want error) {
	f.Helper()
	if !errors.Is(err, want) {
		f.Fatalf("error %v, want %v", err, want)
	}
}

// invalid checks that err names the field.
func (f *fixture) invalid(err error, field string) {
	f.Helper()
	var bad *auth.InvalidError
	if !errors.As(err, &bad) || bad.Field != field {
		f.Fatalf("error %v, want an InvalidError of %q", err, field)
	}
}

func (f *fixture) login() auth.Pair {
	f.Helper()
	p, err := f.Login(f.Context(), f.ann.Email, goodPassword)
	f.ok(err)
	return p
}

func (f *fixture) device() (auth.Token, string) {
	f.Helper()
	tok, raw, err := f.CreateDeviceToken(f.Context(), f.ann.ID, "kubo", 0)
	f.ok(err)
	return tok, raw
}

// counts checks twice that the token is ann's and counts. The second answer is a remembered one.
func (f *fixture) counts(raw string) {
	f.Helper()
	for range 2 {
		p, err := f.Verify(f.Context(), raw)
		f.ok(err)
		if p.Account != f.ann.ID || p.Email != f.ann.Email || p.TokenID == "" {
			f.Fatalf("the token is of %+v", p)
		}
	}
}

// dead checks that the token does not count.
func (f *fixture) dead(raw string) {
	f.Helper()
	if _, err := f.Verify(f.Context(), raw); !errors.Is(err, auth.ErrUnauthorized) {
		f.Fatalf("error %v, want %v", err, auth.ErrUnauthorized)
	}
}

// events are the recorded events of a kind, newest first.
func (f *fixture) events(kind auth.EventKind) (some []auth.Event) {
	f.Helper()
	all, err := f.Events(f.Context(), auth.EventQuery{Limit: 1000})
	f.ok(err)
	for _, e := range all {
		if e.Kind == kind {
			some = append(some, e)
		}
	}
	return some
}
