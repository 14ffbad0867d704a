package pin

import (
	"sync/atomic"

	"github.com/holdfast-ipfs/holdfast/pin/turns"
)

// Stats is what a manager does now and has done since it started.
type Stats struct {
	// DAGs, by what is done for them now.
	Waiting  int // in the queue, as far as that is in memory
	Seeking  int // wanted of everybody, and nobody sends any of it
	Ready    int // found, and waiting for a worker
	Fetching int // with a worker: received, or walked through on disk
	Parked   int // waiting for their next try, as far as that is in memory

	Workers int // how many there are

	// Since the start: how often a DAG was brought to an end, and how often a
	// try ended with an error that the next may not meet.
	Pinned, Failed, Interrupted uint64
}

// counts are what a manager counts from its start on.
type counts struct{ pinned, failed, interrupted atomic.Uint64 }

// Stats counts what there is. It looks at every job in memory.
func (m *Manager) Stats() Stats {
	s := Stats{
		Workers: m.cfg.Workers,
		Pinned:  m.counts.pinned.Load(), Failed: m.counts.failed.Load(), Interrupted: m.counts.interrupted.Load(),
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, j := range m.jobs {
		var waits, held bool
		if j.slot != nil {
			waits, held = j.slot.State()
		}
		switch {
		case j.State() == turns.Waiting:
			s.Waiting++
		case j.State() == turns.Parked:
			s.Parked++
		case waits:
			s.Ready++
		case held:
			s.Fetching++
		default:
			s.Seeking++
		}
	}
	return s
}

// Blocked counts the parked DAGs that wait for room on the disk, as far as they are in
// memory. It is quick, however many others there are.
func (m *Manager) Blocked() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.turns.Blocked()
}
