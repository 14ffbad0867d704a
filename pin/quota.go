package pin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// Quotas says what accounts may have and what they have.
type Quotas interface {
	// Quota is what the account may have.
	Quota(ctx context.Context, account string) (Quota, error)
	// Usage is what the account takes up.
	Usage(ctx context.Context, account string) (Usage, error)
	// DAGTotals gives the totals of a DAG that is complete; ok is false if it
	// is not.
	DAGTotals(ctx context.Context, d DAG) (t Totals, ok bool, err error)
}

// quotas keeps accounts within their quotas of bytes. What is about to be
// charged is reserved first, so that calls at the same time cannot pass the
// limit together. Quotas of pins are kept by [Records], which count where they
// commit.
type quotas struct {
	Quotas
	mu       sync.Mutex
	reserved map[string]uint64 // bytes by account
}

func newQuotas(q Quotas) *quotas {
	return &quotas{Quotas: q, reserved: make(map[string]uint64)}
}

// reserve sets bytes of an account's quota aside until free is called, which is
// after they were charged, or were not. With 0 bytes it only asks whether the
// account may pin anything more. Errors: ErrQuota.
func (q *quotas) reserve(ctx context.Context, account string, bytes uint64) (free func(), err error) {
	limit, err := q.of(ctx, account)
	if err != nil {
		return nil, err
	}
	return q.reserveOf(ctx, account, limit.Bytes, bytes)
}

// of reads an account's quota.
func (q *quotas) of(ctx context.Context, account string) (limit Quota, err error) {
	if q.Quotas == nil {
		return limit, nil
	}
	if limit, err = q.Quota(ctx, account); err != nil {
		return Quota{}, fmt.Errorf("read quota: %w", err)
	}
	return limit, nil
}

// reserveOf is reserve for who knows the account's quota of bytes.
func (q *quotas) reserveOf(ctx context.Context, account string, limit, bytes uint64) (free func(), err error) {
	free = func() {}
	if limit == 0 {
		return free, nil
	}
	q.mu.Lock()
	q.reserved[account] += bytes
	asked := q.reserved[account]
	q.mu.Unlock()
	free = func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		if q.reserved[account] -= bytes; q.reserved[account] == 0 {
			delete(q.reserved, account)
		}
	}
	// Read after reserving: what others reserved is counted here, or charged
	// already and counted there, or for a moment both.
	used, err := q.Usage(ctx, account)
	if err == nil && (used.Bytes > limit || limit-used.Bytes < asked || bytes == 0 && used.Bytes == limit) {
		err = &QuotaError{Used: used.Bytes, Asked: bytes, Limit: limit}
	}
	if err != nil {
		free()
		return nil, err
	}
	return free, nil
}

// admit asks whether an account may pin a DAG, in the place of the request with
// the id old if that is not "", and reserves what it would be charged at once,
// as it is for a DAG that is complete. It gives how many pins the account may
// have, which is for [Records] to keep.
// Errors: ErrDenied, ErrQuota, ErrNotFound.
func (m *Manager) admit(ctx context.Context, account string, d DAG, old string) (most uint64, free func(), err error) {
	if err := m.denied(d); err != nil {
		return 0, nil, err
	}
	limit, err := m.quotas.of(ctx, account)
	if err != nil {
		return 0, nil, err
	}
	free, err = m.admitBytes(ctx, account, limit.Bytes, d, old)
	return limit.Pins, free, err
}

