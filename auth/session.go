package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Pair is the two JWTs that a client gets when it logs in.
type Pair struct {
	Access  string
	Refresh string
}

// String and LogValue keep the tokens out of everything that prints the pair.
func (Pair) String() string         { return "a pair of tokens" }
func (p Pair) LogValue() slog.Value { return slog.StringValue(p.String()) }

// Login checks a password and begins a session. An account that does not exist costs the
// same work and gets the same answer as a wrong password. Only a client that knows the
// password of an account learns that the account is disabled.
// Errors: ErrBadCredentials, ErrDisabled, ErrBusy, *LimitError.
func (s *Service) Login(ctx context.Context, email, password string) (Pair, error) {
	if err := s.tryFrom(ctx); err != nil {
		s.refuse(s.event(ctx, EventLoginLimited, ""))
		return Pair{}, err
	}
	var a Account
	normal, err := NormalizeEmail(email)
	if err == nil {
		email = normal
		a, err = s.accounts.AccountByEmail(ctx, email)
	}
	var bad *InvalidError
	if err != nil && !errors.Is(err, ErrNoAccount) && !errors.As(err, &bad) {
		return Pair{}, fmt.Errorf("log in: %w", err)
	}
	notCounted, err := s.tryAccount(ctx, a.ID, email)
	if limit := (*LimitError)(nil); errors.As(err, &limit) {
		s.refuse(s.event(ctx, EventLoginLimited, a.ID))
		return Pair{}, err
	}
	if err != nil {
		return Pair{}, fmt.Errorf("log in: %w", err)
	}
	ok, err := s.hasher.check(ctx, password, a.PasswordHash)
	switch {
	case err != nil:
		notCounted()
		return Pair{}, fmt.Errorf("log in: %w", err)
	case !ok:
		s.cfg.Log.Info("login refused", "from", addressFrom(ctx), "account", cmp.Or(a.ID, "unknown"))
		s.refuse(s.event(ctx, EventLoginRefused, a.ID))
		return Pair{}, ErrBadCredentials
	case a.Disabled:
		s.cfg.Log.Info("login refused: account disabled", "from", addressFrom(ctx), "account", a.ID)
		refused := s.event(ctx, EventLoginRefused, a.ID)
		refused.Detail = "disabled"
		s.refuse(refused)
		return Pair{}, ErrDisabled
	}
	notCounted()
	s.rehash(ctx, a, password)

	pair, err := s.begin(ctx, a, s.event(ctx, EventLogin, a.ID))
	if errors.Is(err, ErrEnded) || errors.Is(err, ErrNoAccount) {
		return Pair{}, ErrBadCredentials // the password was changed while it was checked
	}
	if err != nil {
		return Pair{}, fmt.Errorf("log in: %w", err)
	}
	return pair, nil
}

// tryFrom counts a try to log in or to register from the request's address.
// Errors: *LimitError.
func (s *Service) tryFrom(ctx context.Context) error {
	from := network(addressFrom(ctx))
	if from == "" {
		return nil
	}
	return s.limits.address.take(from, s.cfg.Now())
}

// tryAccount counts a try on an account as failed before it is made, so that the limit also
// holds for tries at the same time. The caller calls notCounted if the try did not fail.
// account is "" if no account has the address.
// Errors: *LimitError.
func (s *Service) tryAccount(ctx context.Context, account, email string) (notCounted func(), err error) {
	limit, key := s.limits.account, account
	from := network(addressFrom(ctx))
	if account == "" {
		limit, key = s.limits.unknown, nameKey(email)
	} else if trusted, err := s.trusts(ctx, account, from); err != nil {
		return nil, err
	} else if trusted {
		key = account + " " + from
	}
	if err := limit.take(key, s.cfg.Now()); err != nil {
		return nil, err
	}
	return func() { limit.giveBack(key) }, nil
}

// rehash hashes a password that was right again, with the present cost. If that fails, the
// next time somebody logs in does it.
func (s *Service) rehash(ctx context.Context, a Account, password string) {
	if !s.hasher.outdated(a.PasswordHash) {
		return
	}
	hash, err := s.hasher.hash(ctx, password)
	if err == nil {
		_, err = s.accounts.ChangeAccount(ctx, a.ID, func(now *Account) error {
			if now.PasswordHash == a.PasswordHash {
				now.PasswordHash = hash
			}
			return nil
		})
	}
	if err != nil {
		s.cfg.Log.Warn("cannot hash a password again with the present cost; trying again at the next login", "account", a.ID, "err", err)
	}
}

