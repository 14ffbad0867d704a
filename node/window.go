package node

import (
	"sync/atomic"
	"time"
)

const (
	// A session that has just met its peer loses wants that come in a burst.
	windowMin = 16
	// All walks together: a peer keeps 1,024 wants of another, and up to 512 of
	// those may be roots that are sought.
	windowMax = 448
	// All walks together: what comes waits in memory for the disk.
	windowBytes = 64 << 20

	// Above this time to an answer a wider window gains nothing; above twice
	// this the peer is overrun and it narrows.
	windowLatency = 400 * time.Millisecond
)

// shares counts the walks that receive blocks.
type shares struct{ n atomic.Int64 }

func (s *shares) add(in bool) {
	if in {
		s.n.Add(1)
	} else {
		s.n.Add(-1)
	}
}

// of is one walk's share of a total.
func (s *shares) of(total int) int { return total / int(max(1, s.n.Load())) }

// window is how many wants a walk keeps open.
type window struct {
	wide    int
	latency time.Duration // usual time to an answer; 0 while not known
	bytes   int           // usual size of a block; 0 while not known
}

func newWindow() window { return window{wide: windowMin} }

// size is how many wants may be open now.
func (w *window) size(s *shares) int {
	most := s.of(windowMax)
	if w.bytes > 0 {
		most = min(most, s.of(windowBytes)/w.bytes)
	}
	return max(windowMin, min(w.wide, most))
}

// answered widens the window with each block that comes in time while it is
// used.
func (w *window) answered(after time.Duration, size, open int) {
	const weight = 16 // of what was known before, against one new block
	if w.latency == 0 {
		w.latency, w.bytes = max(after, 1), size
	}
	w.latency += (after - w.latency) / weight
	w.bytes += (size - w.bytes) / weight
	switch {
	case w.latency > 2*windowLatency:
		w.wide = max(windowMin, w.wide-1)
	case w.latency < windowLatency && open >= w.wide/2:
		w.wide = min(windowMax, w.wide+1)
	}
}

// lost narrows the window: the peer may have been asked for too much.
func (w *window) lost() { w.wide = max(windowMin, w.wide*3/4) }

// reset starts anew, with peers that may be others.
func (w *window) reset() { *w = newWindow() }
