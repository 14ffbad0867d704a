package auth_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-ipfs/holdfast/auth"
)

// held makes a method of the pin service wait until the request ends or the test lets it go. It
// reports each call that got there.
func (s *server) held(method string) (reached chan struct{}, letGo func()) {
	reached, free := make(chan struct{}), make(chan struct{})
	s.pins.onCall(func(ctx context.Context, m string) error {
		if m != method {
			return nil
		}
		reached <- struct{}{}
		select {
		case <-ctx.Done():
		case <-free:
		case <-time.After(5 * time.Second): // so that the test fails and does not hang
		}
		return ctx.Err()
	})
	return reached, func() { close(free) }
}

// TestEndedDuringRequest: what ends a token ends the requests that came with it, at once and
// without effect. Requests of other tokens continue.
func TestEndedDuringRequest(t *testing.T) {
	type world struct {
		*server
		admin  string // an admin's access token
		access string // ann's
		token  auth.Token
		device string // ann's, with token as its record
	}
	ok := func(w world, r response) { w.Helper(); w.wants(r, 200, "") }
	newPassword := map[string]any{"password": goodPassword, "new_password": goodPassword + "!"}
	everything := map[string]any{"password": goodPassword, "new_password": goodPassword + "!", "revoke_tokens": true}
	for name, c := range map[string]struct {
		end func(w world)
		// Which requests end: of the access token, of the device token, and of another
		// session.
		access, device, other bool
	}{
		"logout": {func(w world) { ok(w, w.call("POST", "/api/auth/logout", w.access, nil)) },
			true, false, false},
		"logout of the device": {func(w world) { ok(w, w.call("POST", "/api/auth/logout", w.device, nil)) },
			false, true, false},
		"logout everywhere": {func(w world) { ok(w, w.call("POST", "/api/auth/logout-all", w.access, nil)) },
			true, false, true},
		"revoke": {func(w world) { ok(w, w.call("DELETE", "/api/auth/tokens/"+w.token.ID, w.access, nil)) },
			false, true, false},
		"password": {func(w world) { ok(w, w.call("POST", "/api/auth/password", w.access, newPassword)) },
			true, false, true},
		"password and devices": {func(w world) { ok(w, w.call("POST", "/api/auth/password", w.access, everything)) },
			true, true, true},
		"disable": {func(w world) { ok(w, w.call("POST", "/api/admin/accounts/"+w.ann.ID+"/disable", w.admin, nil)) },
			true, true, true},
		"remove": {func(w world) { ok(w, w.call("DELETE", "/api/admin/accounts/"+w.ann.ID, w.admin, nil)) },
			true, true, true},
		"rotation that ends all": {func(w world) { _, err := w.RotateKeys(w.Context(), true); w.ok(err) },
			true, true, true},
		"rotation": {func(w world) { _, err := w.RotateKeys(w.Context(), false); w.ok(err) },
			false, false, false},
		"quota": {func(w world) {
			ok(w, w.call("POST", "/api/admin/accounts/"+w.ann.ID+"/quota", w.admin, map[string]int{"quota": 1}))
		}, false, false, false},
	} {
		for _, method := range []string{"List", "Add"} {
			t.Run(name+"/"+method, func(t *testing.T) {
				w := world{server: newServer(t)}
				_, w.admin = w.server.admin()
				w.access = w.logIn(w.ann.Email, goodPassword).Access
				other := w.logIn(w.ann.Email, goodPassword).Access
				w.token, w.device = w.fixture.device()

				reached, letGo := w.held(method)
				answers := map[string]chan response{}
				for who, token := range map[string]string{"access": w.access, "device": w.device, "other": other} {
					answer := make(chan response, 1)
					answers[who] = answer
					go func() {
						if method == "List" {
							answer <- w.call("GET", "/api/psa/pins?status=queued", token, nil)
						} else {
							answer <- w.call("POST", "/api/psa/pins", token, addPin(who))
						}
					}()
					<-reached
				}
				c.end(w)
				ended := map[string]bool{"access": c.access, "device": c.device, "other": c.other}
				for who, is := range ended {
					if is { // without being let go
						if r := <-answers[who]; r.status != http.StatusUnauthorized || r.reason() != "UNAUTHORIZED" {
							t.Errorf("%s: %d %s", who, r.status, r.body)
						}
					}
				}
				letGo()
				left := 0
				for who, is := range ended {
					if is {
						continue
					}
					left++
					if r := <-answers[who]; r.status/100 != 2 {
						t.Errorf("%s: %d %s", who, r.status, r.body)
					}
				}
				if method == "List" {
					left = 0
				}
				made, err := w.pins.all(t.Context(), w.ann.ID)
				w.ok(err)
				if len(made) != left {
					t.Errorf("%d pins were made, want %d", len(made), left)
				}
			})
		}
	}
}

