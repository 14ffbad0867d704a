package turns

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// workerSlice is how long a fetch keeps a worker that others wait for: long enough that the
// change costs little, and short enough that a small pin behind large ones waits for
// seconds only.
const workerSlice = 5 * time.Second

// Workers are what fetches need to handle blocks; there are few. A free worker goes to the
// account that holds the fewest; within an account, in order. The methods of Workers and
// of its slots may be called concurrently.
type Workers struct {
	now func() time.Time

	mu      sync.Mutex
	free    int
	held    map[*Slot]struct{}
	waiting []*Slot // in the order in which they came
}

// NewWorkers makes n of them. now tells the time.
func NewWorkers(n int, now func() time.Time) *Workers {
	return &Workers{now: now, free: n, held: make(map[*Slot]struct{})}
}

// Slot is one fetch's claim to a worker.
type Slot struct {
	w       *Workers
	account string
	ok      atomic.Bool // held, and not asked back: the fast path of Acquire
	held    bool
	since   time.Time     // when it was granted last; zero if never
	ready   chan struct{} // closed when granted; nil when not waiting
}

// Slot makes a claim for an account. It holds no worker yet.
func (w *Workers) Slot(account string) *Slot { return &Slot{w: w, account: account} }

// Acquire blocks until the slot holds a worker, or until ctx ends, and then returns its
// cause. It is quick if the slot holds a worker that was not asked back.
func (s *Slot) Acquire(ctx context.Context) error {
	if s.ok.Load() {
		return nil
	}
	w := s.w
	w.mu.Lock()
	if s.held {
		w.release(s) // the worker was asked back
	}
	ready := make(chan struct{})
	s.ready = ready
	w.waiting = append(w.waiting, s)
	w.grant()
	w.mu.Unlock()
	select {
	case <-ready:
		return nil
	case <-ctx.Done():
		s.Release()
		return context.Cause(ctx)
	}
}

// Release gives the worker back, if the slot holds one. It also ends an Acquire that still
// waits.
func (s *Slot) Release() {
	w := s.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.ready != nil {
		w.waiting = slices.DeleteFunc(w.waiting, func(o *Slot) bool { return o == s })
		s.ready = nil
	}
	if s.held {
		w.release(s)
	}
}

func (w *Workers) release(s *Slot) {
	s.ok.Store(false)
	s.held = false
	delete(w.held, s)
	w.free++
	w.grant()
}

// grant gives the free workers to those that wait.
func (w *Workers) grant() {
	for w.free > 0 && len(w.waiting) > 0 {
		holds := w.holds()
		best := 0
		for i, s := range w.waiting {
			if holds[s.account] < holds[w.waiting[best].account] {
				best = i
			}
		}
		s := w.waiting[best]
		w.waiting = slices.Delete(w.waiting, best, best+1)
		w.free--
		w.held[s] = struct{}{}
		s.held, s.since = true, w.now()
		s.ok.Store(true)
		close(s.ready)
		s.ready = nil
	}
}

// holds counts the workers of each account.
func (w *Workers) holds() map[string]int {
	n := make(map[string]int, len(w.held))
	for s := range w.held {
		n[s.account]++
	}
	return n
}

// TakeBack asks for one worker back for each fetch that waits: from fetches that have had
// theirs for longer than a slice, and first from the accounts that hold the most. The
// holder gives its worker up at its next Acquire.
func (w *Workers) TakeBack(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiting) == 0 {
		return
	}
	var old []*Slot
	for s := range w.held {
		if s.ok.Load() && now.Sub(s.since) >= workerSlice {
			old = append(old, s)
		}
	}
	holds := w.holds()
	slices.SortFunc(old, func(a, b *Slot) int {
		if d := holds[b.account] - holds[a.account]; d != 0 {
			return d
		}
		return a.since.Compare(b.since)
	})
	for _, s := range old[:min(len(old), len(w.waiting))] {
		s.ok.Store(false)
	}
}

// State reports whether the slot waits for a worker or holds one.
func (s *Slot) State() (waits, held bool) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return s.ready != nil, s.held
}
