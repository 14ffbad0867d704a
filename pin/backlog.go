package pin

import (
	"context"
	"slices"
	"time"
)

// resume takes up what was unfinished at the last close, as much of it as is kept in
// memory. What was being fetched is tried again as if it were parked and due.
func (s *scheduler) resume(ctx context.Context) error {
	resumed := 0
	for _, status := range []Status{Pinning, Queued} {
		accounts, err := s.work.Accounts(ctx, status)
		if err != nil {
			return err
		}
		resumeOf := s.resumePinning
		if status == Queued {
			resumeOf = s.resumeQueued
		}
		for _, account := range accounts {
			n, err := resumeOf(ctx, account)
			if err != nil {
				return err
			}
			resumed += n
		}
	}
	if resumed > 0 {
		s.log.Info("resuming unfinished pins", "requests", resumed)
	}
	return nil
}

// resumePinning takes up the oldest and the newest of an account's requests that were
// being fetched. Whether their jobs stay in memory is decided after their first try.
func (s *scheduler) resumePinning(ctx context.Context, account string) (int, error) {
	limit, n := s.turns.RoomForOld(account), 0
	rs, err := s.work.UnfinishedAfter(ctx, account, Pinning, time.Time{}, limit)
	if err != nil {
		return 0, err
	}
	if len(rs) == limit {
		tail := rs[len(rs)-1].Created
		s.turns.SpilledAfter(account, tail)
		newest, err := s.requests.List(ctx, account, Query{Statuses: []Status{Pinning}, After: tail, Limit: limit})
		if err != nil {
			return 0, err
		}
		n = len(newest.Requests)
		// They are tried before the oldest, the newest first.
		ahead := s.clock.Now().Add(-time.Second)
		for i, r := range newest.Requests {
			s.restore(r, false, ahead.Add(time.Duration(i)))
		}
	}
	for _, r := range rs {
		s.restore(r, false, s.clock.Now())
	}
	return n + len(rs), nil
}

// resumeQueued takes up the oldest and the newest of an account's queued requests.
func (s *scheduler) resumeQueued(ctx context.Context, account string) (int, error) {
	tail, limit := s.turns.BeginRead(account)
	rs, err := s.work.UnfinishedAfter(ctx, account, Queued, tail, limit)
	if err != nil {
		return 0, err
	}
	for _, r := range rs {
		s.enqueue(r, true)
		tail = r.Created
	}
	more := len(rs) == limit
	s.turns.EndRead(account, tail, more)
	if !more {
		return len(rs), nil
	}
	newest, err := s.requests.List(ctx, account, Query{Statuses: []Status{Queued}, After: tail, Limit: limit})
	if err != nil {
		return 0, err
	}
	for _, r := range slices.Backward(newest.Requests) {
		s.enqueue(r, false)
	}
	return len(rs) + len(newest.Requests), nil
}

// refill reads more requests from disk for the accounts that have room for some in
// memory.
func (s *scheduler) refill() {
	if s.refilled = s.clock.Now(); s.refilled.Before(s.readAt) {
		return
	}
	for _, account := range s.turns.ToRestore() {
		s.readTried(account)
	}
	for _, account := range s.turns.ToRead() {
		s.readUntried(account)
	}
}

// readUntried reads some of an account's requests that wait for their first turn.
func (s *scheduler) readUntried(account string) {
	tail, limit := s.turns.BeginRead(account)
	s.tasks.run(func() {
		rs, err := s.work.UnfinishedAfter(s.ctx, account, Queued, tail, limit)
		s.mu.Lock()
		defer s.mu.Unlock()
		if err != nil {
			s.turns.EndRead(account, tail, true)
			s.readFailed("read more of the queue", account, err)
			return
		}
		for _, r := range rs {
			s.enqueue(r, true)
			tail = r.Created
		}
		s.turns.EndRead(account, tail, len(rs) == limit)
		s.kick()
	})
}

// readTried reads some of an account's requests that have had a turn, and parks jobs for
// them that are due at once.
func (s *scheduler) readTried(account string) {
	tail, limit := s.turns.BeginRound(account)
	s.tasks.run(func() {
		rs, err := s.work.UnfinishedAfter(s.ctx, account, Pinning, tail, limit)
		s.mu.Lock()
		defer s.mu.Unlock()
		tail, more := s.restoreAll(rs, tail, limit)
		s.turns.EndRound(account, tail, more || err != nil)
		if err != nil {
			s.readFailed("read pins that were put off", account, err)
		}
		s.kick()
	})
}

// readFailed has a read tried again in a while, and logs that it failed. s.mu is held.
func (s *scheduler) readFailed(what, account string, err error) {
	s.readAt = s.clock.Now().Add(retryMin)
	if s.ctx.Err() == nil && s.unread.due(s.clock.Now()) {
		s.log.Error(what, "account", account, "err", err)
	}
}

// adriftPause is the shortest time between two looks of findAdrift.
const adriftPause = time.Minute

// findAdrift has all accounts read again which of their requests have had a turn, if some may be on disk
// that nothing leads to. [Work].Begin moves every request for a DAG to Pinning, also one that is on disk
// alone. That has its turns with the requests in memory for the DAG. Once these are gone, only a read of
// its account finds it. s.mu is held.
func (s *scheduler) findAdrift(now time.Time) {
	if !s.adrift || now.Sub(s.sought) < adriftPause {
		return
	}
	s.adrift, s.sought = false, now
	s.tasks.run(func() {
		accounts, err := s.work.Accounts(s.ctx, Pinning)
		s.mu.Lock()
		defer s.mu.Unlock()
		if err != nil {
			s.adrift = true // then it is tried again
			if s.ctx.Err() == nil {
				s.log.Error("look for pins that wait on disk alone", "err", err)
			}
			return
		}
		for _, account := range accounts {
			s.turns.SpillTried(account, time.Time{})
		}
		s.kick()
	})
}
