package auth_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/auth"
)

// tries sends logins with wrong passwords. It returns how many passwords were checked and how
// many requests were refused before that.
func (s *server) tries(n int, email string, address func(i int) string) (looked, limited int) {
	s.Helper()
	for i := range n {
		r := s.call("POST", "/api/auth/login", "",
			map[string]string{"email": email, "password": fmt.Sprint("wrong password ", i)}, from(address(i)))
		switch r.status {
		case 401:
			looked++
		case 429:
			limited++
			s.wants(r, 429, "TOO_MANY_REQUESTS")
		default:
			s.Fatalf("%d %s", r.status, r.body)
		}
	}
	return looked, limited
}

func always(address string) func(int) string { return func(int) string { return address } }

// TestBruteForce counts the passwords that can be tried, from one address and from many. The
// owner can use the account meanwhile.
func TestBruteForce(t *testing.T) {
	s := newServer(t)
	const home = "198.51.100.7"
	s.logIn(s.ann.Email, goodPassword, from(home))
	_, device := s.device()
	hashes := auth.CountHashes(s.Service)

	// One account, from a thousand addresses: no more than the limit of one account.
	before := hashes.Load()
	spread := func(i int) string { return fmt.Sprintf("203.0.%d.%d", i/250, 1+i%250) }
	looked, limited := s.tries(1000, s.ann.Email, spread)
	t.Logf("of 1,000 tries from 1,000 addresses on one account, %d got through", looked)
	if looked != 10 || limited != 990 {
		t.Errorf("%d tries got through, %d were refused", looked, limited)
	}
	if ran := hashes.Load() - before; ran != 10 {
		t.Errorf("%d hashes ran", ran)
	}
	// From another address even the right password is refused, so that a right guess looks
	// like a wrong one. Retry-After says when it works.
	r := s.wants(s.call("POST", "/api/auth/login", "", annsLogin, from("192.0.2.99")), 429, "TOO_MANY_REQUESTS")
	if r.header.Get("Retry-After") != "60" {
		t.Errorf("Retry-After %s", r.header.Get("Retry-After"))
	}
	// The owner has a device token, a session, and an address of an earlier login.
	s.wants(s.call("GET", "/api/psa/pins", device, nil, from("192.0.2.99")), 200, "")
	s.wants(s.call("POST", "/api/psa/pins", device, addPin("x"), from("192.0.2.99")), 202, "")
	s.logIn(s.ann.Email, goodPassword, from(home))
	// Over a day, from everywhere: one a minute.
	got := 0
	for range 24 {
		s.clock.add(time.Hour)
		n, _ := s.tries(50, s.ann.Email, spread)
		got += n
	}
	t.Logf("over a day, %d more got through", got)
	if got > 24*11 {
		t.Errorf("%d tries got through over a day", got)
	}

	// One address, any number of accounts, known and not.
	s.clock.add(24 * time.Hour)
	looked = 0
	for i := range 200 {
		n, _ := s.tries(1, fmt.Sprintf("user%d@example.com", i), always("203.0.113.200"))
		looked += n
	}
	t.Logf("of 200 tries from one address on 200 accounts, %d got through", looked)
	if looked != 30 {
		t.Errorf("%d tries got through from one address", looked)
	}
	// One customer's IPv6 addresses are one, and another's are not.
	looked = 0
	for i := range 60 {
		n, _ := s.tries(1, fmt.Sprintf("v6user%d@example.com", i), always(fmt.Sprintf("2001:db8:1:2::%x", i+1)))
		looked += n
	}
	if looked != 30 {
		t.Errorf("%d tries got through from one IPv6 network", looked)
	}
	if n, _ := s.tries(1, "v6other@example.com", always("2001:db8:1:3::1")); n != 1 {
		t.Error("the neighbours' network is limited too")
	}
	// Others are not delayed.
	bob, err := s.AddAccount(t.Context(), auth.NewAccount{Email: "bob@example.com", Password: goodPassword})
	s.ok(err)
	s.logIn(bob.Email, goodPassword, from("192.0.2.1"))
}

