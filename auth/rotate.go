package auth

import (
	"context"
	"fmt"
	"time"
)

// keySlack is how long a key is kept after the last session token that it signed has
// expired: longer than it takes to commit a token that was signed just before.
const keySlack = time.Hour

// RotateKeys makes a new key, which signs from now on. Tokens that older keys signed still
// count: these keys are kept while a session or a device token needs them, and Run removes
// them later. With endTokens every older key is dropped at once, which ends every token of
// every account. That is for when a key has leaked.
//
// It returns all keys. The first one signs.
func (s *Service) RotateKeys(ctx context.Context, endTokens bool) ([]KeyInfo, error) {
	s.rotating.Lock()
	defer s.rotating.Unlock()
	now := s.now()
	until := now.Add(max(s.cfg.AccessTTL, s.cfg.RefreshTTL))
	if !endTokens {
		_, sessions, err := s.accounts.KeysInUse(ctx, now)
		if err != nil {
			return nil, fmt.Errorf("rotate token keys: %w", err)
		}
		if sessions.After(until) {
			until = sessions // made when the configuration let tokens live longer
		}
	}
	if err := s.keys.rotate(now, until.Add(keySlack), endTokens); err != nil {
		return nil, fmt.Errorf("rotate token keys: %w", err)
	}
	e := s.event(ctx, EventKeysRotated, "")
	if endTokens {
		s.seen.forget()
		s.flights.end(ofEverybody)
		e.Detail = "every token ended"
	}
	s.cfg.Log.Info("token keys rotated", "keys", len(s.keys.List()), "ended", endTokens)
	if err := s.accounts.AppendEvents(context.WithoutCancel(ctx), []Event{e}); err != nil {
		return nil, fmt.Errorf("the token keys are rotated, but the audit record does not have it: %w", err)
	}
	return s.keys.List(), nil
}

// pruneKeys drops the keys that no token needs any more, and returns how many.
func (s *Service) pruneKeys(ctx context.Context) (int, error) {
	s.rotating.Lock()
	defer s.rotating.Unlock()
	if len(s.keys.List()) == 1 {
		return 0, nil
	}
	now := s.now()
	devices, _, err := s.accounts.KeysInUse(ctx, now)
	if err != nil {
		return 0, fmt.Errorf("look for keys in use: %w", err)
	}
	dropped, err := s.keys.prune(now, devices)
	if err == nil && len(dropped) > 0 {
		s.seen.forget()
	}
	return len(dropped), err
}
