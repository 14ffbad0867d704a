package auth_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/auth/authtest"
)

// TestAudit: every change of an account is in the audit record, with the actor and the address.
// Neither the record nor the log has a secret.
func TestAudit(t *testing.T) {
	s := newServer(t, func(c *auth.Config) { c.Registration = auth.RegistrationOpen })
	ctx := t.Context()
	root, admin := s.admin()
	const home, away = "198.51.100.7", "203.0.113.5"
	secrets := []string{goodPassword, goodPassword + "!", "a wrong password", admin, s.ann.PasswordHash}
	type want struct {
		kind            auth.EventKind
		account, actor  string
		address, detail string
	}
	var wants []want
	expect := func(kind auth.EventKind, account, actor, address, detail string) {
		wants = append(wants, want{kind, account, actor, address, detail})
	}
	seen := len(s.record())
	post := func(path, token string, body any, address string) response {
		return s.call("POST", path, token, body, from(address))
	}

	pair := s.logIn(s.ann.Email, goodPassword, from(home))
	expect(auth.EventLogin, s.ann.ID, "", home, "")
	post("/api/auth/login", "", map[string]string{"email": s.ann.Email, "password": "a wrong password"}, away)
	expect(auth.EventLoginRefused, s.ann.ID, "", away, "")
	post("/api/auth/login", "", map[string]string{"email": "a wrong password", "password": "a wrong password"}, away)
	expect(auth.EventLoginRefused, "", "", away, "")
	made := post("/api/auth/tokens", pair.Access, map[string]any{"name": "kubo"}, home)
	expect(auth.EventTokenCreated, s.ann.ID, s.ann.ID, home, "pin kubo")
	s.call("DELETE", "/api/auth/tokens/"+made.text("id"), pair.Access, nil, from(home))
	expect(auth.EventTokenRevoked, s.ann.ID, s.ann.ID, home, "kubo")
	post("/api/auth/password", pair.Access, map[string]any{"password": "a wrong password", "new_password": goodPassword}, home)
	expect(auth.EventPasswordRefused, s.ann.ID, s.ann.ID, home, "")
	post("/api/auth/password", pair.Access, map[string]any{"password": goodPassword, "new_password": goodPassword + "!"}, home)
	expect(auth.EventPasswordSet, s.ann.ID, s.ann.ID, home, "")
	_, err := s.SetPassword(ctx, s.ann.ID, goodPassword, true)
	s.ok(err)
	expect(auth.EventPasswordSet, s.ann.ID, "", "", "device tokens ended too")
	pair = s.logIn(s.ann.Email, goodPassword, from(home))
	expect(auth.EventLogin, s.ann.ID, "", home, "")
	next := post("/api/auth/refresh", "", map[string]string{"refresh_token": pair.Refresh}, home)
	s.clock.add(time.Minute)
	post("/api/auth/refresh", "", map[string]string{"refresh_token": pair.Refresh}, away)
	expect(auth.EventRefreshReused, s.ann.ID, "", away, "")
	pair2 := s.logIn(s.ann.Email, goodPassword, from(home))
	expect(auth.EventLogin, s.ann.ID, "", home, "")
	post("/api/auth/logout", pair2.Access, nil, home)
	expect(auth.EventLogout, s.ann.ID, s.ann.ID, home, "")
	pair3 := s.logIn(s.ann.Email, goodPassword, from(home))
	expect(auth.EventLogin, s.ann.ID, "", home, "")
	post("/api/auth/logout-all", pair3.Access, nil, home)
	expect(auth.EventLogoutAll, s.ann.ID, s.ann.ID, home, "")

	account := "/api/admin/accounts/" + s.ann.ID
	post(account+"/quota", admin, map[string]any{"quota": 5}, away)
	expect(auth.EventQuotaSet, s.ann.ID, root.ID, away, "bytes=5")
	post(account+"/quota", admin, map[string]any{"quota": 5, "max_pins": 6}, away)
	expect(auth.EventQuotaSet, s.ann.ID, root.ID, away, "bytes=5 pins=6")
	for _, want := range []string{`"quota":5,"max_pins":0`, `"quota":5,"max_pins":6`} {
		if want = `"msg":"account.quota","account":"` + s.ann.ID + `",` + want; !strings.Contains(s.log.String(), want) {
			t.Errorf("the log has not %q", want)
		}
	}
	post(account+"/disable", admin, nil, away)
	expect(auth.EventAccountDisabled, s.ann.ID, root.ID, away, "")
	post("/api/auth/login", "", annsLogin, home)
	expect(auth.EventLoginRefused, s.ann.ID, "", home, "disabled")
	post(account+"/enable", admin, nil, away)
	expect(auth.EventAccountEnabled, s.ann.ID, root.ID, away, "")
	post(account+"/role", admin, map[string]any{"admin": true}, away)
	expect(auth.EventRoleSet, s.ann.ID, root.ID, away, "admin")
	post(account+"/role", admin, map[string]any{"admin": false}, away)
	expect(auth.EventRoleSet, s.ann.ID, root.ID, away, "user")
	post(account+"/password", admin, map[string]any{"password": goodPassword, "own_password": "not that"}, away)
	expect(auth.EventPasswordRefused, root.ID, root.ID, away, "")
	post(account+"/password", admin, map[string]any{"password": goodPassword, "own_password": goodPassword}, away)
	expect(auth.EventPasswordSet, s.ann.ID, root.ID, away, "")
	s.call("DELETE", account, admin, nil, from(away))
	expect(auth.EventAccountDisabled, s.ann.ID, root.ID, away, "")
	expect(auth.EventAccountRemoved, s.ann.ID, root.ID, away, "")
	bob := post("/api/admin/accounts", admin, map[string]any{"email": "bob@example.com", "password": goodPassword, "admin": true}, away)
	bobID := bob.json["account"].(map[string]any)["id"].(string)
	expect(auth.EventAccountAdded, bobID, root.ID, away, "admin")
	invite := post("/api/admin/invites", admin, map[string]any{}, away)
	expect(auth.EventInviteCreated, "", root.ID, away, invite.text("id"))
	r := post("/api/auth/register", "", map[string]string{"email": "eve@example.com", "password": goodPassword, "invite": invite.text("invite")}, away)
	eve, err := s.AccountByEmail(ctx, "eve@example.com")
	s.ok(err)
	expect(auth.EventRegistered, eve.ID, "", away, "invitation "+invite.text("id"))
	expect(auth.EventLogin, eve.ID, "", away, "")
	post("/api/auth/register", "", map[string]string{"email": "x@example.com", "password": goodPassword, "invite": "rubbish"}, away)
	expect(auth.EventRegisterRefused, "", "", away, auth.ErrNoInvite.Error())
	gone := post("/api/admin/invites", admin, map[string]any{}, away)
	expect(auth.EventInviteCreated, "", root.ID, away, gone.text("id"))
	s.call("DELETE", "/api/admin/invites/"+gone.text("id"), admin, nil, from(away))
	expect(auth.EventInviteRevoked, "", root.ID, away, gone.text("id"))
	_, err = s.RotateKeys(ctx, true)
	s.ok(err)
	expect(auth.EventKeysRotated, "", "", "", "every token ended")
	secrets = append(secrets, pair.Access, pair.Refresh, pair2.Access, pair2.Refresh, pair3.Access, pair3.Refresh, made.text("token"),
		next.text("access_token"), next.text("refresh_token"), invite.text("invite"), gone.text("invite"),
		r.text("access_token"), r.text("refresh_token"), eve.PasswordHash)

	// Refusals are written separately, so only the order of the times is certain.
	got := s.record()
	got = got[:len(got)-seen]
	if len(got) != len(wants) {
		t.Errorf("%d events, want %d", len(got), len(wants))
	}
	for _, w := range wants {
		found := false
		for i, e := range got {
			if (want{e.Kind, e.Account, e.Actor, e.Address, e.Detail}) == w {
				found = true
				if e.Count != 1 || e.Time.IsZero() || len(e.ID) != 24 {
					t.Errorf("recorded %+v", e)
				}
				got = append(got[:i:i], got[i+1:]...)
				break
			}
		}
		if !found {
			t.Errorf("%+v is not on record", w)
		}
	}
	for _, e := range got {
		t.Errorf("recorded besides: %+v", e)
	}
	all := fmt.Sprintf("%+v %s", s.record(), s.log)
	for _, secret := range secrets {
		if secret == "" || strings.Contains(all, secret) {
			t.Errorf("the secret %q is on record or in the log", secret)
		}
	}
}

