package accounts_test

import (
	"bytes"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/store/internal/accounts"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
)

// damagedAccounts is a service over a store, with two accounts, a device token of each, an
// invitation and what the audit record has of that.
type damagedAccounts struct {
	*auth.Service
	s          *roomtest.Store
	log        bytes.Buffer
	ann, bob   auth.Account
	annT, bobT auth.Token
	annJ, bobJ string // the tokens themselves
	invite     auth.Invite
}

const damagedPassword = "correct horse battery"

func newDamagedAccounts(t *testing.T) *damagedAccounts {
	t.Helper()
	f := &damagedAccounts{}
	log := slog.New(slog.NewTextHandler(&f.log, nil))
	f.s = roomtest.Open(t, t.TempDir(), roomtest.Config{Logger: log})
	keys, err := auth.OpenKeys(filepath.Join(t.TempDir(), "keys"))
	must(t, err)
	f.Service, err = auth.New(auth.Config{HashCost: auth.HashCost{Memory: 8, Iterations: 1}, Log: slog.New(slog.DiscardHandler)}, f.s, keys)
	must(t, err)
	add := func(email string) (auth.Account, auth.Token, string) {
		a, err := f.AddAccount(t.Context(), auth.NewAccount{Email: email, Password: damagedPassword})
		must(t, err)
		n, raw, err := f.CreateDeviceToken(t.Context(), a.ID, "kubo", 0)
		must(t, err)
		return a, n, raw
	}
	f.ann, f.annT, f.annJ = add("ann@example.com")
	f.bob, f.bobT, f.bobJ = add("bob@example.com")
	f.invite, _, err = f.AddInvite(t.Context(), auth.NewInvite{})
	must(t, err)
	return f
}

func (f *damagedAccounts) keyOfAnn() kv.Account {
	id, _ := kv.AccountOf(f.ann.ID)
	return id
}

// others checks that everything goes on that does not concern ann.
func (f *damagedAccounts) others(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	if _, err := f.Login(ctx, f.bob.Email, damagedPassword); err != nil {
		t.Errorf("bob's login: %v", err)
	}
	if _, err := f.Verify(ctx, f.bobJ); err != nil {
		t.Errorf("bob's token: %v", err)
	}
	must(t, f.s.Auth.MarkUsed(ctx, map[string]time.Time{f.annT.ID: time.Now(), f.bobT.ID: time.Now()}))
	if n, err := f.s.Auth.SweepTokens(ctx, time.Now()); err != nil || n != 0 {
		t.Errorf("a sweep removes %d, %v", n, err)
	}
	if devices, _, err := f.s.Auth.KeysInUse(ctx, time.Now()); err != nil || len(devices) != 1 {
		t.Errorf("%d keys are in use, %v", len(devices), err)
	}
	if page, err := f.Events(ctx, auth.EventQuery{}); err != nil || len(page) < 5 {
		t.Errorf("%d events, %v", len(page), err)
	}
	if all, err := f.ListAccounts(ctx); err != nil || len(all) != 2 || all[1].Email != f.bob.Email || all[1].Damaged {
		t.Errorf("accounts are %+v, %v", all, err)
	}
}

// An account that cannot be read is not one that does not exist, and can be removed.
func TestDamagedAccount(t *testing.T) {
	f := newDamagedAccounts(t)
	ctx := t.Context()
	roomtest.Spoil(t, f.s.Badger, accounts.LoginKey(f.keyOfAnn()), nil)
	for range 2 {
		f.others(t)
	}
	if n := strings.Count(f.log.String(), "a record cannot be read"); n != 1 {
		t.Errorf("the log has it %d times:\n%s", n, &f.log)
	}
	all, err := f.ListAccounts(ctx)
	must(t, err)
	if all[0].ID != f.ann.ID || all[0].Email != f.ann.Email || !all[0].Damaged {
		t.Errorf("ann is %+v", all[0])
	}
	if _, err := f.Login(ctx, f.ann.Email, damagedPassword); !errors.Is(err, auth.ErrDamaged) || errors.Is(err, auth.ErrBadCredentials) {
		t.Errorf("ann's login: %v", err)
	}
	if _, err := f.Login(ctx, "nobody@example.com", damagedPassword); !errors.Is(err, auth.ErrBadCredentials) {
		t.Errorf("nobody's login: %v", err)
	}
	if _, err := f.Verify(ctx, f.annJ); !errors.Is(err, auth.ErrDamaged) {
		t.Errorf("ann's token: %v", err)
	}
	if _, err := f.AddAccount(ctx, auth.NewAccount{Email: f.ann.Email, Password: damagedPassword}); !errors.Is(err, auth.ErrExists) {
		t.Errorf("another with her address: %v", err)
	}
	a, _, err := f.RemoveAccountAndPins(ctx, f.ann.ID, false)
	must(t, err)
	if a.Email != f.ann.Email {
		t.Errorf("removed %+v", a)
	}
	if _, err := f.AddAccount(ctx, auth.NewAccount{Email: f.ann.Email, Password: damagedPassword}); err != nil {
		t.Errorf("she comes again: %v", err)
	}
	if _, err := f.Verify(ctx, f.annJ); !errors.Is(err, auth.ErrUnauthorized) {
		t.Errorf("her old token: %v", err)
	}
}

