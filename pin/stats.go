package pin

import (
	"sync/atomic"

	"github.com/holdfast-ipfs/holdfast/pin/turns"
)

// Stats is what a manager does now and has done since it started.
type Stats struct {
	// DAGs, by what is done for them now.
	Waiting  int // in the queue, as far as that is in memory
	Seeking  int // asked for, and nothing was received yet
	Ready    int // found, and waiting for a worker
	Fetching int // with a worker: being received, or being read from disk; or the last of it is being written
	Parked   int // waiting for their next try, as far as that is in memory

	// Kept are the DAGs that wait for a source with something on disk, those that are on disk
	// alone included, and KeptBytes is what all of them have there. Both are counted once a
	// minute, or less often if there are very many.
	Kept      int
	KeptBytes uint64

	Workers int // how many there are

	// Since the start: how often a DAG was pinned, how often one failed, and how often a
	// try ended with an error that the next try may not meet.
	Pinned, Failed, Interrupted uint64
}

// counts are what a manager has counted since its start.
type counts struct{ pinned, failed, interrupted atomic.Uint64 }

// Stats counts what there is. It looks at every job in memory.
func (m *Manager) Stats() Stats {
	st := m.jobs.stats()
	st.Kept, st.KeptBytes = int(m.keeper.kept.Load()), m.keeper.bytes.Load()
	return st
}

// Blocked counts the parked DAGs in memory that wait for disk space. It is quick, however
// many other DAGs there are.
func (m *Manager) Blocked() int { return m.jobs.blocked() }

func (s *scheduler) stats() Stats {
	st := Stats{
		Workers: s.cfg.Workers,
		Pinned:  s.counts.pinned.Load(), Failed: s.counts.failed.Load(), Interrupted: s.counts.interrupted.Load(),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, j := range s.jobs {
		waits := false
		if j.slot != nil {
			waits, _ = j.slot.State()
		}
		switch {
		case j.State() == turns.Waiting:
			st.Waiting++
		case j.State() == turns.Parked:
			st.Parked++
		case waits:
			st.Ready++
		case j.handles():
			st.Fetching++
		default:
			st.Seeking++
		}
	}
	return st
}

func (s *scheduler) blocked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.turns.Blocked()
}
