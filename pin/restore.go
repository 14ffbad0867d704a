package pin

import (
	"context"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin/turns"
)

// Restorer is what [Manager.Restore] needs beside [Records].
type Restorer interface {
	// Restore makes requests of an account that are in a backup, in one commit; they are at
	// most [RestoresAtOnce], the oldest first. A request keeps its ID and Created if the
	// account has no request as new; else it gets new ones. If the account has a request with
	// its ID, that one is returned, and none is made; if it failed since the backup, it is tried
	// again. A failed request is failed again. Any other is pinned if its DAG is complete, and else queued. If it was pinned in the backup,
	// its DAG is from then on one that was complete: no quota and no limit applies to it.
	// made is how many were made or are tried again.
	// Errors: ErrTooFast, ErrDiskFull.
	Restore(ctx context.Context, account string, was []Request) (now []Request, made int, err error)
}

// RestoresAtOnce is how many requests one commit restores: some 20 keys each.
const RestoresAtOnce = 128

// Restore makes requests of a backup, and begins to bring their DAGs here. It returns when the
// requests are durable. Errors: those of the [Restorer].
func (m *Manager) Restore(ctx context.Context, r Restorer, account string, was []Request) (made int, err error) {
	if err := m.enter(); err != nil {
		return 0, err
	}
	defer m.calls.Done()
	var now []Request
	err = m.patiently(ctx, func() (err error) {
		now, made, err = r.Restore(ctx, account, was)
		return err
	})
	for _, one := range now { // a job knows which of its requests it has
		m.jobs.joined(one)
	}
	return made, err
}

// Reach says how far the fetch of a DAG comes.
type Reach uint8

const (
	// ReachedEnd: no request waits for the DAG. Each is pinned, has failed, or was removed.
	ReachedEnd Reach = iota
	// ReachesOn: the fetch waits for its turn or for a worker, or finds blocks.
	ReachesOn
	// ReachesNoFurther: the fetch holds all that it came to, and has found nothing more for
	// [Config.IdleTimeout], or was put off.
	ReachesNoFurther
)

// Reach says how far the fetch of a DAG comes for which requests of an account wait. It reads the
// records only if no fetch goes on. Errors: those of the records.
func (m *Manager) Reach(ctx context.Context, account string, d DAG) (Reach, error) {
	known, on := m.jobs.goesOn(d)
	if on {
		return ReachesOn, nil
	}
	waits := func(statuses ...Status) (bool, error) {
		page, err := m.requests.List(ctx, account, Query{Statuses: statuses, DAGs: []DAG{d}, Limit: 1})
		return len(page.Requests) > 0, err
	}
	some, err := waits(Queued, Pinning)
	if err != nil || !some {
		return ReachedEnd, err
	}
	if !known { // then requests that have had no turn wait on disk for their first
		if queued, err := waits(Queued); err != nil || queued {
			return ReachesOn, err
		}
	}
	return ReachesNoFurther, nil
}

// goesOn reports whether there is a job for a DAG in memory, and whether that goes on.
func (s *scheduler) goesOn(d DAG) (known, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.jobs[d]
	return j != nil, j != nil && j.goesOn(s.clock.Now(), s.cfg.IdleTimeout)
}

// goesOn reports whether a job waits for its turn or for a worker, or has found a block within idle.
func (j *job) goesOn(now time.Time, idle time.Duration) bool {
	switch {
	case j.State() == turns.Parked:
		return j.Woken()
	case j.State() != turns.Running || j.slot == nil || j.progress == nil || j.rechecked:
		return true
	}
	if j.handles() {
		return true
	}
	last := j.Started()
	if b := j.progress.LastBlock(); b.After(last) {
		last = b
	}
	return now.Sub(last) < idle
}

// Again has the fetch of a DAG begin anew at once, if it reaches no further and requests of an account
// wait for it: it may find more now. Errors: those of the records.
func (m *Manager) Again(ctx context.Context, account string, d DAG) error {
	page, err := m.requests.List(ctx, account, Query{Statuses: []Status{Queued, Pinning}, DAGs: []DAG{d}, Limit: 1})
	if err == nil && len(page.Requests) > 0 {
		m.jobs.again(page.Requests[0])
	}
	return err
}

// again has the job for a request tried, and makes it if the request is on disk alone.
func (s *scheduler) again(r Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch j := s.jobs[r.DAG()]; {
	case j == nil:
		s.enqueue(r, true)
	case j.goesOn(s.clock.Now(), s.cfg.IdleTimeout):
	case j.State() == turns.Running:
		j.rechecked = true
		j.cancel(errRecheck)
	default:
		s.turns.Wake(&j.Job)
	}
	s.kick()
}
