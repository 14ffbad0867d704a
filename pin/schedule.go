package pin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

const (
	// tick is how often stalls, slices and parked pins are looked at while
	// there are jobs: the resolution of every timeout here.
	tick = time.Second
	// seekSlice is how long a DAG that receives nothing keeps its place while
	// new ones wait: long enough to dial an origin and ask it, and so short
	// that 1,000 dead CIDs hold up a live one for two turns of 512, 4 s.
	seekSlice = 2 * time.Second
	// retryMin and retryMax bound the pause before a parked DAG has another
	// turn; it doubles with each.
	retryMin = 5 * time.Second
	retryMax = 5 * time.Minute
	// wakeInterval is the least time between two wakings of all parked DAGs:
	// each of them asks every connected peer.
	wakeInterval = 5 * time.Second
	// tellFullAgain is how often the log has that the disk is full.
	tellFullAgain = 5 * time.Minute
)

// kick makes the loop look at once.
func (m *Manager) kick() {
	select {
	case m.kicked <- struct{}{}:
	default:
	}
}

// loop gives places to jobs, and watches the clock, until the manager closes.
func (m *Manager) loop() {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-m.kicked:
			// What comes with every request must not look at every job.
			m.mu.Lock()
			m.fillPlaces(time.Now(), nil)
			m.mu.Unlock()
		case <-ticker.C:
			m.look(time.Now())
		}
	}
}

// look goes through all jobs, once a tick.
func (m *Manager) look(now time.Time) {
	m.workers.takeBack(now)
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, j := range m.jobs {
		j.sample()
	}
	m.refill()
	m.failLate(now)
	due := m.fillPlaces(now, m.due(now))
	if m.running >= m.cfg.Seekers {
		m.evict(now, len(m.woken)+m.queue.waiting(m.cfg.Seekers), len(due))
	}
}

// refill reads more of the queues that are partly on disk.
func (m *Manager) refill() {
	for _, l := range m.queue.hungry() {
		l.reading = true
		tail := l.tail
		m.wg.Go(func() {
			rs, err := m.records.QueuedAfter(m.ctx, l.account, tail, m.cfg.Window)
			m.mu.Lock()
			defer m.mu.Unlock()
			if err != nil {
				m.queue.read(l, tail, true) // the next tick tries again
				if m.ctx.Err() == nil {
					m.log.Error("read more of the queue", "account", l.account, "err", err)
				}
				return
			}
			more := len(rs) == m.cfg.Window
			for _, r := range rs {
				if len(l.waiting) >= m.cfg.Window {
					more = true
					break
				}
				m.enqueue(r)
				tail = r.Created
			}
			m.queue.read(l, tail, more)
			m.kick()
		})
	}
}

// failLate ends the jobs that got no further for too long, or take too long in
// all.
func (m *Manager) failLate(now time.Time) {
	for _, j := range m.jobs {
		if j.state == jobWaiting || j.evicting {
			continue
		}
		switch {
		case m.cfg.TotalTimeout > 0 && now.Sub(j.began) >= m.cfg.TotalTimeout:
			j.late = fmt.Sprintf("it took longer than the %v that pin.total_timeout allows", m.cfg.TotalTimeout)
		case j.stalled(now, m.cfg.StallTimeout, m.cfg.IdleTimeout):
			j.late = m.stallReason(j)
		default:
			continue
		}
		if j.state == jobRunning {
			j.evicting = true
			m.evicting++
			j.cancel(errLate)
		} else {
			m.start(j, now, func(ctx context.Context, j *job) (bool, error) {
				return true, m.fail(context.WithoutCancel(ctx), j, j.late)
			})
		}
	}
}