// TestRotation follows keys through their life on the running server.
func TestRotation(t *testing.T) {
	s := newServer(t, func(c *auth.Config) { c.AccessTTL = time.Hour; c.RefreshTTL = 2 * time.Hour })
	ctx := t.Context()
	pair := s.logIn(s.ann.Email, goodPassword)
	tok, device := s.device()
	_, brief, err := s.AddDevice(ctx, s.ann.ID, auth.NewDevice{Name: "brief", TTL: 24 * time.Hour})
	s.ok(err)
	get := func(token string, status int) {
		t.Helper()
		if r := s.call("GET", "/api/psa/pins", token, nil); r.status != status {
			t.Fatalf("%d, want %d: %s", r.status, status, r.body)
		}
	}
	keys := func(want int) []auth.KeyInfo {
		t.Helper()
		auth.Sweep(s.Service)
		list := s.keys.List()
		if len(list) != want {
			t.Fatalf("%d keys, want %d: %+v", len(list), want, list)
		}
		return list
	}
	first := auth.KeyID(s.keys)
	list, err := s.RotateKeys(ctx, false)
	s.ok(err)
	if len(list) != 2 || list[0].ID == first || list[1].ID != first || !list[0].Until.IsZero() {
		t.Fatalf("after a rotation: %+v", list)
	}
	// Old tokens still count, and new ones are signed with the new key, also after a restart.
	for range 2 {
		get(pair.Access, 200)
		get(device, 200)
		auth.ForgetSeen(s.Service)
	}
	next := s.logIn(s.ann.Email, goodPassword)
	if h := unb64(t, next.Access[:len(b64(`{"alg":"HS256","kid":"12345678","typ":"JWT"}`))]); h["kid"] != list[0].ID {
		t.Errorf("signed by %v, want %s", h["kid"], list[0].ID)
	}
	pair, err = s.Refresh(ctx, pair.Refresh)
	s.ok(err)
	again, err := auth.OpenKeys(auth.KeysPath(s.keys))
	s.ok(err)
	restarted, err := auth.New(auth.Config{HashCost: cheap, Now: s.clock.Now}, s.accounts, again)
	s.ok(err)
	for _, raw := range []string{pair.Access, device, brief, next.Access} {
		if _, err := restarted.Verify(ctx, raw); err != nil {
			t.Errorf("after a restart: %v", err)
		}
	}

	// A second rotation. The first key stays for the device tokens, the second for the
	// sessions, which end first.
	keys(2)
	_, err = s.RotateKeys(ctx, false)
	s.ok(err)
	keys(3)
	s.clock.add(2*time.Hour - time.Second)
	_, err = s.Refresh(ctx, pair.Refresh) // its key is still there
	s.ok(err)
	keys(3)
	s.clock.add(time.Hour + 2*time.Second)
	if l := keys(2); l[1].ID != first {
		t.Errorf("kept %+v", l)
	}
	get(device, 200)
	get(brief, 200)
	_, err = s.RevokeToken(ctx, tok.ID)
	s.ok(err)
	get(device, 401)
	keys(2)
	s.clock.add(24 * time.Hour)
	get(brief, 401)
	keys(1)
	if n := len(s.events(auth.EventKeysRotated)); n != 2 {
		t.Errorf("%d rotations are on record, want 2", n)
	}

	// A leaked key is dropped at once, with all that it signed.
	last := s.logIn(s.ann.Email, goodPassword)
	_, device = s.device()
	get(last.Access, 200)
	_, err = s.RotateKeys(ctx, true)
	s.ok(err)
	keys(1)
	get(last.Access, 401)
	get(device, 401)
	_, err = s.Refresh(ctx, last.Refresh)
	s.is(err, auth.ErrUnauthorized)
	live, err := s.ListTokens(ctx, s.ann.ID)
	s.ok(err)
	if len(live) != 0 {
		t.Errorf("tokens of dropped keys are listed: %+v", live)
	}
	get(s.logIn(s.ann.Email, goodPassword).Access, 200)
}

