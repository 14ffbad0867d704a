package pin

import "github.com/holdfast-ipfs/holdfast/pin/turns"

// denied asks Config.Denied. The zero DAG, which is that of a request that cannot be
// read, is never denied. Errors: ErrDenied.
func (m *Manager) denied(d DAG) error {
	if m.cfg.Denied == nil || d == "" {
		return nil
	}
	return m.cfg.Denied(d)
}

// DenialsChanged says that Config.Denied may answer otherwise from now on. DAGs
// that are denied and wait for another try have it at once: it is where they
// are refused. Those under way are the fetcher's to end, and those in the queue or
// on disk are refused when it is their turn.
func (m *Manager) DenialsChanged() {
	m.mu.Lock()
	var waiting []DAG
	m.turns.Parked(func(j *turns.Job) { waiting = append(waiting, DAG(j.Key)) })
	m.mu.Unlock()
	// Asking takes a while for each, and everybody needs the lock.
	for _, d := range waiting {
		if m.denied(d) == nil {
			continue
		}
		m.mu.Lock()
		if j := m.jobs[d]; j != nil && !m.closed {
			m.turns.Wake(&j.Job)
		}
		m.mu.Unlock()
	}
	m.kick()
}

// deniedNote is what a pinned request shows whose DAG is denied.
const deniedNote = "it has content that is on a denylist of this server: it is kept, and nobody is given that content"
