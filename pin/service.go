package pin

import (
	"context"
	"errors"
	"time"
)

// made reports whether a change was made, by the error of the method that was to make it.
func made(err error) bool { return err == nil || errors.Is(err, ErrInDoubt) }

// viewed runs a client's call and returns the view of the request that it ends with.
func (m *Manager) viewed(call func() (Request, error)) (View, error) {
	if err := m.enter(); err != nil {
		return View{}, err
	}
	defer m.calls.Done()
	r, err := call()
	if !made(err) {
		return View{}, err
	}
	return m.view(r), err
}

// admit says why a request may not be made; nil if it may.
func (m *Manager) admit(s Spec) error {
	if m.cfg.Admit != nil {
		if err := m.cfg.Admit(s); err != nil {
			return err
		}
	}
	return m.denied(s.DAG())
}

// Add makes a request. It returns when the request is durable. After ErrInDoubt the
// request is processed as after a success; that holds for every method that changes
// something.
// Errors: those of [Requests].Add, ErrDenied, and what [Config].Admit returns.
func (m *Manager) Add(ctx context.Context, account string, s Spec) (View, error) {
	return m.viewed(func() (r Request, err error) {
		if err := m.admit(s); err != nil {
			return Request{}, err
		}
		err = m.patiently(ctx, func() (err error) {
			return m.jobs.asked(func() (err error) {
				r, err = m.requests.Add(ctx, account, s)
				return err
			})
		})
		m.full.pinRefused(err)
		if made(err) {
			m.jobs.joined(r)
		}
		return r, err
	})
}

// Replace removes a request and makes another in its place, in one step. What the old
// one held is kept until the new one is done.
// Errors: those of [Requests].Replace, ErrDenied, and what [Config].Admit returns.
func (m *Manager) Replace(ctx context.Context, account, id string, s Spec) (View, error) {
	return m.viewed(func() (r Request, err error) {
		if err := m.admit(s); err != nil {
			return Request{}, err
		}
		var (
			old      Request
			released []Attempt
		)
		err = m.patiently(ctx, func() (err error) {
			r, old, released, err = m.requests.Replace(ctx, account, id, s)
			return err
		})
		m.full.pinRefused(err)
		if !made(err) {
			return Request{}, err
		}
		if old.ID == "" { // it was made by an earlier call
			return r, err
		}
		m.log.Info("pin replaced", "cid", r.DAG(), "requestid", r.ID, "account", account,
			"was_cid", old.DAG(), "was_requestid", old.ID)
		m.jobs.joined(r)
		m.jobs.left(old)
		m.drops.add(released)
		return r, err
	})
}

const (
	// Created tells requests of an account apart by the millisecond. An account that
	// makes them faster is slowed down for tooFastWait before it is refused.
	tooFastWait  = 2 * time.Second
	tooFastPause = 20 * time.Millisecond
)

// patiently is unhurried, once more if the disk is full and something gave way.
func (m *Manager) patiently(ctx context.Context, try func() error) error {
	err := m.unhurried(ctx, try)
	if errors.Is(err, ErrDiskFull) && m.graces.giveWay(ctx, err) {
		err = m.unhurried(ctx, try)
	}
	return err
}

// unhurried calls try, again as long as it returns ErrTooFast, for tooFastWait.
func (m *Manager) unhurried(ctx context.Context, try func() error) error {
	for deadline := time.Now().Add(tooFastWait); ; {
		err := try()
		if !errors.Is(err, ErrTooFast) || !time.Now().Before(deadline) {
			return err
		}
		select {
		case <-time.After(tooFastPause):
		case <-ctx.Done():
			return ctx.Err()
		case <-m.ctx.Done():
			return err
		}
	}
}

// Remove deletes a request, and stops a fetch that no other request wants.
// Errors: ErrNotFound.
func (m *Manager) Remove(ctx context.Context, account, id string) error {
	if err := m.enter(); err != nil {
		return err
	}
	defer m.calls.Done()
	old, err := m.remove(ctx, account, id)
	if err == nil {
		m.log.Info("pin removed", "cid", old.DAG(), "requestid", old.ID, "account", account)
	}
	return err
}

func (m *Manager) remove(ctx context.Context, account, id string) (Request, error) {
	return m.removed(m.requests.Remove(ctx, account, id))
}

// removed sees to what follows when a request was removed.
func (m *Manager) removed(old Request, released []Attempt, err error) (Request, error) {
	m.full.removalRefused(err)
	if !made(err) {
		return Request{}, err
	}
	m.jobs.left(old)
	m.drops.add(released)
	return old, err
}

// RemoveAll deletes every request of an account and returns how many those were. It
// writes one log line for all. Requests that are made meanwhile may stay.
func (m *Manager) RemoveAll(ctx context.Context, account string) (removed int, err error) {
	if err := m.enter(); err != nil {
		return 0, err
	}
	defer m.calls.Done()
	removed, err = removeAll(ctx, m.requests, account, func(ctx context.Context, account, id string) error {
		_, err := m.remove(ctx, account, id)
		return err
	})
	if err == nil { // what it has unpinned before does not linger without it
		_, err = m.graces.endAll(ctx, "what an account has unpinned does not linger any more", func() (Ended, bool, error) {
			return m.graces.records.EndLingering(ctx, account, 0)
		})
	}
	if removed > 0 {
		m.log.Info("all pins of an account removed", "account", account, "requests", removed)
	}
	return removed, err
}

// Retry tries a failed request again. Errors: ErrNotFound, ErrNotFailed, ErrQuota,
// ErrDenied.
func (m *Manager) Retry(ctx context.Context, account, id string) (View, error) {
	return m.viewed(func() (r Request, err error) {
		if r, err = m.requests.Get(ctx, account, id); err != nil {
			return Request{}, err
		}
		if err := m.denied(r.DAG()); err != nil {
			return Request{}, err
		}
		r, err = m.requests.Retry(ctx, account, id)
		m.full.pinRefused(err)
		if made(err) {
			m.jobs.joined(r)
		}
		return r, err
	})
}

// Get reads a request. Errors: ErrNotFound.
func (m *Manager) Get(ctx context.Context, account, id string) (View, error) {
	v, err := m.viewed(func() (Request, error) { return m.requests.Get(ctx, account, id) })
	if err == nil && v.Status == Pinning {
		v.Totals.By = m.jobs.delivered(v.DAG())
	}
	v.tellDelivered()
	if d, ok := m.engine.(Describer); ok && err == nil {
		v.describe(ctx, d, true)
	}
	return v, err
}

// List reads a page of an account's requests, newest first.
func (m *Manager) List(ctx context.Context, account string, q Query) (ViewPage, error) {
	if err := m.enter(); err != nil {
		return ViewPage{}, err
	}
	defer m.calls.Done()
	page, err := m.requests.List(ctx, account, q)
	if err != nil {
		return ViewPage{}, err
	}
	views := make([]View, len(page.Requests))
	for i, r := range page.Requests {
		views[i] = m.view(r)
	}
	return ViewPage{Count: page.Count, Views: views}, nil
}
