package auth_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/auth/authtest"
)

func TestConfig(t *testing.T) {
	for field, cfg := range map[string]auth.Config{
		"access_token_ttl":  {AccessTTL: time.Millisecond},
		"refresh_token_ttl": {RefreshTTL: -time.Hour},
	} {
		_, err := auth.New(cfg, authtest.NewAccounts(), newKeys(t))
		var bad *auth.InvalidError
		if !errors.As(err, &bad) || bad.Field != field {
			t.Errorf("%+v: %v, want an InvalidError of %s", cfg, err, field)
		}
	}
	for _, cfg := range []auth.Config{{HashesAtOnce: -1}, {HashWait: -1}, {SweepInterval: -1}} {
		if _, err := auth.New(cfg, authtest.NewAccounts(), newKeys(t)); err == nil {
			t.Errorf("%+v was taken", cfg)
		}
	}
}

func TestLifetimes(t *testing.T) {
	f := newFixture(t, func(c *auth.Config) { c.AccessTTL = time.Hour; c.RefreshTTL = 2 * time.Hour })
	pair := f.login()
	_, device, err := f.CreateDeviceToken(t.Context(), f.ann.ID, "brief", 90*time.Minute)
	f.ok(err)
	_, forever := f.device()
	f.clock.add(59 * time.Minute)
	f.counts(pair.Access)
	f.clock.add(time.Minute)
	f.dead(pair.Access) // although it was seen a minute ago
	f.counts(device)
	later, err := f.Refresh(t.Context(), pair.Refresh)
	f.ok(err)
	f.counts(later.Access)
	f.clock.add(30 * time.Minute)
	f.dead(device)
	f.clock.add(90 * time.Minute)
	_, err = f.Refresh(t.Context(), later.Refresh)
	f.is(err, auth.ErrUnauthorized)
	f.clock.add(100 * 365 * 24 * time.Hour)
	f.counts(forever)
	list, err := f.ListTokens(t.Context(), f.ann.ID)
	f.ok(err)
	if len(list) != 1 || list[0].Name != "kubo" {
		t.Errorf("listed %+v", list)
	}
}

// TestClockStepsBack: a token works if the clock is set back a little after it was made. It does
// not work long before it was made.
func TestClockStepsBack(t *testing.T) {
	f := newFixture(t)
	pair := f.login()
	f.clock.add(-30 * time.Second)
	f.counts(pair.Access)
	f.clock.add(-time.Hour)
	f.dead(pair.Access)
}

func TestRevokeToken(t *testing.T) {
	f := newFixture(t)
	tok, raw := f.device()
	_, other := f.device()
	pair := f.login()
	f.counts(raw)
	f.counts(other)
	gone, err := f.RevokeToken(t.Context(), tok.ID)
	f.ok(err)
	if gone != tok {
		t.Errorf("revoked %+v, want %+v", gone, tok)
	}
	f.dead(raw)
	f.counts(other)
	f.counts(pair.Access)
	_, err = f.RevokeToken(t.Context(), tok.ID)
	f.is(err, auth.ErrNoToken)

	// A session goes with all that stands on it.
	later, err := f.Refresh(t.Context(), pair.Refresh)
	f.ok(err)
	p, err := f.Verify(t.Context(), later.Access)
	f.ok(err)
	f.counts(pair.Access)
	_, err = f.RevokeToken(t.Context(), p.TokenID)
	f.ok(err)
	f.dead(pair.Access)
	f.dead(later.Access)
	_, err = f.Refresh(t.Context(), later.Refresh)
	f.is(err, auth.ErrUnauthorized)
	f.counts(other)
}

func TestSetPassword(t *testing.T) {
	f := newFixture(t)
	for _, endDevices := range []bool{false, true} {
		pair, _ := f.login(), f.login()
		tok, device := f.device()
		f.counts(pair.Access)
		f.counts(device)
		ended, err := f.SetPassword(t.Context(), f.ann.ID, goodPassword+"!", endDevices)
		f.ok(err)
		f.dead(pair.Access)
		_, err = f.Refresh(t.Context(), pair.Refresh)
		f.is(err, auth.ErrUnauthorized)
		want := auth.Ended{Sessions: 2, DevicesLeft: 1}
		if endDevices {
			want = auth.Ended{Sessions: 2, Devices: 1}
			f.dead(device)
		} else {
			f.counts(device)
			_, err = f.RevokeToken(t.Context(), tok.ID)
			f.ok(err)
		}
		if ended != want {
			t.Errorf("it says that it ended %+v, want %+v", ended, want)
		}
		_, err = f.Login(t.Context(), f.ann.Email, goodPassword)
		f.is(err, auth.ErrBadCredentials)
		_, err = f.Login(t.Context(), f.ann.Email, goodPassword+"!")
		f.ok(err)
		_, err = f.SetPassword(t.Context(), f.ann.ID, goodPassword, false)
		f.ok(err)
	}
	_, err := f.SetPassword(t.Context(), f.ann.ID, "short", true)
	f.invalid(err, "password")
	f.login()
	_, err = f.SetPassword(t.Context(), "nobody", goodPassword, true)
	f.is(err, auth.ErrNoAccount)
}