// record returns all events, newest first.
func (f *fixture) record() []auth.Event {
	f.Helper()
	all, err := f.Events(f.Context(), auth.EventQuery{Limit: 1000})
	f.ok(err)
	return all
}

// TestEventsShareTheCommit: what is not done is not recorded, and what cannot be recorded is not
// done.
func TestEventsShareTheCommit(t *testing.T) {
	f := newFixture(t)
	broken := errors.New("broken")
	for _, method := range []string{"CreateToken", "ChangeAccount", "DeleteAccount"} {
		before := len(f.record())
		f.accounts.SetFault(func(m string) error {
			if m == method {
				return broken
			}
			return nil
		})
		var err error
		switch method {
		case "CreateToken":
			_, err = f.Login(t.Context(), f.ann.Email, goodPassword)
		case "ChangeAccount":
			_, err = f.Disable(t.Context(), f.ann.ID)
		case "DeleteAccount":
			_, err = f.RemoveAccount(t.Context(), f.ann.ID)
		}
		f.is(err, broken)
		f.accounts.SetFault(nil)
		if after := len(f.record()); after != before {
			t.Errorf("%s failed and is on record", method)
		}
	}
	// A login takes one commit, and the record of it none besides.
	commits := 0
	f.accounts.SetFault(func(m string) error {
		switch m {
		case "CreateToken", "ChangeAccount", "AppendEvents", "MarkUsed", "ChangeToken":
			commits++
		}
		return nil
	})
	f.login()
	_, err := f.Login(t.Context(), f.ann.Email, "a wrong password")
	f.is(err, auth.ErrBadCredentials)
	f.accounts.SetFault(nil)
	if commits != 1 {
		t.Errorf("a login and a refused one took %d commits", commits)
	}
}

