package pin

import "github.com/holdfast-ipfs/holdfast/pin/turns"

// denied calls Config.Denied. The zero DAG is never denied: it stands for a request that
// cannot be read. Errors: ErrDenied.
func (m *Manager) denied(d DAG) error {
	if m.cfg.Denied == nil || d == "" {
		return nil
	}
	return m.cfg.Denied(d)
}

// DenialsChanged says that Config.Denied may return something else from now on. Parked
// DAGs that are denied are tried at once, and are refused by that. The engine ends the
// fetches under way. DAGs in the queue and on disk are refused at their turn.
func (m *Manager) DenialsChanged() {
	// Denied takes a while for each DAG, and everything else needs the lock.
	for _, d := range m.jobs.parked() {
		if m.denied(d) != nil {
			m.jobs.wake(d)
		}
	}
	m.jobs.kick()
}

// parked lists the DAGs that are parked.
func (s *scheduler) parked() (all []DAG) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turns.Parked(func(j *turns.Job) { all = append(all, DAG(j.Key)) })
	return all
}

// wake has a parked DAG tried at once.
func (s *scheduler) wake(d DAG) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j := s.jobs[d]; j != nil {
		s.turns.Wake(&j.Job)
	}
}

// deniedNote is what a pinned request shows if its DAG is denied.
const deniedNote = "it has content that is on a denylist of this server: it is kept, and nobody is given that content"
