package auth

import (
	"context"
	"errors"
	"fmt"
)

// RestoreAccount adds an account of a backup as it was, with tokens of it, which count if this
// server has the keys that they were made with. Errors: ErrExists if another account has its ID
// or its address.
func (s *Service) RestoreAccount(ctx context.Context, a Account, tokens []Token) error {
	e := s.event(ctx, EventAccountAdded, a.ID)
	e.Email, e.Detail = a.Email, "from a backup"
	if err := s.accounts.CreateAccount(ctx, a, e); err != nil {
		return fmt.Errorf("restore account %s: %w", a.ID, err)
	}
	for _, t := range tokens {
		if err := s.accounts.CreateToken(ctx, t); err != nil && !errors.Is(err, ErrEnded) {
			return fmt.Errorf("restore token %s: %w", t.ID, err)
		}
	}
	return nil
}