// TestRotateWhileServing: at no moment a request is without its key.
func TestRotateWhileServing(t *testing.T) {
	s := newServer(t)
	_, device := s.device()
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			auth.ForgetSeen(s.Service)
			if _, err := s.Verify(context.Background(), device); err != nil {
				t.Error(err)
				return
			}
			_, raw, err := s.CreateDeviceToken(context.Background(), s.ann.ID, "x", 0)
			if err == nil {
				_, err = s.Verify(context.Background(), raw)
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
	}()
	for range 20 {
		_, err := s.RotateKeys(t.Context(), false)
		s.ok(err)
		auth.Sweep(s.Service)
	}
	close(stop)
	<-done
}

// TestRotationThatFails leaves the keys as they were.
func TestRotationThatFails(t *testing.T) {
	f := newFixture(t)
	_, device := f.device()
	before := auth.KeyID(f.keys)
	restore := auth.BreakKeysPath(f.keys)
	_, err := f.RotateKeys(t.Context(), true)
	if err == nil {
		t.Fatal("rotated without a file")
	}
	restore()
	if auth.KeyID(f.keys) != before {
		t.Error("another key signs")
	}
	f.counts(device)
	_, err = f.RotateKeys(t.Context(), false)
	f.ok(err)
	f.counts(device)
}

// TestEndedBeforeRequestBegins: if a token ends after its record was read and before the work
// starts, the request is refused and does nothing.
func TestEndedBeforeRequestBegins(t *testing.T) {
	for name, end := range map[string]func(*server, auth.Token) error{
		"revoke": func(s *server, tok auth.Token) error {
			_, err := s.RevokeToken(context.Background(), tok.ID)
			return err
		},
		"disable": func(s *server, _ auth.Token) error { _, err := s.Disable(context.Background(), s.ann.ID); return err },
	} {
		s := newServer(t)
		tok, device := s.device()
		var once sync.Once
		s.accounts.SetFault(func(method string) (err error) {
			// The token's record was read and is good; the account's is next.
			if method == "AccountByID" {
				once.Do(func() { err = end(s, tok) })
			}
			return err
		})
		if r := s.call("POST", "/api/psa/pins", device, addPin("late")); r.status != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
		s.accounts.SetFault(nil)
		if made, err := s.pins.all(t.Context(), s.ann.ID); err != nil || len(made) != 0 {
			t.Errorf("%s: made %v, %v", name, made, err)
		}
	}
}

// TestExpiresDuringRequest: a request ends when its token expires, however long it would have gone on.
func TestExpiresDuringRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		for _, ttl := range []time.Duration{time.Hour, 0} {
			_, raw, err := f.AddDevice(t.Context(), f.ann.ID, auth.NewDevice{Name: "Kubo", TTL: ttl})
			f.ok(err)
			for range 2 { // the second time the token is remembered
				ctx, _, done, err := f.Admit(t.Context(), raw)
				f.ok(err)
				time.Sleep(time.Hour - time.Second)
				if err := ctx.Err(); err != nil {
					t.Errorf("with %v left it ends: %v", time.Second, context.Cause(ctx))
				}
				time.Sleep(time.Second)
				synctest.Wait()
				if cause := context.Cause(ctx); ttl > 0 && !errors.Is(cause, auth.ErrUnauthorized) || ttl == 0 && cause != nil {
					t.Errorf("after an hour the request of a token that lasts %v (0 is for ever) has ended by %v", ttl, cause)
				}
				done()
			}
		}
	})
}
