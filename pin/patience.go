package pin

import (
	"cmp"
	"context"
	"time"
)

const (
	// roomInterval is how often a parked job whose turn came to nothing is looked at again,
	// whether others of its account wait on disk for its room in memory.
	roomInterval = time.Minute
	// keptShare: a parked job that has blocks on disk reads some of them again at its next
	// try. It waits so many times as long as that took before, up to keptPause: then all
	// such jobs together keep a disk busy for a small part of the time. So long waits, too,
	// who had to give way: there is no room yet.
	keptShare = 20
	keptPause = time.Hour
)

// hasSome reports whether some of the job's DAG is here, or was until it gave way. Such a
// job waits for its source for [Config.KeepPartial], and does not fail before that.
func (j *job) hasSome() bool {
	return !j.kept.Last.IsZero() || j.best > 0 || j.progress != nil && j.progress.Blocks.Load() > 0
}

// patience is how long a job may make no progress before it fails.
func (s *scheduler) patience(j *job) time.Duration {
	if j.hasSome() && !j.repair {
		return max(s.cfg.StallTimeout, s.cfg.KeepPartial)
	}
	return s.cfg.StallTimeout
}

// makesRoom reports whether a parked job has waited for so long that others of its account
// may have its room in memory.
func (s *scheduler) makesRoom(j *job, now time.Time) bool {
	return j.hasSome() && !j.blocked && now.Sub(j.moved) >= s.cfg.StallTimeout
}

// recall takes what the records have noted of a job that was read from disk, so that its
// clock goes on. It has its first try in any case, and the stall timeout for that.
func (s *scheduler) recall(j *job, kept Kept) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if kept.Last.IsZero() || !j.kept.Last.IsZero() {
		return
	}
	now := s.clock.Now()
	kept.Last = kept.Last.Add(-s.clock.Lost())
	j.kept, j.gaveWay = kept, kept.Blocks == 0
	j.troubles = cmp.Or(j.troubles, kept.Troubles)
	j.best = max(j.best, kept.Blocks)
	if j.restored && kept.Last.Before(now) {
		j.moved = kept.Last
		if least := now.Add(s.cfg.StallTimeout - s.patience(j)); j.moved.Before(least) {
			j.moved = least
		}
	}
	j.restored = false
}

// toNote gives what is to be noted of a job, if that has changed since the last note. s.mu
// is held.
func (s *scheduler) toNote(j *job) (k Kept, ok bool) {
	last := j.lastMoved().Truncate(time.Millisecond)
	if j.repair || j.progress == nil || !j.hasSome() {
		return k, false
	}
	troubles := cmp.Or(j.progress.Troubles(), j.troubles)
	// The troubles alone are worth one note: how many were asked may change with every run.
	if last.Equal(j.kept.Last) && (troubles == "" || j.kept.Troubles != "") {
		return k, false
	}
	j.kept = Kept{
		Blocks: max(j.progress.Blocks.Load(), j.kept.Blocks), Bytes: max(j.progress.Bytes.Load(), j.kept.Bytes), Last: last,
		Troubles: troubles,
	}
	j.gaveWay = j.kept.Blocks == 0
	k = j.kept
	k.Last = last.Add(s.clock.Lost())
	return k, true
}

// note has the records note what is there of a job that got no further, under the attempt.
func (s *scheduler) note(ctx context.Context, j *job, a Attempt) {
	s.mu.Lock()
	k, ok := s.toNote(j)
	s.mu.Unlock()
	if ok {
		s.writeNote(ctx, j, a, k)
	}
}

func (s *scheduler) writeNote(ctx context.Context, j *job, a Attempt, k Kept) {
	if err := s.work.Keep(ctx, j.dag, a, k); err != nil && !made(err) {
		s.mu.Lock()
		j.kept.Last = j.kept.Last.Add(-time.Millisecond) // so that it is tried again
		s.mu.Unlock()
		s.log.Debug("note what is there of a pin", "cid", j.dag, "err", err)
	}
}

// noteSilent notes what is there of the fetches that wait for a source, as these may wait
// for days and a crash is to lose nothing of it. s.mu is held.
func (s *scheduler) noteSilent(now time.Time) {
	for t := range s.turns.Running() {
		j := s.of(t)
		if j.attempt == 0 || now.Sub(j.lastMoved()) < s.cfg.IdleTimeout {
			continue
		}
		if k, ok := s.toNote(j); ok {
			a := j.attempt
			s.tasks.run(func() { s.writeNote(s.ctx, j, a, k) })
		}
	}
}

// pauseAfter is how long a job waits after a run without success.
func (j *job) pauseAfter() time.Duration {
	pause := backoff(j.tries)
	if p := j.progress; p != nil && j.hasSome() {
		if read := p.LastBlock().Sub(j.Started()); read > 0 {
			pause = max(pause, min(keptShare*read, keptPause))
		}
	}
	return pause
}

// describeKept says what becomes of what is here of a job that receives nothing.
func (s *scheduler) describeKept(j *job, info map[string]string) {
	now := s.clock.Now()
	silent := now.Sub(j.lastMoved())
	if j.repair || j.blocked || !j.hasSome() || silent < s.cfg.IdleTimeout || j.handles() {
		return
	}
	if j.gaveWay && (j.progress == nil || j.progress.Blocks.Load() == 0) {
		info["status_details"] += gaveWayNote
	}
	if left := s.patience(j) - silent; left > 0 {
		info["waits_until"] = now.Add(left + s.clock.Lost()).UTC().Format(time.RFC3339)
	}
}

// gaveWayNote follows what a job waits for.
const gaveWayNote = "; what had come gave way to other data, and is fetched again when a source is found"

// endTroubles remembers what a run found of single blocks, for the next: a short turn finds
// nothing.
func (j *job) endTroubles() {
	if p := j.progress; p != nil {
		if t := p.Troubles(); t != "" || p.Received.Load() > 0 {
			j.troubles = t
		}
	}
}

// note is what the fetch waits for, in a sentence for the user: "" is nothing in particular.
func (j *job) note() string {
	p := j.progress
	if p == nil {
		return j.troubles
	}
	if p.Received.Load() > 0 {
		return p.Note()
	}
	return p.noteWith(cmp.Or(p.Troubles(), j.troubles))
}
