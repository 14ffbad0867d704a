package pin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// run tries once to bring the job's DAG to its place. over says that nothing is left to
// do for the job's requests.
func (s *scheduler) run(ctx context.Context, j *job) (over bool, err error) {
	leave, err := s.gates.pass(ctx, j.dag, j.cancel)
	if err != nil {
		return false, err
	}
	defer leave()
	over, err = s.try(ctx, j)
	s.changes.tell(j.dag, Change{})
	if over {
		s.mu.Lock()
		s.repairs.forget(j.dag)
		s.mu.Unlock()
	}
	return over, err
}

// try is run without what surrounds it.
func (s *scheduler) try(ctx context.Context, j *job) (over bool, err error) {
	a, complete, err := s.begin(ctx, j)
	switch {
	case errors.Is(err, ErrNotFound):
		return true, nil // no request waits for it any more
	case err != nil:
		return false, fmt.Errorf("begin: %w", err)
	case complete:
		return s.settled(ctx, j)
	}
	kept, repair, err := s.work.Kept(ctx, j.dag)
	if err != nil {
		return false, fmt.Errorf("look what is here of it: %w", err)
	}
	if !repair {
		s.recall(j, kept)
	}
	job, requests := s.prepare(j, a, repair)
	totals, err := s.engine.Fetch(ctx, job)
	job.Slot.Release()
	// What is decided now is recorded even if the run is cancelled meanwhile.
	record := context.WithoutCancel(ctx)
	var refused *RefusedError
	switch {
	case err == nil:
		return s.complete(record, j, job, totals, requests)
	case errors.As(err, &refused):
		return s.fail(record, j, refused.Reason)
	case errors.Is(context.Cause(ctx), errLate):
		return s.fail(record, j, j.late)
	}
	if !errors.Is(context.Cause(ctx), errReleased) {
		s.note(record, j, a)
	}
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	return false, err
}

// begin gets the job's attempt and notes that the run writes under it from now on.
func (s *scheduler) begin(ctx context.Context, j *job) (a Attempt, complete bool, err error) {
	s.beginning.RLock() // mayDrop waits for this
	defer s.beginning.RUnlock()
	a, complete, err = s.work.Begin(ctx, j.dag)
	if err == nil && !complete {
		s.mu.Lock()
		j.attempt = a
		s.attempts[a] = j
		s.mu.Unlock()
	}
	return a, complete, err
}

// settled ends the run of a job whose DAG turned out to be complete.
func (s *scheduler) settled(ctx context.Context, j *job) (over bool, err error) {
	// The requests that Begin settled may have let go of something.
	if err := s.drops.find(ctx); err != nil {
		return false, fmt.Errorf("read what was released: %w", err)
	}
	s.engine.Announce(j.dag) // the run that made it complete may not have come to this
	return true, nil
}

// prepare makes what the engine is given. requests names those that wait for the job.
func (s *scheduler) prepare(j *job, a Attempt, repair bool) (_ Job, requests slog.Attr) {
	limits := s.cfg.Limits
	if repair {
		limits = Limits{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	j.repair, j.fresh = repair, false
	j.endTroubles()
	before := j.progress
	j.progress = &Progress{now: s.clock.Now}
	if before != nil {
		j.progress.delivered = before.Delivered()
	}
	j.slot, j.seeking = s.workers.Slot(j.Account), s.clock.Now()
	return Job{
		DAG: j.dag, Root: j.hints.root, Attempt: a, Origins: j.hints.all(), Limits: limits, Repair: repair,
		Progress: j.progress, Slot: j.slot, IdleTimeout: s.cfg.IdleTimeout,
	}, j.requestsLocked()
}

// complete records that a DAG is fetched.
func (s *scheduler) complete(ctx context.Context, j *job, job Job, totals Totals, requests slog.Attr) (over bool, err error) {
	by := job.Progress.Delivered()
	by.At = s.clock.Now().UTC().Truncate(time.Millisecond)
	totals.By = &by
	s.mu.Lock()
	only := j.members.only() // as it is before, since one that joins meanwhile may come too late
	s.mu.Unlock()
	failed, released, err := s.work.Complete(ctx, j.dag, job.Attempt, totals)
	if err != nil {
		return false, fmt.Errorf("complete: %w", err)
	}
	s.drops.add(released)
	if slices.Contains(released, job.Attempt) { // no account that waited for it has room
		s.counts.failed.Add(1)
		return true, nil
	}
	s.counts.pinned.Add(1)
	done := "pinned"
	if job.Repair {
		done = "repaired"
	}
	s.log.Info(done, "cid", j.dag, requests, "blocks", totals.Blocks, "bytes", totals.Bytes,
		"elapsed", s.clock.Now().Sub(j.began).Round(time.Millisecond),
		"asked_again", job.Progress.Again(), "longest_gap", job.Progress.Gap().Round(time.Millisecond))
	s.engine.Announce(j.dag)
	if failed == 0 {
		s.changes.tell(j.dag, Change{only.account, only.id, totals})
	}
	return true, nil
}

// fail records that the job's requests failed, unless the DAG was complete: a pin is not
// let go of because it cannot be mended.
func (s *scheduler) fail(ctx context.Context, j *job, reason string) (over bool, err error) {
	s.mu.Lock()
	requests := j.requestsLocked()
	s.mu.Unlock()
	repair, err := s.work.Repairing(ctx, j.dag)
	if err != nil {
		return false, fmt.Errorf("fail: %w", err)
	}
	if repair {
		return false, fmt.Errorf("repair: %s", reason)
	}
	released, err := s.work.Fail(ctx, j.dag, reason)
	if err != nil {
		return false, fmt.Errorf("fail: %w", err)
	}
	s.drops.add(released)
	s.counts.failed.Add(1)
	s.log.Warn("pin failed", "cid", j.dag, requests, "reason", reason)
	return true, nil
}