// admitBytes is admit for an account's quota of bytes alone.
func (m *Manager) admitBytes(ctx context.Context, account string, limit uint64, d DAG, old string) (free func(), err error) {
	free = func() {}
	if limit == 0 {
		return free, nil
	}
	t, complete, err := m.quotas.DAGTotals(ctx, d)
	if err != nil {
		return nil, fmt.Errorf("read totals: %w", err)
	}
	if complete {
		if n, err := m.charged(ctx, account, d); err != nil || n > 0 {
			return free, err
		}
	}
	if old != "" {
		if !complete {
			return free, nil // what it replaces makes room; it is measured while it is fetched
		}
		r, err := m.records.Get(ctx, account, old)
		if err != nil {
			return nil, err
		}
		n, err := m.charged(ctx, account, r.DAG())
		if err != nil {
			return nil, err
		}
		if r.Status == Pinned && n == 1 { // so its bytes are not charged any more
			was, _, err := m.quotas.DAGTotals(ctx, r.DAG())
			if err != nil {
				return nil, fmt.Errorf("read totals: %w", err)
			}
			if t.Bytes <= was.Bytes {
				return free, nil
			}
			t.Bytes -= was.Bytes
		}
	}
	return m.quotas.reserveOf(ctx, account, limit, t.Bytes)
}

// charged counts the account's requests for which it is charged for the DAG.
func (m *Manager) charged(ctx context.Context, account string, d DAG) (int, error) {
	page, err := m.records.List(ctx, account, Query{DAGs: []DAG{d}})
	if err != nil {
		return 0, fmt.Errorf("look for the account's pins of the DAG: %w", err)
	}
	return page.Count, nil
}

// charge reserves the bytes of a DAG that was fetched for each account that
// waits for it, and fails the requests of those whose quota it crosses.
func (m *Manager) charge(ctx context.Context, j *job, t Totals) (free func(), err error) {
	var frees []func()
	free = func() {
		for _, f := range frees {
			f()
		}
	}
	for _, account := range m.waiting(j) {
		f, err := m.quotas.reserve(ctx, account, t.Bytes)
		switch {
		case errors.Is(err, ErrQuota):
			err = m.failAccount(ctx, j, account, err.Error())
		case err == nil:
			frees = append(frees, f)
		}
		if err != nil {
			free()
			return nil, err
		}
	}
	return free, nil
}

// waiting lists the accounts that wait for a job.
func (m *Manager) waiting(j *job) (accounts []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for who := range j.members {
		accounts = append(accounts, who.account)
	}
	slices.Sort(accounts)
	return slices.Compact(accounts)
}

// failAccount fails an account's requests for a job, and stops the job if
// nobody else waits for it.
func (m *Manager) failAccount(ctx context.Context, j *job, account, reason string) error {
	m.mu.Lock()
	var theirs []member
	for who := range j.members {
		if who.account == account {
			theirs = append(theirs, who)
		}
	}
	m.mu.Unlock()
	for _, who := range theirs {
		released, err := m.records.FailRequest(ctx, who.account, who.id, reason)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return fmt.Errorf("fail a request over quota: %w", err)
		}
		m.drop(released)
		m.mu.Lock()
		m.leave(j, who)
		m.mu.Unlock()
	}
	m.log.Warn("pin over quota", "cid", j.dag, "account", account, "requests", len(theirs))
	return nil
}

// checkQuotas stops fetches that have crossed the quota of those who wait for
// them.
func (m *Manager) checkQuotas() {
	if m.quotas.Quotas == nil {
		return
	}
	type run struct {
		*job
		bytes uint64
	}
	m.mu.Lock()
	var running []run
	for j := range m.active {
		if j.progress != nil && !j.repair {
			if n := j.progress.Bytes.Load(); n > 0 {
				running = append(running, run{j, n})
			}
		}
	}
	m.mu.Unlock()
	for _, r := range running {
		for _, account := range m.waiting(r.job) {
			free, err := m.quotas.reserve(m.ctx, account, r.bytes)
			switch {
			case err == nil:
				free()
			case errors.Is(err, ErrQuota):
				err = m.failAccount(m.ctx, r.job, account, err.Error())
			}
			if err != nil && m.ctx.Err() == nil {
				m.log.Error("check a quota", "cid", r.dag, "account", account, "err", err)
			}
		}
	}
}