// TestBruteForceFromTheOwnersPlace: tries from a network where the owner logged in have their
// own bucket, and no more than that.
func TestBruteForceFromTheOwnersPlace(t *testing.T) {
	s := newServer(t, func(c *auth.Config) { c.Limits.Address.Burst = -1 })
	s.logIn(s.ann.Email, goodPassword, from("198.51.100.7"))
	if n, _ := s.tries(100, s.ann.Email, always("198.51.100.7")); n != 10 {
		t.Errorf("%d tries got through from the owner's place", n)
	}
	if n, _ := s.tries(100, s.ann.Email, always("198.51.100.8")); n != 10 {
		t.Errorf("%d tries got through from elsewhere", n)
	}
	s.clock.add(time.Minute)
	s.logIn(s.ann.Email, goodPassword, from("198.51.100.7"))

	// After a restart the sessions say which networks these are.
	restarted, err := auth.New(auth.Config{HashCost: cheap, Now: s.clock.Now, Limits: auth.Limits{Account: auth.Rate{Burst: 1}}}, s.accounts, s.keys)
	s.ok(err)
	login := func(address, password string) error {
		_, err := restarted.Login(auth.WithAddress(t.Context(), address), s.ann.Email, password)
		return err
	}
	s.is(login("192.0.2.5", "wrong password"), auth.ErrBadCredentials)
	if limit := (*auth.LimitError)(nil); !errors.As(login("192.0.2.5", goodPassword), &limit) {
		t.Error("the bucket is not empty")
	}
	s.ok(login("198.51.100.7", goodPassword))
}

// TestTriesAtOnce: tries at the same time are counted too.
func TestTriesAtOnce(t *testing.T) {
	s := newServer(t, func(c *auth.Config) { c.HashWait = time.Minute })
	hashes := auth.CountHashes(s.Service)
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			s.call("POST", "/api/auth/login", "", map[string]string{"email": s.ann.Email, "password": "wrong password"},
				from(fmt.Sprintf("203.0.113.%d", i+1)))
		})
	}
	wg.Wait()
	if hashes.Load() != 10 {
		t.Errorf("%d hashes ran", hashes.Load())
	}
}

// TestRightPasswordsAreNotCounted: for a script that logs in again and again only the limit of
// its address counts.
func TestRightPasswordsAreNotCounted(t *testing.T) {
	s := newServer(t)
	for i := range 50 {
		s.logIn(s.ann.Email, goodPassword, from(fmt.Sprintf("203.0.113.%d", i+1)))
	}
	for range 30 {
		s.logIn(s.ann.Email, goodPassword, from("192.0.2.1"))
	}
	s.wants(s.call("POST", "/api/auth/login", "", annsLogin, from("192.0.2.1")), 429, "TOO_MANY_REQUESTS")
	s.clock.add(2 * time.Second)
	s.logIn(s.ann.Email, goodPassword, from("192.0.2.1"))
}

// TestUnknownAccountAnswers: the whole answer is the same for an account that
// does not exist, in each state that a limit has.
func TestUnknownAccountAnswers(t *testing.T) {
	s := newServer(t)
	hashes := auth.CountHashes(s.Service)
	for i := range 12 {
		var answers []string
		for _, email := range []string{s.ann.Email, "nobody@example.com"} {
			before := hashes.Load()
			r := s.call("POST", "/api/auth/login", "", map[string]string{"email": email, "password": "wrong password"},
				from(fmt.Sprintf("203.0.113.%d", i+1)))
			delete(r.header, "Date")
			answers = append(answers, fmt.Sprint(r.status, r.header, r.body, hashes.Load()-before))
		}
		if answers[0] != answers[1] {
			t.Errorf("try %d: %s\nfor nobody %s", i, answers[0], answers[1])
		}
		if limited := strings.HasPrefix(answers[0], "429"); limited != (i >= 10) {
			t.Errorf("try %d: %s", i, answers[0])
		}
	}
}

// TestPollingIsNotLimited: 50 programs poll twice a second with one token.
func TestPollingIsNotLimited(t *testing.T) {
	s := newServer(t)
	_, device := s.device()
	for range 60 {
		for range 100 {
			if r := s.call("GET", "/api/psa/pins", device, nil); r.status != 200 {
				t.Fatalf("%d %s", r.status, r.body)
			}
		}
		s.clock.add(time.Second)
	}
}

