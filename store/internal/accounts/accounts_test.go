package accounts_test

import (
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/auth/authtest"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store/internal/accounts"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
)

func TestAccounts(t *testing.T) {
	authtest.RunAccounts(t, func(t *testing.T) (auth.Accounts, func() auth.Accounts, func()) {
		dir := t.TempDir()
		s := roomtest.Open(t, dir, roomtest.Config{})
		return s, func() auth.Accounts {
			must(t, s.Close())
			s = roomtest.Open(t, dir, roomtest.Config{})
			return s
		}, func() { must(t, s.Close()) }
	})
}

func testAccount(t testing.TB, s *roomtest.Store, email string) auth.Account {
	t.Helper()
	a := auth.Account{ID: uuid.NewString(), Email: email, Created: time.Unix(1e9, 0).UTC()}
	if err := s.Auth.CreateAccount(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	return a
}

func testToken(t testing.TB, s *roomtest.Store, a auth.Account) auth.Token {
	t.Helper()
	n := auth.Token{ID: uuid.NewString(), Account: a.ID, Kind: auth.Device, Name: "kubo", Created: time.Unix(1e9, 0).UTC()}
	if err := s.Auth.CreateToken(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	return n
}

// Of two changes that end at once the later one counts, whichever is noted last.
func TestLaterChangeCounts(t *testing.T) {
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{})
	first := time.Now()
	later := first.Add(time.Minute)
	for _, c := range []struct{ at, last time.Time }{{first, first}, {later, later}, {first, later}} {
		if got := s.Auth.NoteChange(c.at); !got.Equal(c.last) {
			t.Errorf("the last change was at %v, want %v", got, c.last)
		}
	}
}

// Lookups see each change at once, although they share what was read a moment before.
func TestLookupsSeeChanges(t *testing.T) {
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{})
	a, b := testAccount(t, s, "ann@example.com"), testAccount(t, s, "bob@example.com")
	for i := range 40 {
		disabled := i%2 == 0
		_, err := s.Auth.ChangeAccount(t.Context(), a.ID, func(a *auth.Account) error {
			a.Disabled = disabled
			return nil
		})
		must(t, err)
		byEmail, err := s.Auth.AccountByEmail(t.Context(), a.Email)
		must(t, err)
		byID, err := s.Auth.AccountByID(t.Context(), a.ID)
		must(t, err)
		if byEmail.Disabled != disabled || byID.Disabled != disabled {
			t.Fatalf("change %d: disabled is %v by address and %v by id", i, byEmail.Disabled, byID.Disabled)
		}
		n := testToken(t, s, b)
		if _, err := s.Auth.TokenByID(t.Context(), n.ID); err != nil {
			t.Fatalf("a new token: %v", err)
		}
		if _, err := s.Auth.DeleteToken(t.Context(), n.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Auth.TokenByID(t.Context(), n.ID); !errors.Is(err, auth.ErrNoToken) {
			t.Fatalf("a token that was deleted: %v", err)
		}
	}
}

// TestAccountsOnFullDisk: what cannot be written is not there, and says so in
// the words of both packages.
func TestAccountsOnFullDisk(t *testing.T) {
	free := uint64(1 << 40)
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{FreeSpace: func(string) (uint64, error) { return free, nil }})
	a := testAccount(t, s, "ann@example.com")
	n := testToken(t, s, a)
	free = roomtest.DefaultReserve - 1
	_, err := s.Auth.DeleteToken(t.Context(), n.ID)
	if !errors.Is(err, auth.ErrDiskFull) || !errors.Is(err, pin.ErrDiskFull) {
		t.Errorf("on a full disk: %v", err)
	}
	if got, err := s.Auth.TokenByID(t.Context(), n.ID); err != nil || got != n {
		t.Errorf("the token reads %+v, %v", got, err)
	}
}

