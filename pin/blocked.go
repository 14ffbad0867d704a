package pin

import "errors"

// noteBlocked notes whether a run ended because the disk is full, which err says.
func (s *scheduler) noteBlocked(j *job, err error) {
	if j.blocked = errors.Is(err, ErrDiskFull); !j.blocked {
		return
	}
	j.needs = 0
	if full, ok := errors.AsType[*DiskFullError](err); ok {
		j.needs = full.More
	}
	s.turns.DiskFull()
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
