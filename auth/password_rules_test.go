package auth_test

import (
	"strings"
	"testing"

	"github.com/alexedwards/argon2id"

	"github.com/holdfast-ipfs/holdfast/auth"
)

// TestGuessablePasswords: long enough, but among the first guesses.
func TestGuessablePasswords(t *testing.T) {
	f := newFixture(t)
	for _, p := range []string{
		"password1234", "Password1234", "P@ssw0rd1234", "passwordpassword", "qwertyuiop123", "123456789012", "aaaaaaaaaaaa",
		"unbelievable", "1q2w3e4r5t6y", "maximilian.x@example.org", "maximilian.x1", "holdfastholdfast", strings.Repeat("ab", 500),
	} {
		_, err := f.AddAccount(t.Context(), auth.NewAccount{Email: "maximilian.x@example.org", Password: p})
		f.invalid(err, "password")
		if strings.Contains(err.Error(), p) {
			t.Errorf("the error holds %q", p)
		}
		_, err = f.SetPassword(t.Context(), f.ann.ID, p, false)
		if p != "maximilian.x@example.org" && p != "maximilian.x1" { // not her address
			f.invalid(err, "password")
		}
	}
	for _, p := range []string{"a good password", "twelve chars", "xkqzjvwmrtpl", "\u65e5\u672c\u8a9e\u306e\u30d1\u30b9\u30ef\u30fc\u30c9\u3067\u3059\u3088"} {
		_, err := f.SetPassword(t.Context(), f.ann.ID, p, false)
		f.ok(err)
	}
}

// TestRehash: logging in brings an old hash to the present cost, once, and changes nothing else.
func TestRehash(t *testing.T) {
	f := newFixture(t)
	old := f.ann.PasswordHash
	device, raw := f.device()
	pair := f.login()
	if a, err := f.AccountByID(t.Context(), f.ann.ID); err != nil || a.PasswordHash != old {
		t.Fatalf("a login changed the hash: %v", err)
	}
	s, err := auth.New(auth.Config{HashCost: auth.HashCost{Memory: 16, Iterations: 2}, Now: f.clock.Now}, f.accounts, f.keys)
	f.ok(err)
	hashes := auth.CountHashes(s)
	_, err = s.Login(t.Context(), f.ann.Email, "not her password")
	f.is(err, auth.ErrBadCredentials)
	if a, _ := s.AccountByID(t.Context(), f.ann.ID); a.PasswordHash != old {
		t.Error("a wrong password changed the hash")
	}
	_, err = s.Login(t.Context(), f.ann.Email, goodPassword)
	f.ok(err)
	a, err := s.AccountByID(t.Context(), f.ann.ID)
	f.ok(err)
	params, _, _, err := argon2id.DecodeHash(a.PasswordHash)
	f.ok(err)
	if params.Memory != 16 || params.Iterations != 2 {
		t.Errorf("hashed with %+v", params)
	}
	want := f.ann
	want.PasswordHash = a.PasswordHash
	if a != want {
		t.Errorf("the account is %+v, want %+v", a, want)
	}
	_, err = s.Login(t.Context(), f.ann.Email, goodPassword)
	f.ok(err)
	if again, _ := s.AccountByID(t.Context(), f.ann.ID); again.PasswordHash != a.PasswordHash {
		t.Error("hashed anew twice")
	}
	if hashes.Load() != 3 {
		t.Errorf("%d passwords were checked, want 3", hashes.Load())
	}
	for _, tok := range []string{pair.Access, raw} {
		if _, err := s.Verify(t.Context(), tok); err != nil {
			t.Errorf("hashing anew ended a token of %s: %v", device.Name, err)
		}
	}
}

// TestRehashMeetsNewPassword: a password that is set while the old one is hashed again stays.
func TestRehashMeetsNewPassword(t *testing.T) {
	f := newFixture(t)
	s, err := auth.New(auth.Config{HashCost: auth.HashCost{Memory: 16, Iterations: 1}, Now: f.clock.Now}, f.accounts, f.keys)
	f.ok(err)
	once := true
	f.accounts.SetFault(func(method string) error {
		if method == "ChangeAccount" && once {
			once = false
			_, err := f.SetPassword(t.Context(), f.ann.ID, goodPassword+"!", false)
			f.ok(err)
		}
		return nil
	})
	_, err = s.Login(t.Context(), f.ann.Email, goodPassword)
	f.is(err, auth.ErrBadCredentials)
	f.accounts.SetFault(nil)
	if once {
		t.Fatal("no hash was made anew")
	}
	_, err = s.Login(t.Context(), f.ann.Email, goodPassword+"!")
	f.ok(err)
}
