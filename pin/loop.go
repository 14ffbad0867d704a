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
	// tick is how often stalls, turns and parked jobs are checked while there are jobs: the
	// resolution of every timeout here. It is also how often the clock learns that the
	// process runs.
	tick = awake.Beat
	// turnTick is how often turns are checked while others wait for theirs: a quarter of
	// the shortest turn.
	turnTick = minAnswer / 4
	// minAnswer is the shortest turn, whatever the engine says. A small machine can begin
	// about as many turns in it as there are places.
	minAnswer = 200 * time.Millisecond
	// retryMin and retryMax bound the pause before a parked DAG has another turn. It
	// doubles each time.
	retryMin = 5 * time.Second
	retryMax = 5 * time.Minute
)

// loop gives places to jobs and watches the clock, until the manager closes.
func (s *scheduler) loop() {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	crowd := time.NewTimer(turnTick)
	defer crowd.Stop()
	evictAt := s.clock.Now() // while it is crowded, not before this
	for {
		ticked := false
		select {
		case <-s.ctx.Done():
			return
		case <-s.kicked:
		case <-crowd.C:
		case <-ticker.C:
			ticked = true
			s.look(s.clock.Now())
		}
		s.mu.Lock()
		now := s.clock.Now()
		s.fillPlaces(now)
		crowded := s.turns.Crowded()
		if ticked || crowded && !now.Before(evictAt) {
			next := s.evict(now)
			evictAt = now.Add(turnTick)
			if crowded {
				evictAt = now.Add(max(turnTick, cmp.Or(next, minAnswer)))
			}
		}
		if crowded {
			crowd.Reset(evictAt.Sub(now))
		} else if s.turns.Starving() {
			crowd.Reset(turnTick)
		} else if _, wait := s.yielding.may(now); wait > 0 {
			crowd.Reset(wait)
		}
		s.mu.Unlock()
	}
}

// look checks the jobs that run and those that are due. It is called once a tick.
func (s *scheduler) look(now time.Time) {
	s.workers.TakeBack(now)
	s.mu.Lock()
	defer s.mu.Unlock()
	for t := range s.turns.Running() {
		j := s.of(t)
		j.sample()
		s.warnStuck(j, now, nil)
		s.renew(j, now)
	}
	s.refill()
	s.findAdrift(now)
	s.noteSilent(now)
	s.failLate(now)
	s.tryBlocked()
}

// failLate ends the jobs that made no progress for too long, or take too long in all.
func (s *scheduler) failLate(now time.Time) {
	for t := range s.turns.Running() {
		if j := s.of(t); !j.Evicting() && !j.repair && s.late(j, now) {
			s.turns.Ask(t)
			j.cancel(errLate)
		}
	}
	for {
		t := s.turns.Late(now)
		if t == nil {
			return
		}
		j := s.of(t)
		if j.repair {
			s.warnStuck(j, now, nil)
			s.spill(j, true) // so that those on disk have their turns
			continue
		}
		if !s.late(j, now) {
			if s.makesRoom(j, now) && s.turns.HasSpilled(j.Account) {
				s.spill(j, true)
			} else {
				s.setParked(j, j.NextTry())
			}
			continue
		}
		s.turns.Start(t, turns.Again, now)
		s.start(j, now, func(ctx context.Context, j *job) (bool, error) {
			return s.fail(context.WithoutCancel(ctx), j, j.late)
		})
	}
}

// late reports whether a job is to fail because of the time it takes, and notes why.
func (s *scheduler) late(j *job, now time.Time) bool {
	switch {
	case s.cfg.TotalTimeout > 0 && now.Sub(j.began) >= s.cfg.TotalTimeout:
		j.late = fmt.Sprintf("it took longer than the %v that pin.total_timeout allows", s.cfg.TotalTimeout)
	case j.stalled(now, s.patience(j), s.cfg.IdleTimeout):
		j.late = j.stallReason(s.patience(j))
	default:
		return false
	}
	return true
}

// fillPlaces starts jobs that wait, while there are free places.
func (s *scheduler) fillPlaces(now time.Time) {
	for n, _ := s.yielding.may(now); n > 0; n-- {
		t := s.turns.Next(now)
		if t == nil {
			break
		}
		s.yielding.begun(now)
		s.start(s.of(t), now, s.run)
	}
	if now.Sub(s.refilled) >= turnTick {
		s.refill()
	}
}

// evict takes places back from fetches that receive nothing, if others wait. It returns
// after how long there may be more such fetches.
func (s *scheduler) evict(now time.Time) (next time.Duration) {
	n, _ := s.yielding.may(now) // a place is of no use to a turn that may not begin
	out, next := s.turns.Evict(now, n, s.activity)
	for _, t := range out {
		s.of(t).cancel(errEvicted)
	}
	return next
}