// TestManyRefusals: a flood of refusals is counted, and takes little space.
func TestManyRefusals(t *testing.T) {
	f := newFixture(t, func(c *auth.Config) { c.Limits.Account.Burst = -1 })
	const n = 5000
	for range n {
		_, err := f.Login(t.Context(), f.ann.Email, "a wrong password")
		f.is(err, auth.ErrBadCredentials)
	}
	broken := errors.New("broken")
	f.accounts.SetFault(func(string) error { return broken })
	_, err := f.Events(t.Context(), auth.EventQuery{})
	f.is(err, broken) // and loses nothing
	// On a full disk the record can still be read.
	f.accounts.SetFault(func(m string) error {
		if m == "AppendEvents" {
			return broken
		}
		return nil
	})
	if all := f.record(); len(all) != 1 || all[0].Kind != auth.EventAccountAdded {
		t.Errorf("read %+v", all)
	}
	f.accounts.SetFault(nil)
	total, kept := 0, 0
	q := auth.EventQuery{Limit: 1000}
	for {
		page, err := f.Events(t.Context(), q)
		f.ok(err)
		if len(page) == 0 {
			break
		}
		for _, e := range page {
			if e.Kind == auth.EventLoginRefused {
				total += e.Count
				kept++
			}
		}
		q.Before = page[len(page)-1].ID
	}
	if total != n || kept != 1001 {
		t.Errorf("%d refusals in %d events, want %d in 1001", total, kept, n)
	}
}

