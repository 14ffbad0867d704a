package auth

import (
	"context"
	"fmt"
)

// Challenge is the WWW-Authenticate header of every 401 (RFC 6750).
const Challenge = `Bearer realm="holdfast"`

// Admit is Verify with a context that ends with the token, and with the token's limit
// of requests. done must be called when the request was served. Errors, besides those
// of Verify: [*LimitError].
func (s *Service) Admit(ctx context.Context, raw string) (_ context.Context, p Principal, done func(), err error) {
	for {
		era := s.seen.current()
		p, err := s.Verify(ctx, raw)
		if err != nil {
			return nil, Principal{}, nil, err
		}
		ctx, done := s.flights.begin(ctx, p)
		if s.seen.current() != era {
			// Something ended between the two: it may be this token, and then the
			// request began too late to be ended with it.
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

// TakeChange counts a change of an account's own. Errors: [*LimitError], if there were
// too many.
func (s *Service) TakeChange(account string) error {
	return s.limits.changes.take(account, s.cfg.Now())
}

// UsageOf gives what an account's pins take up; nil if that is not told.
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

// CountRefusal counts why a request was refused. Errors that are the server's own
// do not count.
func (s *Service) CountRefusal(err error) { s.failed.request(err) }
