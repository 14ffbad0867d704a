package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// NewDevice is what to make a device token from.
type NewDevice struct {
	Name  string // of the program that will use it
	Scope Scope  // "" is ScopePin
	// TTL is how long the token lasts; 0 is until it is revoked.
	TTL time.Duration
}

// CreateDeviceToken is [Service.AddDevice] with [ScopePin].
func (s *Service) CreateDeviceToken(ctx context.Context, account, name string, ttl time.Duration) (Token, string, error) {
	return s.AddDevice(ctx, account, NewDevice{Name: name, TTL: ttl})
}

// AddDevice makes a token for one program. It returns the token's record and the JWT, which
// is kept nowhere. Errors: *InvalidError, ErrDisabled.
func (s *Service) AddDevice(ctx context.Context, account string, n NewDevice) (Token, string, error) {
	if err := checkName(n.Name); err != nil {
		return Token{}, "", err
	}
	if n.Scope == "" {
		n.Scope = ScopePin
	}
	if !slices.Contains(Scopes(), n.Scope) {
		return Token{}, "", invalid("scope", "must be one of %q", Scopes())
	}
	if err := CheckDeviceTTL(n.TTL); err != nil {
		return Token{}, "", err
	}
	a, err := s.accounts.AccountByID(ctx, account)
	if err != nil {
		return Token{}, "", fmt.Errorf("create token: %w", err)
	}
	if a.Disabled {
		return Token{}, "", ErrDisabled
	}
	now, key := s.now(), s.keys.ring.Load().signer()
	t := Token{
		ID: newID(), Account: a.ID, Kind: Device, Name: n.Name, Scope: n.Scope, Key: key.ID,
		Address: addressFrom(ctx), Epoch: a.Devices, Created: now,
	}
	if n.TTL > 0 {
		t.Expires = now.Add(n.TTL).Truncate(time.Second)
	}
	raw, err := s.keys.sign(key, audienceAPI, a.ID, t.ID, t.ID, now, t.Expires)
	if err != nil {
		return Token{}, "", err
	}
	created := s.event(ctx, EventTokenCreated, a.ID)
	created.Token, created.Email, created.Detail = t.ID, a.Email, string(t.Scope)+" "+t.Name
	if err := s.accounts.CreateToken(ctx, t, created); err != nil {
		return Token{}, "", fmt.Errorf("create token: %w", err)
	}
	s.cfg.Log.Info("device token created", "account", a.ID, "token", t.ID)
	return t, raw, nil
}

// ListTokens reads the account's tokens that count now, oldest first, together with those
// that cannot be read.
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
	all = slices.DeleteFunc(all, func(t Token) bool {
		return !t.Damaged && (t.Expired(now) || !a.Allows(t) || !s.keys.has(t.Key))
	})
	for i, t := range all {
		all[i].Used = s.uses.of(t)
	}
	return all, nil
}

// RevokeToken ends one token of any account: a device token, or a session with all its
// access tokens. Errors: ErrNoToken.
func (s *Service) RevokeToken(ctx context.Context, id string) (Token, error) {
	return s.revoke(ctx, "", id, EventTokenRevoked)
}

// RevokeTokenOf is RevokeToken for a token of that account. A token of another account gives
// ErrNoToken.
func (s *Service) RevokeTokenOf(ctx context.Context, account, id string) (Token, error) {
	return s.revoke(ctx, account, id, EventTokenRevoked)
}

// Logout ends the token that the request came with. Errors: ErrNoToken.
func (s *Service) Logout(ctx context.Context, p Principal) error {
	_, err := s.revoke(ctx, p.Account, p.TokenID, EventLogout)
	return err
}

// revoke ends a token. If account is not "", the token must belong to it.
func (s *Service) revoke(ctx context.Context, account, id string, kind EventKind) (Token, error) {
	ctx = context.WithoutCancel(ctx) // a client that hangs up still wants it
	t, err := s.accounts.TokenByID(ctx, id)
	readable := err == nil || t.Damaged
	if readable && account != "" && t.Account != account {
		err, readable = ErrNoToken, false
	}
	if !readable {
		return Token{}, fmt.Errorf("revoke token: %w", err)
	}
	e := s.event(ctx, kind, t.Account)
	e.Token, e.Detail = t.ID, t.Name
	t, err = ending(ctx, s, ofToken(id), func(ctx context.Context) (Token, error) {
		return s.accounts.DeleteToken(ctx, id, e)
	})
	if err != nil {
		return Token{}, fmt.Errorf("revoke token: %w", err)
	}
	s.cfg.Log.Info("token revoked", "account", t.Account, "token", t.ID)
	return t, nil
}

// Verify returns the principal of a token that counts now.
// Errors: those that wrap ErrUnauthorized.
func (s *Service) Verify(ctx context.Context, raw string) (Principal, error) {
	p, _, err := s.verify(ctx, raw, s.cfg.Now())
	return p, err
}

// verify is Verify, and also returns until when the token counts. The zero time is for ever.
func (s *Service) verify(ctx context.Context, raw string, now time.Time) (_ Principal, until time.Time, _ error) {
	if len(raw) > maxToken {
		return Principal{}, until, errNotOurs
	}
	key := seenKey(raw)
	if p, until, note, ok := s.seen.get(key, now); ok {
		if note {
			s.uses.note(p.TokenID, now)
		}
		return p, until, nil
	}
	era := s.seen.current() // before the records are read
	c, err := s.keys.parse(raw, audienceAPI, now)
	if err != nil {
		return Principal{}, until, err
	}
	t, err := s.accounts.TokenByID(ctx, c.Record)
	switch {
	case errors.Is(err, ErrNoToken):
		return Principal{}, until, ErrRevoked
	case t.Damaged:
		return Principal{}, until, errDamaged
	case err != nil:
		return Principal{}, until, fmt.Errorf("verify token: %w", err)
	}
	a, err := s.accounts.AccountByID(ctx, t.Account)
	if errors.Is(err, ErrNoAccount) {
		return Principal{}, until, ErrRevoked
	}
	if err != nil {
		return Principal{}, until, fmt.Errorf("verify token: %w", err)
	}
	switch {
	case t.Account != c.Subject || t.Kind == Session && c.ExpiresAt == nil:
		return Principal{}, until, errNotOurs
	case !a.Allows(t):
		return Principal{}, until, ErrRevoked
	case t.Expired(now):
		return Principal{}, until, errExpired
	}
	p := Principal{Account: a.ID, Email: a.Email, Admin: a.Admin, Scope: t.Scope, Kind: t.Kind, TokenID: t.ID}
	entry := &seenToken{principal: p, from: c.NotBefore.Time, until: t.Expires, used: t.Used}
	if now.Sub(t.Used) >= usedEvery {
		entry.used = now
		s.uses.note(t.ID, now)
	}
	if c.ExpiresAt != nil {
		entry.until = c.ExpiresAt.Time
	}
	s.seen.put(era, key, entry)
	return p, entry.until, nil
}

// CheckDeviceTTL checks how long a device token is to last; 0 is for ever.
// Errors: *InvalidError.
func CheckDeviceTTL(ttl time.Duration) error {
	if ttl < 0 || ttl > 0 && ttl < time.Second {
		return invalid("expires", "must be a second at least, or 0 for never")
	}
	return nil
}