// TestBackground: refusals and last uses are written within seconds and at the
// end, and old events go.
func TestBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, func(c *auth.Config) { c.Now = time.Now; c.AuditKeep = 24 * time.Hour })
		tok, raw := f.device()
		used := func() time.Time {
			t.Helper()
			got, err := f.accounts.TokenByID(t.Context(), tok.ID)
			f.ok(err)
			return got.Used
		}
		var writes atomic.Int32
		f.accounts.SetFault(func(m string) error {
			if m == "MarkUsed" {
				writes.Add(1)
			}
			return nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- f.Run(ctx) }()
		began := time.Now()
		f.counts(raw)
		if !used().IsZero() {
			t.Error("a request waits for its use to be written")
		}
		list, err := f.ListTokens(t.Context(), f.ann.ID)
		f.ok(err)
		if !list[0].Used.Equal(began) {
			t.Errorf("listed as used %v", list[0].Used)
		}
		_, err = f.Login(t.Context(), f.ann.Email, "a wrong password")
		f.is(err, auth.ErrBadCredentials)
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if !used().Equal(began) {
			t.Errorf("used %v, want %v", used(), began)
		}
		all, err := f.accounts.Events(t.Context(), auth.EventQuery{Limit: 10})
		f.ok(err)
		if len(all) != 3 || all[0].Kind != auth.EventLoginRefused {
			t.Errorf("recorded %+v", all)
		}
		// An hour of polling twice a second is seven writes.
		for range 7200 {
			f.counts(raw)
			time.Sleep(500 * time.Millisecond)
		}
		synctest.Wait()
		if writes.Load() != 7 || time.Since(used()) > 11*time.Minute {
			t.Errorf("%d writes, the last use is %v ago", writes.Load(), time.Since(used()))
		}
		// The same if each request looks the tokens up again.
		for range 100 {
			auth.ForgetSeen(f.Service)
			f.counts(raw)
			time.Sleep(6 * time.Second)
		}
		if writes.Load() > 9 {
			t.Errorf("%d writes", writes.Load())
		}
		time.Sleep(25 * time.Hour)
		synctest.Wait()
		all, err = f.accounts.Events(t.Context(), auth.EventQuery{Limit: 10})
		f.ok(err)
		if len(all) != 0 {
			t.Errorf("old events are left: %+v", all)
		}
		f.counts(raw)
		last := time.Now()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if !used().Equal(last) {
			t.Errorf("at the end, used %v, want %v", used(), last)
		}
	})
}

// inCommits appends many events in several commits, as the store does.
type inCommits struct{ *authtest.Accounts }

func (a inCommits) AppendEvents(ctx context.Context, log []auth.Event) error {
	for some := range slices.Chunk(log, auth.EventsAtOnce) {
		if err := a.Accounts.AppendEvents(ctx, some); err != nil {
			return err
		}
	}
	return nil
}

// TestFlushThatFailsHalfway: what is in the record already, when the disk fails or the client that looks at the
// record hangs up, is not written again, and the rest is not lost. What is in doubt counts as written.
func TestFlushThatFailsHalfway(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want int // of all in the end
	}{
		"a full disk":  {auth.ErrDiskFull, 1000},
		"a disk error": {auth.ErrInDoubt, 1000 - auth.EventsAtOnce}, // here it is not written
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			var err error
			f.Service, err = auth.New(auth.Config{HashCost: cheap, Now: f.clock.Now, Registration: auth.RegistrationInvite},
				inCommits{f.accounts}, f.keys)
			f.ok(err)
			for range 1000 {
				_, err := f.Register(t.Context(), auth.NewRegistration{Email: "bob@example.com", Password: goodPassword, Invite: "made up"})
				f.is(err, auth.ErrNoInvite)
			}
			commits := 0
			f.accounts.SetFault(func(method string) error {
				if method != "AppendEvents" {
					return nil
				}
				if commits++; commits == 2 {
					return c.err
				}
				return nil
			})
			f.events(auth.EventRegisterRefused)
			f.accounts.SetFault(nil)
			f.events(auth.EventRegisterRefused)
			all, err := f.accounts.Events(t.Context(), auth.EventQuery{Kind: auth.EventRegisterRefused, Limit: 10_000})
			f.ok(err)
			if len(all) != c.want {
				t.Errorf("the record has %d refusals, want %d", len(all), c.want)
			}
		})
	}
}
