package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// CreateDeviceToken makes a token for one program, and gives its record and
// the JWT, which is kept nowhere. It lasts for ttl, or until revoked if ttl is
// 0. Errors: *InvalidError, ErrDisabled.
func (s *Service) CreateDeviceToken(ctx context.Context, account, name string, ttl time.Duration) (Token, string, error) {
	if err := checkName(name); err != nil {
		return Token{}, "", err
	}
	if ttl < 0 || ttl > 0 && ttl < time.Second {
		return Token{}, "", invalid("expires", "must be a second at least, or 0 for never")
	}
	a, err := s.accounts.AccountByID(ctx, account)
	if err != nil {
		return Token{}, "", fmt.Errorf("create token: %w", err)
	}
	if a.Disabled {
		return Token{}, "", ErrDisabled
	}
	now := s.now()
	t := Token{ID: newID(), Account: a.ID, Kind: Device, Name: name, Epoch: a.Devices, Created: now}
	if ttl > 0 {
		t.Expires = now.Add(ttl).Truncate(time.Second)
	}
	raw, err := s.keys.sign(audienceAPI, a.ID, t.ID, t.ID, now, t.Expires)
	if err != nil {
		return Token{}, "", err
	}
	if err := s.accounts.CreateToken(ctx, t); err != nil {
		return Token{}, "", fmt.Errorf("create token: %w", err)
	}
	s.cfg.Log.Info("device token created", "account", a.ID, "token", t.ID)
	return t, raw, nil
}

// ListTokens reads the account's tokens that count now, oldest first.
func (s *Service) ListTokens(ctx context.Context, account string) ([]Token, error) {
	a, err := s.accounts.AccountByID(ctx, account)
	if err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	all, err := s.accounts.ListTokens(ctx, account)
	if err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	now := s.cfg.Now()
	return slices.DeleteFunc(all, func(t Token) bool { return t.Expired(now) || !a.Allows(t) }), nil
}

// RevokeToken ends one token, whosever it is: a device token, or a session
// with all its access tokens. Errors: ErrNoToken.
func (s *Service) RevokeToken(ctx context.Context, id string) (Token, error) {
	t, err := ending(ctx, s, func(ctx context.Context) (Token, error) {
		return s.accounts.DeleteToken(ctx, id)
	})
	if err != nil {
		return Token{}, fmt.Errorf("revoke token: %w", err)
	}
	s.cfg.Log.Info("token revoked", "account", t.Account, "token", t.ID)
	return t, nil
}

// Verify says who shows a token, if it counts now.
// Errors: those that wrap ErrUnauthorized.
func (s *Service) Verify(ctx context.Context, raw string) (Principal, error) {
	now := s.cfg.Now()
	if len(raw) > maxToken {
		return Principal{}, errNotOurs
	}
	key := seenKey(raw)
	if p, ok := s.seen.get(key, now); ok {
		return p, nil
	}
	era := s.seen.current() // before the records are read
	c, err := s.keys.parse(raw, audienceAPI, now)
	if err != nil {
		return Principal{}, err
	}
	t, err := s.accounts.TokenByID(ctx, c.Record)
	if errors.Is(err, ErrNoToken) {
		return Principal{}, errRevoked
	}
	if err != nil {
		return Principal{}, fmt.Errorf("verify token: %w", err)
	}
	a, err := s.accounts.AccountByID(ctx, t.Account)
	if errors.Is(err, ErrNoAccount) {
		return Principal{}, errRevoked
	}
	if err != nil {
		return Principal{}, fmt.Errorf("verify token: %w", err)
	}
	switch {
	case t.Account != c.Subject || t.Kind == Session && c.ExpiresAt == nil:
		return Principal{}, errNotOurs
	case !a.Allows(t):
		return Principal{}, errRevoked
	case t.Expired(now):
		return Principal{}, errExpired
	}
	p := Principal{Account: a.ID, Email: a.Email, Admin: a.Admin, TokenID: t.ID}
	entry := seenToken{principal: p, from: c.NotBefore.Time, until: t.Expires}
	if c.ExpiresAt != nil {
		entry.until = c.ExpiresAt.Time
	}
	s.seen.put(era, key, entry)
	return p, nil
}