// TestTokenLimit: a program that is out of control learns when to come back, in the form of
// each API. Others are not delayed.
func TestTokenLimit(t *testing.T) {
	s := newServer(t, func(c *auth.Config) { c.Limits.Token = auth.Rate{Every: time.Second, Burst: 5} })
	_, device := s.device()
	_, other := s.device()
	for range 5 {
		s.wants(s.call("GET", "/api/psa/pins", device, nil), 200, "")
	}
	for _, path := range []string{"/api/psa/pins", "/api/auth/me"} {
		r := s.wants(s.call("GET", path, device, nil), 429, "TOO_MANY_REQUESTS")
		if r.header.Get("Retry-After") != "1" {
			t.Errorf("%s: Retry-After %q", path, r.header.Get("Retry-After"))
		}
	}
	s.wants(s.call("GET", "/api/psa/pins", other, nil), 200, "")
	s.clock.add(time.Second)
	s.wants(s.call("GET", "/api/psa/pins", device, nil), 200, "")
	s.wants(s.call("GET", "/api/psa/pins", device, nil), 429, "TOO_MANY_REQUESTS")
}

// TestChangesLimit: an account cannot fill the disk with tokens and events about itself. It can
// be used meanwhile, and others are not delayed.
func TestChangesLimit(t *testing.T) {
	s := newServer(t)
	_, raw, err := s.AddDevice(t.Context(), s.ann.ID, auth.NewDevice{Name: "wild", Scope: auth.ScopeAdmin})
	s.ok(err)
	_, root := s.admin()
	calls := []func(token string) response{
		func(token string) response {
			return s.call("POST", "/api/auth/tokens", token, map[string]any{"name": "x"})
		},
		func(token string) response { return s.call("POST", "/api/auth/logout-all", token, nil) },
		func(token string) response { return s.call("DELETE", "/api/auth/tokens/x", token, nil) },
	}
	n := 0
	for ; n < 300; n++ {
		if r := calls[n%3](raw); r.status == 429 {
			s.wants(r, 429, "TOO_MANY_REQUESTS")
			break
		}
	}
	if n != 100 {
		t.Errorf("%d changes went through", n)
	}
	s.wants(s.call("GET", "/api/auth/tokens", raw, nil), 200, "")
	s.wants(s.call("POST", "/api/psa/pins", raw, addPin("x")), 202, "")
	s.wants(calls[0](root), 201, "")
	s.clock.add(10 * time.Second)
	s.wants(calls[0](raw), 201, "")
	s.wants(calls[0](raw), 429, "TOO_MANY_REQUESTS")
}

// TestRefreshLimit: a session can refresh as often as a normal program does, but not in a loop.
func TestRefreshLimit(t *testing.T) {
	s := newServer(t)
	pair := s.login()
	n := 0
	for ; n < 100; n++ {
		next, err := s.Refresh(t.Context(), pair.Refresh)
		if limit := (*auth.LimitError)(nil); errors.As(err, &limit) {
			break
		}
		s.ok(err)
		pair = next
	}
	if n != 20 {
		t.Errorf("%d refreshes went through", n)
	}
	s.wants(s.call("POST", "/api/auth/refresh", "", map[string]string{"refresh_token": pair.Refresh}), 429, "TOO_MANY_REQUESTS")
	s.clock.add(5 * time.Second)
	_, err := s.Refresh(t.Context(), pair.Refresh) // a try that was refused did not use it up
	s.ok(err)
}

// TestClockAndLimits: a clock that steps back neither fills a bucket nor keeps it empty for long.
func TestClockAndLimits(t *testing.T) {
	s := newServer(t)
	s.tries(10, s.ann.Email, always("203.0.113.1"))
	s.clock.add(-24 * time.Hour)
	if n, _ := s.tries(1, s.ann.Email, always("203.0.113.2")); n != 0 {
		t.Error("a step back opened the bucket")
	}
	s.clock.add(time.Minute)
	if n, _ := s.tries(2, s.ann.Email, always("203.0.113.3")); n != 1 {
		t.Errorf("a minute after the step back %d tries got through, want 1", n)
	}
}

func TestBadLimits(t *testing.T) {
	f := newFixture(t)
	for _, l := range []auth.Limits{{Account: auth.Rate{Every: -1}}, {Token: auth.Rate{Every: -time.Second}}} {
		if _, err := auth.New(auth.Config{Limits: l}, f.accounts, f.keys); err == nil {
			t.Errorf("%+v was taken", l)
		}
	}
	_, err := auth.New(auth.Config{Registration: "maybe"}, f.accounts, f.keys)
	f.invalid(err, "registration")
}
