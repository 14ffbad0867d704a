package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Pair is what a login gives: two JWTs.
type Pair struct {
	Access  string
	Refresh string
}

// String and LogValue keep the tokens out of whatever prints them.
func (Pair) String() string         { return "a pair of tokens" }
func (p Pair) LogValue() slog.Value { return slog.StringValue(p.String()) }

// Login checks a password and begins a session. An account that does not exist
// costs the same work and gets the same answer as a wrong password; that an
// account is disabled is told only to who knows its password.
// Errors: ErrBadCredentials, ErrDisabled, ErrBusy.
func (s *Service) Login(ctx context.Context, email, password string) (Pair, error) {
	var a Account
	email, err := NormalizeEmail(email)
	if err == nil {
		a, err = s.accounts.AccountByEmail(ctx, email)
	}
	var bad *InvalidError
	if err != nil && !errors.Is(err, ErrNoAccount) && !errors.As(err, &bad) {
		return Pair{}, fmt.Errorf("log in: %w", err)
	}
	ok, err := s.hasher.check(ctx, password, a.PasswordHash)
	switch {
	case err != nil:
		return Pair{}, fmt.Errorf("log in: %w", err)
	case !ok:
		s.cfg.Log.Info("login refused", "account", a.ID)
		return Pair{}, ErrBadCredentials
	case a.Disabled:
		s.cfg.Log.Info("login refused: account disabled", "account", a.ID)
		return Pair{}, ErrDisabled
	}

	t := Token{ID: newID(), Account: a.ID, Kind: Session, Epoch: a.Sessions, Created: s.now()}
	pair, err := s.renew(&t)
	if err != nil {
		return Pair{}, err
	}
	err = s.accounts.CreateToken(ctx, t)
	if errors.Is(err, ErrEnded) || errors.Is(err, ErrNoAccount) {
		return Pair{}, ErrBadCredentials // the password was changed while it was checked
	}
	if err != nil {
		return Pair{}, fmt.Errorf("log in: %w", err)
	}
	s.cfg.Log.Info("login", "account", a.ID, "token", t.ID)
	return pair, nil
}

// Refresh gives a session new tokens for its refresh token, which works once.
// Access tokens given earlier go on until they expire.
// Errors: those that wrap ErrUnauthorized.
func (s *Service) Refresh(ctx context.Context, refresh string) (Pair, error) {
	c, err := s.keys.parse(refresh, audienceRefresh, s.cfg.Now())
	if err != nil {
		return Pair{}, err
	}
	var pair Pair
	_, err = s.accounts.ChangeToken(ctx, c.Record, func(t *Token) error {
		if t.Kind != Session || t.Account != c.Subject || t.Expired(s.cfg.Now()) {
			return errRevoked
		}
		if t.Refresh != c.ID {
			return errUsed
		}
		var err error
		pair, err = s.renew(t)
		return err
	})
	switch {
	case errors.Is(err, ErrNoToken), errors.Is(err, ErrEnded):
		return Pair{}, errRevoked
	case errors.Is(err, ErrUnauthorized):
		return Pair{}, err
	case err != nil:
		return Pair{}, fmt.Errorf("refresh session: %w", err)
	}
	s.cfg.Log.Debug("session refreshed", "account", c.Subject, "token", c.Record)
	return pair, nil
}

var errUsed = fmt.Errorf("%w: the refresh token was used already; log in again", ErrUnauthorized)

// renew signs new tokens for the session t and writes into t what its record
// must say of them.
func (s *Service) renew(t *Token) (Pair, error) {
	now := s.now()
	access, refresh := now.Add(s.cfg.AccessTTL).Truncate(time.Second), now.Add(s.cfg.RefreshTTL).Truncate(time.Second)
	t.Refresh = newID()
	for _, end := range []time.Time{access, refresh} {
		if end.After(t.Expires) {
			t.Expires = end
		}
	}
	var p Pair
	var err error
	if p.Access, err = s.keys.sign(audienceAPI, t.Account, t.ID, newID(), now, access); err != nil {
		return Pair{}, err
	}
	if p.Refresh, err = s.keys.sign(audienceRefresh, t.Account, t.ID, t.Refresh, now, refresh); err != nil {
		return Pair{}, err
	}
	return p, nil
}