// If the index of addresses cannot be read the accounts themselves say who has one.
func TestDamagedAddress(t *testing.T) {
	f := newDamagedAccounts(t)
	roomtest.Spoil(t, f.s.Badger, accounts.EmailKey(f.ann.Email), []byte{1})
	f.others(t)
	if _, err := f.Login(t.Context(), f.ann.Email, damagedPassword); err != nil {
		t.Errorf("ann's login: %v", err)
	}
	if _, err := f.AddAccount(t.Context(), auth.NewAccount{Email: f.ann.Email, Password: damagedPassword}); !errors.Is(err, auth.ErrExists) {
		t.Errorf("another with her address: %v", err)
	}
}

// A token that cannot be read is refused, and says why; others are not; it can be revoked.
func TestDamagedToken(t *testing.T) {
	f := newDamagedAccounts(t)
	ctx := t.Context()
	pair, err := f.Login(ctx, f.ann.Email, damagedPassword)
	must(t, err)
	session, err := f.Verify(ctx, pair.Access)
	must(t, err)
	roomtest.Spoil(t, f.s.Badger, accounts.TokenKey(f.annT.ID), []byte{0xff})
	f.others(t)
	if _, err := f.Verify(ctx, f.annJ); !errors.Is(err, auth.ErrUnauthorized) || !strings.Contains(err.Error(), "cannot read its record of this token") {
		t.Errorf("ann's token: %v", err)
	}
	all, err := f.ListTokens(ctx, f.ann.ID)
	must(t, err)
	if len(all) != 2 || all[0].ID != f.annT.ID || !all[0].Damaged || all[0].Account != f.ann.ID || all[1].ID != session.TokenID {
		t.Errorf("her tokens are %+v", all)
	}
	if _, err := f.RevokeTokenOf(ctx, f.bob.ID, f.annT.ID); !errors.Is(err, auth.ErrNoToken) {
		t.Errorf("bob revokes it: %v", err)
	}
	if _, err := f.RevokeTokenOf(ctx, f.ann.ID, f.annT.ID); err != nil {
		t.Errorf("she revokes it: %v", err)
	}
	if all, err := f.ListTokens(ctx, f.ann.ID); err != nil || len(all) != 1 {
		t.Errorf("then her tokens are %+v, %v", all, err)
	}
	// A session too: its refresh says the same.
	roomtest.Spoil(t, f.s.Badger, accounts.TokenKey(session.TokenID), nil)
	if _, err := f.Refresh(ctx, pair.Refresh); !errors.Is(err, auth.ErrUnauthorized) || !strings.Contains(err.Error(), "cannot read its record of this token") {
		t.Errorf("refresh: %v", err)
	}
	if n, err := f.LogoutAll(ctx, f.ann.ID); err != nil || n != 0 {
		t.Errorf("logout of all ends %d, %v", n, err)
	}
}

// An event or an invitation that cannot be read is alone in that.
func TestDamagedEventAndInvite(t *testing.T) {
	f := newDamagedAccounts(t)
	ctx := t.Context()
	before, err := f.Events(ctx, auth.EventQuery{Account: f.ann.ID})
	must(t, err)
	events := roomtest.KeysOf(t, f.s.KV, accounts.EventKind)
	roomtest.Spoil(t, f.s.Badger, events[0], nil) // that ann was added
	invite := accounts.InviteKey(f.invite.ID)
	roomtest.Spoil(t, f.s.Badger, invite, []byte{kv.RecordVersion})
	f.others(t)
	after, err := f.Events(ctx, auth.EventQuery{Account: f.ann.ID})
	must(t, err)
	if len(after) != len(before) || after[len(after)-1].Kind != auth.EventDamaged || !after[len(after)-1].Time.Equal(before[len(before)-1].Time) {
		t.Errorf("events are %+v, were %+v", after, before)
	}
	if all, err := f.ListInvites(ctx); err != nil || len(all) != 0 {
		t.Errorf("invitations: %+v, %v", all, err)
	}
	if _, err := f.RevokeInvite(ctx, f.invite.ID); err != nil {
		t.Errorf("it is revoked: %v", err)
	}
	n, err := f.s.Auth.SweepEvents(ctx, time.Now().Add(time.Hour))
	if err != nil || n < len(events) {
		t.Errorf("%d events are removed, %v", n, err)
	}
	if page, err := f.Events(ctx, auth.EventQuery{Account: f.ann.ID}); err != nil || len(page) != 0 {
		t.Errorf("then there are %+v, %v", page, err)
	}
}
