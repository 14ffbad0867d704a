package auth

import (
	"context"
	"time"
)

// flushInterval is how long refusals and uses of tokens wait to be written. No request
// waits for them.
const flushInterval = 5 * time.Second

// flushLast is the time limit of the last write, when the service ends.
const flushLast = 2 * time.Second

// Run works in the background until ctx ends, and then returns nil. It writes refused
// logins and the last uses of tokens. It removes dead tokens, keys that no token needs,
// and old events.
func (s *Service) Run(ctx context.Context) error {
	sweep, flush := time.NewTicker(s.cfg.SweepInterval), time.NewTicker(flushInterval)
	defer sweep.Stop()
	defer flush.Stop()
	s.sweep(ctx)
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushLast)
			defer cancel()
			if err := s.flush(last); err != nil {
				s.cfg.Log.Warn("some refused logins or uses of tokens are not in the audit record", "err", err)
			}
			return nil
		case <-flush.C:
			if err := s.flush(ctx); err != nil && ctx.Err() == nil {
				s.cfg.Log.Warn("cannot write refused logins and uses of tokens; trying again", "err", err)
			}
		case <-sweep.C:
			s.sweep(ctx)
		}
	}
}

// sweep removes what does not count any more.
func (s *Service) sweep(ctx context.Context) {
	report := func(what string, removed int, err error) {
		switch {
		case ctx.Err() != nil:
		case err != nil:
			s.cfg.Log.Warn("cannot remove "+what, "removed", removed, "err", err)
		case removed > 0:
			s.cfg.Log.Debug("removed "+what, "removed", removed)
		}
	}
	n, err := s.accounts.SweepTokens(ctx, s.now())
	report("dead tokens", n, err)
	if s.cfg.AuditKeep > 0 {
		n, err = s.accounts.SweepEvents(ctx, s.cfg.Now().Add(-s.cfg.AuditKeep))
		report("old events", n, err)
	}
	n, err = s.pruneKeys(ctx)
	report("token keys that nothing needs", n, err)
}
