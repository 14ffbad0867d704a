package auth_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alexedwards/argon2id"

	"github.com/holdfast-ipfs/holdfast/auth"
)

func TestDefaultHashCost(t *testing.T) {
	f := newFixture(t, func(c *auth.Config) { c.HashCost = auth.HashCost{} })
	params, salt, key, err := argon2id.DecodeHash(f.ann.PasswordHash)
	f.ok(err)
	if params.Memory < 19*1024 || params.Iterations < 2 || len(salt) < 16 || len(key) < 32 {
		t.Errorf("a password is hashed with %+v", params)
	}
	f.login()
}

// TestUnknownAccountCostsTheSame: neither the work nor the answer tells whether an address has an
// account.
func TestUnknownAccountCostsTheSame(t *testing.T) {
	f := newFixture(t)
	n := auth.CountHashes(f.Service)
	var answers []string
	for _, c := range [][2]string{
		{f.ann.Email, "not her password"},
		{f.ann.Email, "short"},
		{f.ann.Email, strings.Repeat("long", 1000)},
		{"nobody@example.com", goodPassword},
		{"not an address", goodPassword},
		{"nobody\xff@example.com", goodPassword},
	} {
		before := n.Load()
		_, err := f.Login(t.Context(), c[0], c[1])
		if !errors.Is(err, auth.ErrBadCredentials) {
			t.Fatalf("%q: %v", c, err)
		}
		if ran := n.Load() - before; ran != 1 {
			t.Errorf("%q: %d hashes ran, want 1", c, ran)
		}
		answers = append(answers, err.Error())
	}
	for _, a := range answers {
		if a != answers[0] {
			t.Errorf("answers differ: %q, %q", a, answers[0])
		}
	}
}

// TestPasswordInEitherForm: é typed on a Mac is e and an accent.
func TestPasswordInEitherForm(t *testing.T) {
	f := newFixture(t)
	_, err := f.SetPassword(t.Context(), f.ann.ID, "d\u00e9j\u00e0 vu encore", false)
	f.ok(err)
	_, err = f.Login(t.Context(), f.ann.Email, "de\u0301ja\u0300 vu encore")
	f.ok(err)
	_, err = f.Login(t.Context(), f.ann.Email, "deja vu encore")
	f.is(err, auth.ErrBadCredentials)
}

func TestHashesAtOnce(t *testing.T) {
	f := newFixture(t, func(c *auth.Config) { c.HashesAtOnce = 2; c.HashWait = time.Second })
	synctest.Test(t, func(t *testing.T) {
		// Its own service, because the places must belong to the bubble.
		const tries = 3
		s, err := auth.New(auth.Config{
			HashCost: cheap, HashesAtOnce: 2, HashWait: time.Second, Now: f.clock.Now,
			Limits: auth.Limits{Account: auth.Rate{Every: time.Hour, Burst: tries}},
		}, f.accounts, f.keys)
		if err != nil {
			t.Fatal(err)
		}
		hold := make(chan struct{})
		auth.HoldHashes(s, func() { <-hold })
		results := make(chan error, 3)
		login := func(ctx context.Context) {
			_, err := s.Login(ctx, f.ann.Email, goodPassword)
			results <- err
		}
		go login(t.Context())
		go login(t.Context())
		synctest.Wait()
		if len(results) != 0 {
			t.Fatal("a login ended while its hash was held")
		}

		began := time.Now()
		go login(t.Context())
		if err := <-results; !errors.Is(err, auth.ErrBusy) {
			t.Errorf("the third login: %v, want %v", err, auth.ErrBusy)
		}
		if waited := time.Since(began); waited != time.Second {
			t.Errorf("it waited %v", waited)
		}
		if _, err := s.SetPassword(t.Context(), f.ann.ID, goodPassword, false); !errors.Is(err, auth.ErrBusy) {
			t.Errorf("a new password: %v, want %v", err, auth.ErrBusy)
		}
		if _, err := s.AddAccount(t.Context(), auth.NewAccount{Email: "b@x", Password: goodPassword}); !errors.Is(err, auth.ErrBusy) {
			t.Errorf("a new account: %v, want %v", err, auth.ErrBusy)
		}

		for range 2 * tries { // a check that got no turn is no try
			if err := s.ProvePassword(t.Context(), f.ann.ID, "password", goodPassword); !errors.Is(err, auth.ErrBusy) {
				t.Fatalf("the present password: %v, want %v", err, auth.ErrBusy)
			}
		}

		ctx, cancel := context.WithCancel(t.Context())
		go login(ctx)
		synctest.Wait()
		cancel()
		if err := <-results; !errors.Is(err, context.Canceled) {
			t.Errorf("a login that was given up: %v", err)
		}

		go login(t.Context()) // waits for its turn, and gets it
		synctest.Wait()
		close(hold)
		for range 3 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
	})
}

// TestPasswordSetMeanwhile: who changes a password by the present one does not overwrite another that was set
// after that was checked, and so neither undoes what an operator did.
func TestPasswordSetMeanwhile(t *testing.T) {
	const theirs, ours = "another horse battery", "a third horse battery"
	for name, meanwhile := range map[string]func(*fixture) error{
		"another password": func(f *fixture) error {
			_, err := f.SetPassword(t.Context(), f.ann.ID, ours, false)
			return err
		},
		"the sessions ended": func(f *fixture) error {
			_, err := f.LogoutAll(t.Context(), f.ann.ID)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			_, device := f.device()
			first := true
			auth.HoldHashes(f.Service, func() {
				if first {
					first = false
					f.ok(meanwhile(f))
				}
			})
			_, err := f.ChangePassword(t.Context(), f.ann.ID, goodPassword, theirs, true)
			f.is(err, auth.ErrEnded)
			_, err = f.Login(t.Context(), f.ann.Email, theirs)
			f.is(err, auth.ErrBadCredentials)
			f.counts(device)
		})
	}
}