// TestSweepOfOrphans: a crash in DeleteAccount leaves tokens of no account.
func TestSweepOfOrphans(t *testing.T) {
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{})
	a, b := testAccount(t, s, "ann@example.com"), testAccount(t, s, "bob@example.com")
	orphans := []auth.Token{testToken(t, s, a), testToken(t, s, a)}
	stays := testToken(t, s, b)
	id, _ := kv.AccountOf(a.ID)
	err := s.KV.Update(t.Context(), func(tx *kv.Tx) error {
		tx.Delete(accounts.LoginKey(id))
		tx.Delete(accounts.EmailKey(a.Email))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	change := func(*auth.Token) error { t.Error("a token of no account was changed"); return nil }
	if _, err := s.Auth.ChangeToken(t.Context(), orphans[0].ID, change); !errors.Is(err, auth.ErrEnded) {
		t.Errorf("changing a token of no account: %v", err)
	}
	if n, err := s.Auth.SweepTokens(t.Context(), stays.Created); n != 2 || err != nil {
		t.Errorf("swept %d, %v; want 2", n, err)
	}
	for _, o := range orphans {
		if _, err := s.Auth.TokenByID(t.Context(), o.ID); !errors.Is(err, auth.ErrNoToken) {
			t.Errorf("an orphan is there: %v", err)
		}
	}
	if got, err := s.Auth.TokenByID(t.Context(), stays.ID); err != nil || got != stays {
		t.Errorf("another's token reads %+v, %v", got, err)
	}
	if keys := accountKeys(t, s); keys != 4 {
		t.Errorf("%d keys are left of one account with one token, want 4", keys)
	}
}

// TestDeleteAccountLeavesNothing: with more tokens than one commit removes.
func TestDeleteAccountLeavesNothing(t *testing.T) {
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{})
	a := testAccount(t, s, "ann@example.com")
	id, _ := kv.AccountOf(a.ID)
	for range 3 { // in commits of many, for speed
		must(t, s.AddSessions(t.Context(), id, accounts.TokenBatch))
	}
	if keys := accountKeys(t, s); keys != 2+3*2*accounts.TokenBatch {
		t.Fatalf("%d keys", keys)
	}
	if _, err := s.Auth.DeleteAccount(t.Context(), a.ID); err != nil {
		t.Fatal(err)
	}
	if keys := accountKeys(t, s); keys != 0 {
		t.Errorf("%d keys are left of a deleted account", keys)
	}
}

