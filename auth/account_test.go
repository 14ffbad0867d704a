package auth_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/holdfast-ipfs/holdfast/auth"
)

func TestNormalizeEmail(t *testing.T) {
	for in, want := range map[string]string{
		"ann@example.com":               "ann@example.com",
		"  Ann@EXAMPLE.com\t\n":         "ann@example.com",
		"o'neil+pins@x":                 "o'neil+pins@x",
		"e\u0301@example.com":           "\u00e9@example.com",
		"\u00c9@example.com":            "\u00e9@example.com",
		"E\u0301@EXAMPLE.com":           "\u00e9@example.com",
		strings.Repeat("a", 252) + "@b": strings.Repeat("a", 252) + "@b",
	} {
		got, err := auth.NormalizeEmail(in)
		if err != nil || got != want {
			t.Errorf("%q became %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{
		"", " ", "ann", "@example.com", "ann@", "ann@@example.com", "a@b@c", "a b@c", "a@b c",
		"Ann <ann@example.com>", `"a"@b`, "a,b@c", "a@b\x00", "a\u200b@b", "a\xff@b",
		"a\u00a0b@c", strings.Repeat("a", 253) + "@b",
	} {
		got, err := auth.NormalizeEmail(in)
		var bad *auth.InvalidError
		if !errors.As(err, &bad) || bad.Field != "email" || got != "" {
			t.Errorf("%q became %q, %v; want an InvalidError", in, got, err)
		}
	}
}

// FuzzNormalizeEmail: normalising a result again does not change it, so each address has one form.
func FuzzNormalizeEmail(f *testing.F) {
	f.Add("Ann@Example.com")
	f.Add("\u0130@x")
	f.Add("\u1e9e\u0345@\u03a3")
	f.Fuzz(func(t *testing.T, in string) {
		once, err := auth.NormalizeEmail(in)
		if err != nil {
			return
		}
		if twice, err := auth.NormalizeEmail(once); err != nil || twice != once {
			t.Errorf("%q became %q, and that became %q, %v", in, once, twice, err)
		}
	})
}

func TestNothingSecretIsPrinted(t *testing.T) {
	f := newFixture(t)
	pair := f.login()
	var out bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(h).Info("x", "account", f.ann, "keys", f.keys, "pair", pair)
	}
	for _, secret := range []string{f.ann.PasswordHash, f.ann.Email, pair.Access, pair.Refresh} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("%q was logged: %s", secret, &out)
		}
	}
}

func TestAddAccount(t *testing.T) {
	f := newFixture(t)
	bob, err := f.AddAccount(t.Context(), auth.NewAccount{Email: " Bob@Example.com", Password: goodPassword, Admin: true, Quota: 7, QuotaPins: 8})
	f.ok(err)
	if bob.Email != "bob@example.com" || !bob.Admin || bob.Quota != 7 || bob.QuotaPins != 8 || bob.Disabled {
		t.Errorf("made %+v", bob)
	}
	got, err := f.AccountByEmail(t.Context(), "BOB@example.com ")
	f.ok(err)
	if got != bob {
		t.Errorf("found %+v, want %+v", got, bob)
	}
	_, err = f.AddAccount(t.Context(), auth.NewAccount{Email: "boB@example.com", Password: goodPassword})
	f.is(err, auth.ErrExists)

	for password, good := range map[string]bool{
		"":                                      false,
		"elevenchars":                           false,
		"twelve chars":                          true,
		"\u00e9leven chars":                     true,  // 12 characters
		"\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9":  false, // 12 bytes
		strings.Repeat(goodPassword, 49)[:1024]: true,
		strings.Repeat(goodPassword, 49)[:1025]: false,
		"invalid \xff utf-8 text":               false,
	} {
		_, err := f.AddAccount(t.Context(), auth.NewAccount{Email: "c@x", Password: password})
		if !good {
			f.invalid(err, "password")
			if password != "" && strings.Contains(err.Error(), password) {
				t.Errorf("the error holds the password: %v", err)
			}
			continue
		}
		f.ok(err)
		_, err = f.Login(t.Context(), "c@x", password)
		f.ok(err)
		c, err := f.AccountByEmail(t.Context(), "c@x")
		f.ok(err)
		_, err = f.RemoveAccount(t.Context(), c.ID)
		f.ok(err)
	}
	_, err = f.AddAccount(t.Context(), auth.NewAccount{Email: "nobody", Password: goodPassword})
	f.invalid(err, "email")
}