// activity says what a job with a place does.
func (s *scheduler) activity(t *turns.Job) turns.Activity {
	j := s.of(t)
	if j.slot == nil || j.progress == nil || j.seeking.IsZero() {
		return turns.Activity{Busy: true}
	}
	l := turns.Activity{Since: j.seeking}
	l.Busy = j.handles()
	if b := j.progress.LastBlock(); b.After(l.Since) {
		l.Since = b
	}
	l.Got = l.Busy || j.progress.Blocks.Load() > 0
	// A peer that says it has the root is asked for it, which may take another round trip.
	if d := j.progress.AnswerTime(); d > 0 && !l.Got && j.progress.Providers.Load() == 0 {
		l.Answers = max(d, minAnswer)
	}
	return l
}

// start runs a job that was given a place.
func (s *scheduler) start(j *job, now time.Time, run func(context.Context, *job) (bool, error)) {
	j.dirty, j.rechecked, j.fresh, j.seeking = false, false, false, time.Time{}
	if j.began.IsZero() {
		j.began = now
	}
	if j.began == now || j.blocked {
		j.moved, j.blocked = now, false
	}
	ctx, cancel := context.WithCancelCause(s.ctx)
	j.cancel = cancel
	turn := func() {
		defer cancel(nil)
		over, err := run(ctx, j)
		if errors.Is(err, context.Canceled) && ctx.Err() != nil {
			err = context.Cause(ctx) // whatever call met the end of ctx
		}
		s.drops.suspect(err)
		s.ended(j, over, err)
	}
	select {
	case s.spare <- turn:
	default:
		s.tasks.run(func() { s.takeTurns(turn) })
	}
}

// maxSpare is how many goroutines wait for another turn after one: some for each worker. A goroutine that
// has had a turn has a stack that is large enough, and a new one has to grow it.
const maxSpare = 64

// takeTurns runs a turn, and others that are given to it after that.
func (s *scheduler) takeTurns(turn func()) {
	for {
		turn()
		if s.spares.Add(1) > maxSpare {
			s.spares.Add(-1)
			return
		}
		select {
		case turn = <-s.spare:
			s.spares.Add(-1)
		case <-s.ctx.Done():
			return
		}
	}
}

// ended decides what becomes of a job whose run ended.
func (s *scheduler) ended(j *job, over bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.kick()
	s.turns.Ended(&j.Job)
	j.cancel = func(error) {} // the other would keep the run's memory; a job that is left as it is at close may be cancelled
	if j.progress != nil {
		j.progress.Providers.Store(0) // no peer is asked until the next run
	}
	j.moved = j.lastMoved()
	if j.progress != nil {
		j.best = max(j.best, j.progress.Blocks.Load())
	}
	begun := j.attempt != 0 && !j.dirty
	if j.attempt != 0 {
		delete(s.attempts, j.attempt)
		j.attempt = 0
	}
	s.drops.add(j.released)
	j.released, j.slot, j.rate = nil, nil, 0
	switch {
	case s.closed():
	case err == nil && over && !j.dirty:
		s.forget(j)
	case err == nil && over: // a request joined meanwhile: it begins anew
		j.began, j.best, j.tries, j.trouble, j.troubles = time.Time{}, 0, 0, "", ""
		j.kept, j.gaveWay, j.progress = Kept{}, false, nil
		s.park(j, 0, begun)
	case errors.Is(err, errReleased) && j.gaveWay:
		j.best, j.progress = 0, nil
		s.park(j, keptPause, begun)
	case errors.Is(err, errRecheck), errors.Is(err, errReleased), errors.Is(err, ErrSuperseded):
		j.trouble = ""
		s.park(j, 0, begun)
	case errors.Is(err, errEvicted):
		j.tries++
		s.park(j, min(j.pauseAfter(), s.cfg.EvictedPause), begun)
	default:
		j.tries++
		j.trouble = troubleText(err)
		s.noteBlocked(j, err)
		pause := backoff(j.tries)
		s.counts.interrupted.Add(1)
		level := slog.LevelWarn
		if j.repair { // which never fails: warnStuck logs it, less often
			level = slog.LevelDebug
			s.warnStuck(j, s.clock.Now(), err)
		}
		if j.members.len() == 0 { // all were removed
			level = slog.LevelDebug
		}
		s.log.Log(s.ctx, level, "pin interrupted", "cid", j.dag, j.requestsLocked(), "err", err, "retry_in", pause)
		s.park(j, pause, begun)
	}
}

// troubleText is what a user sees of an error that a retry may mend. What only an operator
// can act on is in the log.
func troubleText(err error) string {
	if away, ok := errors.AsType[*AwayError](err); ok {
		return away.Reason
	}
	if errors.Is(err, ErrDiskFull) {
		return "the server's disk is too full to store more; it goes on when there is room"
	}
	if errors.Is(err, ErrDamaged) {
		return "the server's database is damaged: its operator has to run holdfast store verify"
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
