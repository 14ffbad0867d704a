package pin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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
	// wakeInterval is the least time between two wakings of parked DAGs because
	// some peer came: each of them asks every connected peer.
	wakeInterval = 5 * time.Second
	// wakePart is the part of the places that so many may displace at a time as
	// are woken: with peers coming all the time, a DAG keeps its place for 20 s.
	wakePart = 4
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
			m.mu.Lock()
			m.fillPlaces(time.Now())
			m.mu.Unlock()
		case <-ticker.C:
			m.look(time.Now())
		}
	}
}

// look goes through the jobs that run and those whose time has come, once a tick.
func (m *Manager) look(now time.Time) {
	m.workers.takeBack(now)
	m.mu.Lock()
	defer m.mu.Unlock()
	for j := range m.active {
		j.sample()
		m.warnStuck(j, now, nil)
	}
	m.refill()
	m.failLate(now)
	m.tryBlocked()
	m.fillPlaces(now)
	if len(m.active) >= m.cfg.Seekers {
		m.evict(now, len(m.woken)+m.queue.waiting(m.cfg.Seekers), m.parked.tries.countDue(now, m.cfg.Seekers))
	}
}

// refill reads more of the queues that are partly on disk, and of what was put off.
func (m *Manager) refill() {
	for _, l := range m.queue.accounts {
		if l.tried.more && !l.tried.reading && m.parked.roomy(l.account) {
			m.readPutOff(l)
		}
	}
	for _, l := range m.queue.hungry() {
		l.reading = true
		tail := l.tail
		m.wg.Go(func() {
			rs, err := m.records.UnfinishedAfter(m.ctx, l.account, Queued, tail, m.cfg.Window)
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
	for j := range m.active {
		if !j.evicting && !j.repair && m.late(j, now) {
			j.evicting = true
			m.evicting++
			j.cancel(errLate)
		}
	}
	for {
		j := m.parked.ends.due(now)
		if j == nil {
			return
		}
		if j.repair {
			m.warnStuck(j, now, nil)
			m.putOff(j, true) // so that those which are put off have their turns
			continue
		}
		m.late(j, now)
		m.start(j, now, func(ctx context.Context, j *job) (bool, error) {
			return m.fail(context.WithoutCancel(ctx), j, j.late)
		})
	}
}

// late reports whether a job is to fail for the time it takes, and notes why.
func (m *Manager) late(j *job, now time.Time) bool {
	switch {
	case m.cfg.TotalTimeout > 0 && now.Sub(j.began) >= m.cfg.TotalTimeout:
		j.late = fmt.Sprintf("it took longer than the %v that pin.total_timeout allows", m.cfg.TotalTimeout)
	case j.stalled(now, m.cfg.StallTimeout, m.cfg.IdleTimeout):
		j.late = m.stallReason(j)
	default:
		return false
	}
	return true
}

// deadline is when a parked job is late, unless it gets further; zero is never. One
// that is a repair does not fail then, and makes room.
func (m *Manager) deadline(j *job) (at time.Time) {
	if j.began.IsZero() {
		return at // its clocks start with its first run
	}
	if !j.blocked {
		at = j.moved.Add(m.cfg.StallTimeout)
	}
	if m.cfg.TotalTimeout > 0 && !j.repair {
		at = earlier(at, j.began.Add(m.cfg.TotalTimeout))
	}
	return at
}

// fillPlaces starts what waits while there are places. Every second place is the
// queue's: however many jobs are tried again, new ones are not behind them. Those
// that were woken and those that are due share the others.
func (m *Manager) fillPlaces(now time.Time) {
	due := func() *job { return m.parked.tries.due(now) }
	turns := [...][]func() *job{
		{m.queue.pop, m.nextWoken, due},
		{m.nextWoken, due, m.queue.pop},
		{m.queue.pop, due, m.nextWoken},
		{due, m.nextWoken, m.queue.pop},
	}
	for len(m.active) < m.cfg.Seekers {
		var j *job
		for _, next := range turns[m.turn%len(turns)] {
			if j = next(); j != nil {
				break
			}
		}
		if j == nil {
			return
		}
		m.turn++
		m.start(j, now, m.run)
	}
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
	for j := range m.active {
		if j.evicting || j.slot == nil || j.progress == nil {
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
	m.parked.remove(j)
	m.active[j] = struct{}{}
	j.state, j.started, j.woken, j.dirty, j.past = jobRunning, now, false, false, false
	j.ended = make(chan struct{})
	if j.began.IsZero() {
		j.began = now
	}
	if j.began == now || j.blocked {
		j.moved, j.blocked = now, false
	}
	ctx, cancel := context.WithCancelCause(m.ctx)
	j.cancel = cancel
	m.wg.Go(func() {
		defer cancel(nil)
		over, err := run(ctx, j)
		if errors.Is(err, context.Canceled) && ctx.Err() != nil {
			err = context.Cause(ctx) // whatever it was that the end was met in
		}
		m.ended(j, over, err)
	})
}

// ended decides what becomes of a job whose run ended.
func (m *Manager) ended(j *job, over bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	defer m.kick()
	delete(m.active, j)
	defer close(j.ended)
	if j.progress != nil {
		j.progress.Providers.Store(0) // nobody is asked until the next run
	}
	if j.evicting {
		j.evicting = false
		m.evicting--
	}
	j.moved = j.lastMoved()
	if j.progress != nil {
		j.best = max(j.best, j.progress.Blocks.Load())
	}
	begun := j.attempt != 0 && !j.dirty
	if j.attempt != 0 {
		delete(m.attempts, j.attempt)
		j.attempt = 0
	}
	m.queueDrops(j.drop)
	j.drop, j.slot, j.rate = nil, nil, 0
	switch {
	case m.closed:
	case err == nil && over && !j.dirty:
		m.forget(j)
	case err == nil && over: // and somebody joined, for whom it begins anew
		j.began, j.best, j.tries, j.trouble = time.Time{}, 0, 0, ""
		m.park(j, 0, begun)
	case errors.Is(err, errRecheck), errors.Is(err, errReleased), errors.Is(err, ErrSuperseded):
		j.trouble = ""
		m.park(j, 0, begun)
	case errors.Is(err, errEvicted):
		j.tries++
		m.park(j, backoff(j.tries), begun)
	default:
		j.tries++
		j.trouble = troubleText(err)
		m.noteFull(j, err)
		pause := backoff(j.tries)
		m.counts.interrupted.Add(1)
		level := slog.LevelWarn
		if j.repair { // which goes on for ever: warnStuck tells less often
			level = slog.LevelDebug
			m.warnStuck(j, time.Now(), err)
		}
		if len(j.members) == 0 { // they were removed: nobody waits for it
			level = slog.LevelDebug
		}
		m.log.Log(m.ctx, level, "pin interrupted", "cid", j.dag, j.whoLocked(), "err", err, "retry_in", pause)
		m.park(j, pause, begun)
	}
}

// troubleText is what a user is told of an error that a retry may mend. What
// only an operator can act on is in the log.
func troubleText(err error) string {
	if errors.Is(err, ErrDiskFull) {
		return "the server's disk is too full to store more; it goes on when there is room"
	}
	if errors.Is(err, ErrUnwritable) || errors.Is(err, ErrInDoubt) {
		return "the server cannot write to its disk; it goes on when that works again"
	}
	return "an error of the server's own, which its log has"
}

// backoff is the pause after the n-th run without success, n from 1.
func backoff(n int) time.Duration {
	return min(retryMin<<min(n-1, 10), retryMax)
}
