package pin

import (
	"context"
	"slices"
	"time"
)

// resume takes up what was unfinished, as much of it as is held in memory. What was
// being fetched is tried again as if it were parked and due.
func (m *Manager) resume(ctx context.Context) error {
	resumed := 0
	for _, status := range []Status{Pinning, Queued} {
		accounts, err := m.records.Accounts(ctx, status)
		if err != nil {
			return err
		}
		resumeOf := m.resumePinning
		if status == Queued {
			resumeOf = m.resumeQueued
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
		m.log.Info("resuming unfinished pins", "requests", resumed)
	}
	return nil
}

// resumePinning takes up the oldest and the newest of an account's requests that were
// being fetched. Whether one is kept in memory is seen after its first try.
func (m *Manager) resumePinning(ctx context.Context, account string) (int, error) {
	limit, n := m.turns.RoomForOld(account), 0
	rs, err := m.records.UnfinishedAfter(ctx, account, Pinning, time.Time{}, limit)
	if err != nil {
		return 0, err
	}
	if len(rs) == limit {
		tail := rs[len(rs)-1].Created
		m.turns.PutOffAfter(account, tail)
		newest, err := m.records.List(ctx, account, Query{Statuses: []Status{Pinning}, After: tail, Limit: limit})
		if err != nil {
			return 0, err
		}
		n = len(newest.Requests)
		// They are tried before the oldest, the newest first.
		ahead := m.clock.Now().Add(-time.Second)
		for i, r := range newest.Requests {
			m.takeBack(r, false, ahead.Add(time.Duration(i)))
		}
	}
	for _, r := range rs {
		m.takeBack(r, false, m.clock.Now())
	}
	return n + len(rs), nil
}

// resumeQueued takes up the oldest and the newest of an account's queued requests.
func (m *Manager) resumeQueued(ctx context.Context, account string) (int, error) {
	tail, limit := m.turns.BeginRead(account)
	rs, err := m.records.UnfinishedAfter(ctx, account, Queued, tail, limit)
	if err != nil {
		return 0, err
	}
	for _, r := range rs {
		m.enqueue(r, true)
		tail = r.Created
	}
	more := len(rs) == limit
	m.turns.EndRead(account, tail, more)
	if !more {
		return len(rs), nil
	}
	newest, err := m.records.List(ctx, account, Query{Statuses: []Status{Queued}, After: tail, Limit: limit})
	if err != nil {
		return 0, err
	}
	for _, r := range slices.Backward(newest.Requests) {
		m.enqueue(r, false)
	}
	return len(rs) + len(newest.Requests), nil
}
