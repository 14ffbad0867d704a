package pin

import "errors"

// noteBlocked notes whether a run ended because the disk is full, or because the place is away,
// which err says.
func (s *scheduler) noteBlocked(j *job, err error) {
	away, isAway := errors.AsType[*AwayError](err)
	j.alone = isAway && away.Alone
	j.blocked = isAway || errors.Is(err, ErrDiskFull)
	if j.starved = j.blocked && !j.alone; !j.starved {
		return
	}
	j.needs = 0
	if full, ok := errors.AsType[*DiskFullError](err); ok {
		j.needs = full.More
	}
	s.turns.DiskFull()
	s.starved(err)
}

// wantRoom counts the jobs that wait for disk space, those that try again included until they
// have received a block.
func (s *scheduler) wantRoom() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.turns.Blocked()
	for t := range s.turns.Running() {
		if j := s.of(t); j.starved && (j.progress == nil || j.progress.Received.Load() == 0) {
			n++
		}
	}
	return n
}

// tryBlocked wakes jobs that wait for disk space, once there is some.
func (s *scheduler) tryBlocked() {
	needs, ask := s.turns.AskForSpace()
	if !ask {
		return
	}
	s.tasks.run(func() { // a disk may take its time
		err := s.engine.Room(s.ctx, needs)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.turns.SpaceIs(needs, err == nil)
		s.kick()
	})
}