// fillPlaces starts what waits while there are places: woken jobs first, then
// the queue, then those parked jobs that are given. It gives what is left of
// these.
func (m *Manager) fillPlaces(now time.Time, due []*job) []*job {
	for m.running < m.cfg.Seekers {
		j := m.nextWoken()
		if j == nil {
			j = m.queue.pop()
		}
		if j == nil {
			if len(due) == 0 {
				break
			}
			j, due = due[0], due[1:]
		}
		m.start(j, now, m.run)
	}
	return due
}

// wake lets a parked job be tried again before its time.
func (m *Manager) wake(j *job) {
	if j.state == jobParked && !j.woken {
		j.woken = true
		m.woken = append(m.woken, j)
	}
}

// nextWoken takes the job that was woken first, nil if there is none.
func (m *Manager) nextWoken() *job {
	for len(m.woken) > 0 {
		j := m.woken[0]
		m.woken[0] = nil
		m.woken = m.woken[1:]
		if j.state == jobParked && j.woken {
			return j
		}
	}
	return nil
}

// due gives the parked jobs whose pause is over, those first that have waited
// longest. Jobs that were woken are not among them.
func (m *Manager) due(now time.Time) (due []*job) {
	for j := range m.parked {
		if !j.woken && !now.Before(j.nextTry) {
			due = append(due, j)
		}
	}
	slices.SortFunc(due, func(a, b *job) int { return a.nextTry.Compare(b.nextTry) })
	return due
}

// evict takes back places from fetches that receive nothing, for as many as
// are waiting: new jobs displace after a short slice, parked ones that are due
// again after the idle timeout.
func (m *Manager) evict(now time.Time, fresh, due int) {
	need := fresh + due - m.evicting
	if need <= 0 {
		return
	}
	type seeker struct {
		j     *job
		since time.Time
	}
	var idle []seeker
	for _, j := range m.jobs {
		if j.state != jobRunning || j.evicting || j.slot == nil || j.progress == nil {
			continue
		}
		if waits, held := j.slot.state(); waits || held {
			continue
		}
		since := j.started
		if b := j.progress.LastBlock(); b.After(since) {
			since = b
		}
		slice := seekSlice
		if fresh <= m.evicting {
			slice = m.cfg.IdleTimeout
		}
		if now.Sub(since) >= slice {
			idle = append(idle, seeker{j, since})
		}
	}
	slices.SortFunc(idle, func(a, b seeker) int { return a.since.Compare(b.since) })
	for _, s := range idle[:min(need, len(idle))] {
		s.j.evicting = true
		m.evicting++
		s.j.cancel(errEvicted)
	}
}

// start gives a job a place and runs it there.
func (m *Manager) start(j *job, now time.Time, run func(context.Context, *job) (bool, error)) {
	delete(m.parked, j)
	j.state, j.started, j.woken, j.dirty = jobRunning, now, false, false
	if j.began.IsZero() {
		j.began = now
	}
	if j.began == now || j.blocked {
		j.moved, j.blocked = now, false
	}
	m.running++
	ctx, cancel := context.WithCancelCause(m.ctx)
	j.cancel = cancel
	m.wg.Go(func() {
		defer cancel(nil)
		over, err := run(ctx, j)
		m.ended(j, over, err)
	})
}

// ended decides what becomes of a job whose run ended.
func (m *Manager) ended(j *job, over bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	defer m.kick()
	m.running--
	if j.evicting {
		j.evicting = false
		m.evicting--
	}
	j.moved = j.lastMoved()
	if j.progress != nil {
		j.best = max(j.best, j.progress.Blocks.Load())
	}
	if j.attempt != 0 {
		delete(m.attempts, j.attempt)
		j.attempt = 0
	}
	m.queueDrops(j.drop)
	j.drop, j.slot, j.rate = nil, nil, 0
	switch {
	case m.closed:
	case err == nil && over && !j.dirty:
		delete(m.jobs, j.dag)
	case err == nil && over: // and somebody joined, for whom it begins anew
		j.began, j.best, j.tries, j.trouble = time.Time{}, 0, 0, ""
		m.park(j, 0)
	case errors.Is(err, errRecheck), errors.Is(err, errReleased), errors.Is(err, ErrSuperseded):
		j.trouble = ""
		m.park(j, 0)
	case errors.Is(err, errEvicted):
		j.tries++
		m.park(j, backoff(j.tries))
	default:
		j.tries++
		j.trouble = troubleText(err)
		j.blocked = errors.Is(err, ErrDiskFull)
		pause := backoff(j.tries)
		m.counts.interrupted.Add(1)
		m.log.Warn("pin interrupted", "cid", j.dag, j.whoLocked(), "err", err, "retry_in", pause)
		m.park(j, pause)
	}
}

