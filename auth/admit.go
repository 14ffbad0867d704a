package auth

import (
	"context"
	"fmt"
)

// Challenge is the WWW-Authenticate header of every 401 (RFC 6750).
const Challenge = `Bearer realm="holdfast"`

// Admit verifies a token as Verify does, and counts the request against the token's
// limit. The context that it returns ends when the token ends. The caller calls done after
// it has served the request. Errors, besides those of Verify: [*LimitError].
func (s *Service) Admit(ctx context.Context, raw string) (_ context.Context, p Principal, done func(), err error) {
	for {
		era := s.seen.current()
		now := s.cfg.Now()
		p, until, err := s.verify(ctx, raw, now)
		if err != nil {
			return nil, Principal{}, nil, err
		}
		left := forever
		if !until.IsZero() {
			left = until.Sub(now)
		}
		ctx, done := s.flights.begin(ctx, p, left)
		if s.seen.current() != era {
			// Some token ended between the two steps. If it was this one, the request
			// was registered too late to be ended with it.
			done()
			continue
		}
		if err := s.limits.token.take(p.TokenID, s.cfg.Now()); err != nil {
			done()
			return nil, Principal{}, nil, err
		}
		return ctx, p, done, nil
	}
}

// TakeChange counts a change that an account makes to itself. Errors: [*LimitError], if
// there were too many.
func (s *Service) TakeChange(account string) error {
	return s.limits.changes.take(account, s.cfg.Now())
}

// UsageOf returns what an account's pins take up; nil without [Config].Usage.
func (s *Service) UsageOf(ctx context.Context, account string) (*Usage, error) {
	if s.cfg.Usage == nil {
		return nil, nil
	}
	u, err := s.cfg.Usage(ctx, account)
	if err != nil {
		return nil, fmt.Errorf("usage of account %s: %w", account, err)
	}
	return &u, nil
}

// CountRefusal counts why a request was refused. It ignores faults of the server.
func (s *Service) CountRefusal(err error) { s.failed.request(err) }
