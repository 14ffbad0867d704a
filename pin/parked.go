package pin

import (
	"time"

	"github.com/holdfast-ipfs/holdfast/pin/turns"
)

// park puts a job aside that has had a turn. With no pause its next turn comes first.
// begun says that all its requests are Pinning on disk, as far as is known.
func (s *scheduler) park(j *job, pause time.Duration, begun bool) {
	if pause > 0 && !s.turns.Keep(&j.Job) {
		s.spill(j, begun)
		return
	}
	s.setParked(j, s.clock.Now().Add(pause))
	if pause == 0 {
		s.turns.Wake(&j.Job)
	}
}

// setParked parks a job. It is also called when something about a parked job changes.
func (s *scheduler) setParked(j *job, nextTry time.Time) {
	var peers []string
	for _, o := range j.hints.all() {
		peers = append(peers, peerOf(o.Addr))
	}
	s.turns.Park(&j.Job, turns.Parking{
		NextTry: nextTry, Ends: s.deadline(j), Blocked: j.blocked && !j.alone, Needs: j.needs, Peers: peers,
	})
}

// deadline is when a parked job is late unless it receives something; zero is never. A
// late repair does not fail: it makes room for others. So does a job of which something is
// here, long before it fails.
func (s *scheduler) deadline(j *job) (at time.Time) {
	if j.began.IsZero() {
		return at // its clocks start with its first run
	}
	if !j.blocked {
		at = j.moved.Add(s.patience(j))
		if j.hasSome() && !j.repair { // it is looked at before it fails: see makesRoom
			room := j.moved.Add(s.cfg.StallTimeout)
			if now := s.clock.Now(); !room.After(now) {
				room = now.Add(roomInterval)
			}
			if room.Before(at) {
				at = room
			}
		}
	}
	if s.cfg.TotalTimeout > 0 && !j.repair {
		if total := j.began.Add(s.cfg.TotalTimeout); at.IsZero() || total.Before(at) {
			at = total
		}
	}
	return at
}

// spill forgets a job that has had a turn, until its requests are read from disk again.
// begun says that all of them are Pinning there, as far as is known.
func (s *scheduler) spill(j *job, begun bool) {
	s.forget(j)
	if j.members.len() == 0 {
		s.adrift = true
	}
	for m, w := range j.members.all() {
		s.turns.SpillTried(m.account, w.created)
		if !begun {
			s.turns.SpillUntried(m.account, w.created)
		}
	}
}

// spillUntried does so with a job that has had no turn yet.
func (s *scheduler) spillUntried(j *job) {
	s.forget(j)
	for m, w := range j.members.all() {
		if w.status == Queued {
			s.turns.SpillUntried(m.account, w.created)
		} else {
			s.turns.SpillTried(m.account, w.created)
		}
	}
}

// restore makes a parked job for a request that was read from disk, or adds it to the
// job that there is. keep says that the job stays in memory from now on; nextTry is when
// it is tried.
func (s *scheduler) restore(r Request, keep bool, nextTry time.Time) {
	if s.jobs[r.DAG()] != nil {
		s.enqueue(r, true)
		return
	}
	j := s.newJob(r)
	j.members.set(member{r.Account, r.ID}, waiter{created: r.Created, status: r.Status})
	j.hints.add(r)
	j.restored = true
	if keep {
		s.turns.Keep(&j.Job)
	}
	s.setParked(j, nextTry)
}

// restoreAll restores requests that were read after tail, limit of them at most, as
// long as their account may keep more jobs. more says that some are left on disk, and
// left is the tail of those.
func (s *scheduler) restoreAll(rs []Request, tail time.Time, limit int) (left time.Time, more bool) {
	for _, r := range rs {
		if s.jobs[r.DAG()] == nil && !s.turns.CanKeep(r.Account) {
			return tail, true
		}
		s.restore(r, true, s.clock.Now())
		tail = r.Created
	}
	return tail, len(rs) == limit
}
