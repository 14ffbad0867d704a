package pin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/holdfast-ipfs/holdfast/internal/awake"
	"github.com/holdfast-ipfs/holdfast/pin/turns"
)

const (
	// tick is how often stalls, slices and parked pins are looked at while
	// there are jobs: the resolution of every timeout here. It is also how often
	// the clock is told that the process runs.
	tick = awake.Beat
	// turnTick is how often it is looked who has had a turn, while others wait for
	// theirs: a quarter of the shortest one.
	turnTick = minAnswer / 4
	// minAnswer is the shortest turn, whatever the fetcher says: as many turns a second
	// as there are places in it are as much as a small machine does.
	minAnswer = 200 * time.Millisecond
	// slice is how long a DAG that receives nothing keeps its place while
	// new ones wait: long enough to dial an origin and ask it, and no longer, since
	// what is asked for now may wait so long for a place.
	slice = 2 * time.Second
	// retryMin and retryMax bound the pause before a parked DAG has another
	// turn; it doubles with each.
	retryMin = 5 * time.Second
	retryMax = 5 * time.Minute
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
	crowd := time.NewTimer(turnTick)
	defer crowd.Stop()
	evictAt := m.clock.Now() // not before this, as long as it is crowded
	for {
		ticked := false
		select {
		case <-m.ctx.Done():
			return
		case <-m.kicked:
		case <-crowd.C:
		case <-ticker.C:
			ticked = true
			m.look(m.clock.Now())
		}
		m.mu.Lock()
		now := m.clock.Now()
		m.fillPlaces(now)
		crowded := m.turns.Crowded()
		if ticked || crowded && !now.Before(evictAt) {
			next := m.evict(now)
			evictAt = now.Add(turnTick)
			if crowded {
				evictAt = now.Add(max(turnTick, cmp.Or(next, minAnswer)))
			}
		}
		if crowded {
			crowd.Reset(evictAt.Sub(now))
		} else if m.turns.Starving() {
			crowd.Reset(turnTick)
		}
		m.mu.Unlock()
	}
}

// look goes through the jobs that run and those whose time has come, once a tick.
func (m *Manager) look(now time.Time) {
	m.workers.TakeBack(now)
	m.mu.Lock()
	defer m.mu.Unlock()
	for t := range m.turns.Running() {
		j := m.of(t)
		j.sample()
		m.warnStuck(j, now, nil)
	}
	m.refill()
	m.failLate(now)
	m.tryBlocked()
}

// failLate ends the jobs that got no further for too long, or take too long in
// all.
func (m *Manager) failLate(now time.Time) {
	for t := range m.turns.Running() {
		if j := m.of(t); !j.Evicting() && !j.repair && m.late(j, now) {
			m.turns.Ask(t)
			j.cancel(errLate)
		}
	}
	for {
		t := m.turns.Late(now)
		if t == nil {
			return
		}
		j := m.of(t)
		if j.repair {
			m.warnStuck(j, now, nil)
			m.putOff(j, true) // so that those which are put off have their turns
			continue
		}
		m.late(j, now)
		m.turns.Start(t, turns.Again, now)
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
		if total := j.began.Add(m.cfg.TotalTimeout); at.IsZero() || total.Before(at) {
			at = total
		}
	}
	return at
}

// fillPlaces starts what waits while there are places.
func (m *Manager) fillPlaces(now time.Time) {
	for t := m.turns.Next(now); t != nil; t = m.turns.Next(now) {
		m.start(m.of(t), now, m.run)
	}
	if now.Sub(m.refilled) >= turnTick {
		m.refill()
	}
}

// evict takes back places from fetches that receive nothing, if others wait. It gives
// after how long there may be more of them.
func (m *Manager) evict(now time.Time) (next time.Duration) {
	out, next := m.turns.Evict(now, m.lookAt)
	for _, t := range out {
		m.of(t).cancel(errEvicted)
	}
	return next
}

// lookAt says what a job does that has a place.
func (m *Manager) lookAt(t *turns.Job) turns.Look {
	j := m.of(t)
	if j.slot == nil || j.progress == nil || j.seeking.IsZero() {
		return turns.Look{Busy: true}
	}
	l := turns.Look{Since: j.seeking}
	if waits, held := j.slot.State(); waits || held {
		l.Busy = true
	}
	if b := j.progress.LastBlock(); b.After(l.Since) {
		l.Since = b
	}
	l.Got = l.Busy || j.progress.Blocks.Load() > 0
	// Who says to have it is asked for it: that may take a second round trip.
	if d := j.progress.AnswerTime(); d > 0 && !l.Got && j.progress.Providers.Load() == 0 {
		l.Answers = max(d, minAnswer)
	}
	return l
}

// start runs a job that was given a place.
func (m *Manager) start(j *job, now time.Time, run func(context.Context, *job) (bool, error)) {
	j.dirty, j.past, j.seeking = false, false, time.Time{}
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
	m.turns.Ended(&j.Job)
	defer close(j.ended)
	j.cancel = nil // so that what belongs to the run goes with it
	if j.progress != nil {
		j.progress.Providers.Store(0) // nobody is asked until the next run
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
			m.warnStuck(j, m.clock.Now(), err)
		}
		if j.members.len() == 0 { // they were removed: nobody waits for it
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