// begin begins a session of an account whose password was right.
// Errors: ErrEnded, ErrNoAccount.
func (s *Service) begin(ctx context.Context, a Account, e Event) (Pair, error) {
	t := Token{
		ID: newID(), Account: a.ID, Kind: Session, Scope: ScopeAdmin, Epoch: a.Sessions,
		Address: addressFrom(ctx), Created: s.now(),
	}
	pair, err := s.renew(&t)
	if err != nil {
		return Pair{}, err
	}
	e.Token, e.Email = t.ID, a.Email
	if err := s.accounts.CreateToken(ctx, t, e); err != nil {
		return Pair{}, err
	}
	if from := network(t.Address); from != "" {
		s.trusted.add(a.ID, from)
	}
	s.cfg.Log.Info("login", "account", a.ID, "token", t.ID)
	return pair, nil
}

// refreshGrace is how long a used refresh token gives the same successor again: the reply
// may have been lost, or two windows of a program may have refreshed at once. It covers a
// client's timeout and its next try.
const refreshGrace = 30 * time.Second

// Refresh gives a session new tokens for its refresh token, which works once. Earlier access
// tokens count until they expire.
//
// The refresh tokens of a session are a chain. Within refreshGrace the last used one gives
// the present one again, and never a second successor. If any other used one comes, it or
// its successor is in the wrong hands. Refresh then ends the session, with all that stands
// on it.
//
// Errors: those that wrap ErrUnauthorized; *LimitError.
func (s *Service) Refresh(ctx context.Context, refresh string) (_ Pair, err error) {
	defer func() {
		if limit := (*LimitError)(nil); errors.Is(err, ErrUnauthorized) || errors.As(err, &limit) {
			s.failed.note(FailedRefresh)
		}
	}()
	c, err := s.keys.parse(refresh, audienceRefresh, s.cfg.Now())
	if err != nil {
		return Pair{}, err
	}
	if err := s.limits.refresh.take(c.Record, s.cfg.Now()); err != nil {
		return Pair{}, err
	}
	var pair Pair
	t, err := s.accounts.ChangeToken(ctx, c.Record, func(t *Token) (err error) {
		now := s.cfg.Now()
		switch {
		case t.Kind != Session || t.Account != c.Subject || t.Expired(now):
			return ErrRevoked
		case t.Refresh == c.ID:
			pair, err = s.renew(t)
		case t.Previous == c.ID && now.Sub(t.Refreshed).Abs() <= refreshGrace:
			pair, err = s.sign(t)
		default:
			return errUsed
		}
		return err
	})
	switch {
	case errors.Is(err, errUsed):
		return Pair{}, s.endReused(ctx, c)
	case errors.Is(err, ErrNoToken), errors.Is(err, ErrEnded):
		return Pair{}, ErrRevoked
	case t.Damaged:
		return Pair{}, errDamaged
	case errors.Is(err, ErrUnauthorized):
		return Pair{}, err
	case err != nil:
		return Pair{}, fmt.Errorf("refresh session: %w", err)
	}
	s.uses.note(c.Record, s.cfg.Now())
	s.cfg.Log.Debug("session refreshed", "account", c.Subject, "token", c.Record)
	return pair, nil
}

var errUsed = fmt.Errorf("%w: the refresh token was used already, so its session was ended; log in again", ErrUnauthorized)

// endReused ends the session of a refresh token that was used before.
func (s *Service) endReused(ctx context.Context, c claims) error {
	e := s.event(ctx, EventRefreshReused, c.Subject)
	e.Token = c.Record
	_, err := ending(ctx, s, ofToken(c.Record), func(ctx context.Context) (Token, error) {
		return s.accounts.DeleteToken(ctx, c.Record, e)
	})
	if err != nil && !errors.Is(err, ErrNoToken) {
		return fmt.Errorf("end session: %w", err)
	}
	s.cfg.Log.Warn("a refresh token was used twice; its session was ended", "account", c.Subject, "token", c.Record)
	return errUsed
}

// renew gives the session t a new refresh token, and an access token.
func (s *Service) renew(t *Token) (Pair, error) {
	t.Previous, t.Refresh, t.Refreshed = t.Refresh, newID(), s.now()
	return s.sign(t)
}

// sign makes the JWTs of the session t, and notes in t what the record must say of them.
func (s *Service) sign(t *Token) (Pair, error) {
	now, key := s.now(), s.keys.ring.Load().signer()
	access, refresh := now.Add(s.cfg.AccessTTL).Truncate(time.Second), t.Refreshed.Add(s.cfg.RefreshTTL).Truncate(time.Second)
	t.Key = key.ID
	for _, end := range []time.Time{access, refresh} {
		if end.After(t.Expires) {
			t.Expires = end
		}
	}
	var p Pair
	var err error
	if p.Access, err = s.keys.sign(key, audienceAPI, t.Account, t.ID, newID(), now, access); err != nil {
		return Pair{}, err
	}
	if p.Refresh, err = s.keys.sign(key, audienceRefresh, t.Account, t.ID, t.Refresh, t.Refreshed, refresh); err != nil {
		return Pair{}, err
	}
	return p, nil
}