func TestDisable(t *testing.T) {
	f := newFixture(t)
	pair := f.login()
	_, device := f.device()
	f.counts(pair.Access)
	f.counts(device)
	for range 2 {
		a, err := f.Disable(t.Context(), f.ann.ID)
		f.ok(err)
		if !a.Disabled {
			t.Error("the account is not disabled")
		}
	}
	check := func() {
		t.Helper()
		f.dead(pair.Access)
		f.dead(device)
		_, err := f.Refresh(t.Context(), pair.Refresh)
		f.is(err, auth.ErrUnauthorized)
		list, err := f.ListTokens(t.Context(), f.ann.ID)
		f.ok(err)
		if len(list) != 0 {
			t.Errorf("still listed: %+v", list)
		}
	}
	check()
	_, err := f.Login(t.Context(), f.ann.Email, goodPassword)
	f.is(err, auth.ErrDisabled)
	_, err = f.Login(t.Context(), f.ann.Email, goodPassword+"?")
	f.is(err, auth.ErrBadCredentials)
	_, _, err = f.CreateDeviceToken(t.Context(), f.ann.ID, "kubo", 0)
	f.is(err, auth.ErrDisabled)

	_, err = f.Enable(t.Context(), f.ann.ID)
	f.ok(err)
	check() // what was ended stays ended
	f.counts(f.login().Access)
	_, device = f.device()
	f.counts(device)
	for _, call := range []func(context.Context, string) (auth.Account, error){f.Disable, f.Enable, f.RemoveAccount} {
		_, err = call(t.Context(), "nobody")
		f.is(err, auth.ErrNoAccount)
	}
}

func TestRemoveAccount(t *testing.T) {
	f := newFixture(t)
	pair := f.login()
	_, device := f.device()
	f.counts(pair.Access)
	f.counts(device)
	old, err := f.RemoveAccount(t.Context(), f.ann.ID)
	f.ok(err)
	if old.Email != f.ann.Email {
		t.Errorf("removed %+v", old)
	}
	f.dead(pair.Access)
	f.dead(device)
	_, err = f.Refresh(t.Context(), pair.Refresh)
	f.is(err, auth.ErrUnauthorized)
	_, err = f.Login(t.Context(), f.ann.Email, goodPassword)
	f.is(err, auth.ErrBadCredentials)
	_, err = f.AccountByEmail(t.Context(), f.ann.Email)
	f.is(err, auth.ErrNoAccount)

	// An account that gets the address gets nothing else of the old one.
	_, err = f.AddAccount(t.Context(), auth.NewAccount{Email: f.ann.Email, Password: goodPassword})
	f.ok(err)
	f.dead(pair.Access)
	f.dead(device)
}

func TestSetQuota(t *testing.T) {
	f := newFixture(t)
	bytes, pins, none := uint64(1<<40), uint64(1000), uint64(0)
	for _, c := range []struct {
		set         auth.NewQuota
		bytes, pins uint64
	}{
		{auth.NewQuota{Bytes: &bytes}, bytes, 0},
		{auth.NewQuota{Pins: &pins}, bytes, pins},
		{auth.NewQuota{Bytes: &none}, 0, pins},
		{auth.NewQuota{Bytes: &bytes, Pins: &none}, bytes, 0},
	} {
		a, err := f.SetQuota(t.Context(), f.ann.ID, c.set)
		f.ok(err)
		got, err := f.AccountByID(t.Context(), f.ann.ID)
		f.ok(err)
		if a != got || got.Quota != c.bytes || got.QuotaPins != c.pins {
			t.Errorf("the account is %+v, want %d bytes and %d pins", got, c.bytes, c.pins)
		}
	}
	_, err := f.SetQuota(t.Context(), f.ann.ID, auth.NewQuota{})
	f.invalid(err, "quota")
}

func TestDeviceTokens(t *testing.T) {
	f := newFixture(t)
	for name, field := range map[string]string{
		"": "name", " ": "name", "a\nb": "name", "a\xff": "name", strings.Repeat("n", 101): "name",
	} {
		_, _, err := f.CreateDeviceToken(t.Context(), f.ann.ID, name, 0)
		f.invalid(err, field)
	}
	for _, ttl := range []time.Duration{-time.Hour, time.Millisecond} {
		_, _, err := f.CreateDeviceToken(t.Context(), f.ann.ID, "kubo", ttl)
		f.invalid(err, "expires")
	}
	_, _, err := f.CreateDeviceToken(t.Context(), "nobody", "kubo", 0)
	f.is(err, auth.ErrNoAccount)

	one, raw := f.device()
	f.clock.add(time.Second)
	two, _, err := f.CreateDeviceToken(t.Context(), f.ann.ID, strings.Repeat("\u00e9", 100), time.Hour)
	f.ok(err)
	list, err := f.ListTokens(t.Context(), f.ann.ID)
	f.ok(err)
	if !slices.Equal(list, []auth.Token{one, two}) {
		t.Errorf("listed %+v, want %+v", list, []auth.Token{one, two})
	}
	p, err := f.Verify(t.Context(), raw)
	f.ok(err)
	if p.TokenID != one.ID {
		t.Errorf("the token is %s, want %s", p.TokenID, one.ID)
	}
	_, err = f.ListTokens(t.Context(), "nobody")
	f.is(err, auth.ErrNoAccount)
}