// park puts a job aside. With no pause it is next.
func (m *Manager) park(j *job, pause time.Duration) {
	j.state = jobParked
	j.nextTry = time.Now().Add(pause)
	m.parked[j] = struct{}{}
	if pause == 0 {
		m.wake(j)
	}
}

// troubleText is what a user is told of an error that a retry may mend. What
// only an operator can act on is in the log.
func troubleText(err error) string {
	if errors.Is(err, ErrDiskFull) {
		return "the server's disk is too full to store more; it goes on when there is room"
	}
	return "an error of the server's own, which its log has"
}

// backoff is the pause after the n-th run without success, n from 1.
func backoff(n int) time.Duration {
	return min(retryMin<<min(n-1, 10), retryMax)
}

// drop takes note of attempts that were released. They are dropped once no run
// writes under them.
func (m *Manager) drop(released []Attempt) {
	if len(released) == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.queueDrops(released)
}

func (m *Manager) queueDrops(as []Attempt) {
	if len(as) == 0 {
		return
	}
	m.drops = append(m.drops, as...)
	select {
	case m.dropKick <- struct{}{}:
	default:
	}
}

// dropLoop drops what released attempts hold, one attempt at a time.
func (m *Manager) dropLoop() {
	pause := time.Duration(0)
	for {
		m.mu.Lock()
		batch := m.drops
		m.drops = nil
		m.mu.Unlock()
		var failed []Attempt
		for _, a := range batch {
			m.withdraw(a)
			if !m.mayDrop(a) {
				continue
			}
			if err := m.records.Drop(m.ctx, a); err != nil {
				if m.ctx.Err() != nil || errors.Is(err, ErrClosed) {
					return // the mark is durable; the next start goes on
				}
				m.log.Error("drop what was unpinned", "attempt", a, "err", err)
				failed = append(failed, a)
			}
		}
		var again <-chan time.Time
		if len(failed) > 0 {
			m.mu.Lock()
			m.drops = append(m.drops, failed...)
			m.mu.Unlock()
			pause = min(max(2*pause, retryMin), retryMax)
			again = time.After(pause)
		} else {
			pause = 0
		}
		select {
		case <-m.ctx.Done():
			return
		case <-m.dropKick:
		case <-again:
		}
	}
}

// withdraw has the network told no more of the DAG of a released attempt, which
// may have been pinned again meanwhile: the fetcher looks.
func (m *Manager) withdraw(a Attempt) {
	d, err := m.records.ReleasedDAG(m.ctx, a)
	if err == nil {
		m.fetcher.Withdraw(d)
	} else if m.ctx.Err() == nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrClosed) {
		m.log.Error("withdraw what is not pinned any more", "attempt", a, "err", err)
	}
}

// mayDrop reports whether nothing writes under the attempt. If something does,
// it is stopped, and the attempt comes back when it has.
func (m *Manager) mayDrop(a Attempt) bool {
	// Every Begin that could still have been given the attempt has been noted
	// once this lock was had: a later one cannot get it.
	m.beginning.Lock()
	//lint:ignore SA2001 a barrier: there is nothing to guard
	m.beginning.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	j := m.attempts[a]
	if j == nil {
		return true
	}
	j.drop = append(j.drop, a)
	j.cancel(errReleased)
	return false
}