// accountKeys counts the keys that accounts and tokens take up.
func accountKeys(t *testing.T, s *roomtest.Store) (n int) {
	t.Helper()
	err := s.KV.View(t.Context(), func(r *kv.Reader) error {
		for _, kind := range accounts.KeyKinds {
			err := r.Scan(kv.Span{Prefix: []byte{kind}, KeysOnly: true}, func(_, _ []byte) (bool, error) {
				n++
				return true, nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestDamagedAccountRecords: what cannot be read is an error that names it,
// and never an account that is not there.
func TestDamagedAccountRecords(t *testing.T) {
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{})
	a := testAccount(t, s, "ann@example.com")
	n := testToken(t, s, a)
	id, _ := kv.AccountOf(a.ID)
	for name, value := range map[string][]byte{
		"empty":         {},
		"a newer form":  {kv.RecordVersion + 1, 0xa0},
		"not CBOR":      {kv.RecordVersion, 0xff},
		"cut":           {kv.RecordVersion, 0xa1, 0x01},
		"another shape": {kv.RecordVersion, 0x01},
	} {
		err := s.KV.Update(t.Context(), func(tx *kv.Tx) error {
			tx.Set(accounts.LoginKey(id), value)
			tx.Set(accounts.TokenKey(n.ID), value)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		_, byID := s.Auth.AccountByID(t.Context(), a.ID)
		_, byEmail := s.Auth.AccountByEmail(t.Context(), a.Email)
		for _, err := range []error{byID, byEmail} {
			if !errors.Is(err, auth.ErrDamaged) || errors.Is(err, auth.ErrNoAccount) || !strings.Contains(err.Error(), a.ID) {
				t.Errorf("%s: account: %v", name, err)
			}
		}
		_, byID = s.Auth.TokenByID(t.Context(), n.ID)
		if !errors.Is(byID, auth.ErrDamaged) || errors.Is(byID, auth.ErrNoToken) || !strings.Contains(byID.Error(), n.ID) {
			t.Errorf("%s: token: %v", name, byID)
		}
	}
}

// BenchmarkAccounts is what a token costs that was not seen before, beside
// checking its signature.
func BenchmarkAccounts(b *testing.B) {
	s := roomtest.Open(b, b.TempDir(), roomtest.Config{})
	n := testToken(b, s, testAccount(b, s, "ann@example.com"))
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Auth.TokenByID(b.Context(), n.ID); err != nil {
				b.Fatal(err)
			}
			if _, err := s.Auth.AccountByID(b.Context(), n.Account); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("verify", func(b *testing.B) {
		keys, err := auth.OpenKeys(filepath.Join(b.TempDir(), "keys.json"))
		if err != nil {
			b.Fatal(err)
		}
		svc, err := auth.New(auth.Config{}, s, keys)
		if err != nil {
			b.Fatal(err)
		}
		_, raw, err := svc.CreateDeviceToken(b.Context(), n.Account, "kubo", 0)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if _, err := svc.Verify(b.Context(), raw); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkLoginCommit is what the audit record adds to a login's commit.
func BenchmarkLoginCommit(b *testing.B) {
	s := roomtest.Open(b, b.TempDir(), roomtest.Config{})
	a := testAccount(b, s, "ann@example.com")
	for name, log := range map[string][]auth.Event{"with its event": {{Kind: auth.EventLogin, Account: a.ID, Address: "203.0.113.7", Count: 1}}, "alone": nil} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				n := auth.Token{ID: uuid.NewString(), Account: a.ID, Kind: auth.Session, Created: time.Now(), Expires: time.Now().Add(time.Hour)}
				for i := range log {
					log[i].Time, log[i].Token = time.Now(), n.ID
				}
				if err := s.Auth.CreateToken(b.Context(), n, log...); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Records that were written before there were quotas of pins are read, as
// without one.
func TestAccountsOfBefore(t *testing.T) {
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{})
	a := testAccount(t, s, "ann@example.com")
	i := auth.Invite{ID: uuid.NewString(), Created: a.Created, Expires: a.Created.Add(time.Hour), Quota: 5}
	must(t, s.Auth.CreateInvite(t.Context(), i))
	id, _ := kv.AccountOf(a.ID)
	invite := accounts.InviteKey(i.ID)
	must(t, s.KV.Update(t.Context(), func(t *kv.Tx) error {
		err := t.Put(accounts.LoginKey(id), map[int]any{1: a.Email, 2: "hash", 3: true, 5: a.Created.Unix(), 6: 7, 7: 8, 8: 9})
		if err != nil {
			return err
		}
		return t.Put(invite, map[int]any{2: i.Created.Unix(), 3: i.Expires.Unix(), 4: i.Quota})
	}))
	a.PasswordHash, a.Admin, a.Quota, a.Sessions, a.Devices = "hash", true, 7, 8, 9
	if got, err := s.Auth.AccountByID(t.Context(), a.ID); err != nil || got != a {
		t.Errorf("the account is %+v, %v, want %+v", got, err, a)
	}
	if got, err := s.Auth.InviteByID(t.Context(), i.ID); err != nil || got != i {
		t.Errorf("the invitation is %+v, %v, want %+v", got, err, i)
	}
}

// Accounts are remembered. Whoever was told of a change reads it, whoever else reads at that time.
func TestAccountIsReadAsItWasChanged(t *testing.T) {
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{})
	a := testAccount(t, s, "a@example.com")
	ctx := t.Context()
	reads := []func() (auth.Account, error){
		func() (auth.Account, error) { return s.Auth.AccountByID(ctx, a.ID) },
		func() (auth.Account, error) { return s.Auth.AccountByEmail(ctx, a.Email) },
	}
	var told atomic.Uint64
	var readers sync.WaitGroup
	stop := make(chan struct{})
	for _, read := range reads {
		for range 2 {
			readers.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					least := told.Load()
					if got, err := read(); err != nil || got.Quota < least {
						t.Errorf("an account with a quota of %d is read with one of %d, error %v", least, got.Quota, err)
						return
					}
				}
			})
		}
	}
	for n := range uint64(100) {
		_, err := s.Auth.ChangeAccount(ctx, a.ID, func(a *auth.Account) error { a.Quota = n; return nil })
		if err != nil {
			t.Error(err)
			break
		}
		told.Store(n)
	}
	close(stop)
	readers.Wait()
	_, err := s.Auth.DeleteAccount(ctx, a.ID)
	must(t, err)
	for _, read := range reads {
		if got, err := read(); !errors.Is(err, auth.ErrNoAccount) {
			t.Errorf("an account that was removed is read: %v, error %v", got, err)
		}
	}
}