// TestPasswordChangedDuringLogin: a login that began with the old password gives no token that
// works after the new password was set.
func TestPasswordChangedDuringLogin(t *testing.T) {
	f := newFixture(t)
	var once sync.Once
	auth.HoldHashes(f.Service, func() {
		once.Do(func() {
			_, err := f.SetPassword(context.Background(), f.ann.ID, goodPassword+"!", false)
			f.ok(err)
		})
	})
	_, err := f.Login(t.Context(), f.ann.Email, goodPassword)
	f.is(err, auth.ErrBadCredentials)
}

// TestRevokedWhileVerified: a check that read the record before it was deleted may succeed once,
// but the result is not remembered.
func TestRevokedWhileVerified(t *testing.T) {
	f := newFixture(t)
	for name, end := range map[string]func(auth.Token){
		"revoke":  func(tok auth.Token) { _, err := f.RevokeToken(t.Context(), tok.ID); f.ok(err) },
		"disable": func(auth.Token) { _, err := f.Disable(t.Context(), f.ann.ID); f.ok(err) },
	} {
		tok, raw := f.device()
		reads := 0
		f.accounts.SetFault(func(method string) error {
			// After the token's record was read, before its account is.
			if method == "AccountByID" {
				if reads++; reads == 1 {
					end(tok)
				}
			}
			return nil
		})
		_, err := f.Verify(t.Context(), raw)
		f.accounts.SetFault(nil)
		if err != nil && !errors.Is(err, auth.ErrUnauthorized) {
			t.Errorf("%s: %v", name, err)
		}
		f.dead(raw)
		_, err = f.Enable(t.Context(), f.ann.ID)
		f.ok(err)
	}
}

// TestRevocationIsImmediate checks tokens while they are ended.
func TestRevocationIsImmediate(t *testing.T) {
	f := newFixture(t)
	for range 200 {
		tok, raw := f.device()
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						_, _ = f.Verify(context.Background(), raw)
					}
				}
			})
		}
		f.counts(raw)
		_, err := f.RevokeToken(t.Context(), tok.ID)
		f.ok(err)
		for range 5 {
			f.dead(raw)
		}
		close(stop)
		wg.Wait()
		f.dead(raw)
	}
}

// TestEndingOutlivesItsClient: a revocation is done although the client hangs up.
func TestEndingOutlivesItsClient(t *testing.T) {
	f := newFixture(t)
	tok, raw := f.device()
	f.counts(raw)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := f.RevokeToken(ctx, tok.ID)
	f.ok(err)
	f.dead(raw)
}

// TestFaults: if the store fails, the token is neither accepted nor refused.
func TestFaults(t *testing.T) {
	f := newFixture(t)
	pair := f.login()
	broken := errors.New("broken")
	f.accounts.SetFault(func(string) error { return broken })
	_, verify := f.Verify(t.Context(), pair.Access)
	_, refresh := f.Refresh(t.Context(), pair.Refresh)
	_, login := f.Login(t.Context(), f.ann.Email, goodPassword)
	for _, err := range []error{verify, refresh, login} {
		f.is(err, broken)
		if errors.Is(err, auth.ErrUnauthorized) || errors.Is(err, auth.ErrBadCredentials) {
			t.Errorf("a fault reads as a refusal: %v", err)
		}
	}
	f.accounts.SetFault(nil)
	f.counts(pair.Access)
	_, err := f.Refresh(t.Context(), pair.Refresh)
	f.ok(err) // the fault did not use it up
}

func TestRunSweeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, func(c *auth.Config) { c.Now = time.Now; c.AccessTTL = time.Hour; c.RefreshTTL = 90 * time.Minute })
		f.login()
		_, device := f.device()
		left := func() int {
			all, err := f.accounts.ListTokens(t.Context(), f.ann.ID)
			f.ok(err)
			return len(all)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- f.Run(ctx) }()
		time.Sleep(time.Hour + time.Second) // the bubble's clock
		synctest.Wait()
		if left() != 2 {
			t.Error("a live token was swept")
		}
		f.accounts.SetFault(func(method string) error {
			if method == "SweepTokens" {
				return errors.New("not now")
			}
			return nil
		})
		time.Sleep(time.Hour)
		synctest.Wait()
		f.accounts.SetFault(nil)
		if left() != 2 {
			t.Error("swept although sweeping fails")
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if left() != 1 {
			t.Error("an expired session was not swept")
		}
		f.counts(device)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
