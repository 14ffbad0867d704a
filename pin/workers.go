package pin

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// workerSlice is how long a fetch keeps a worker that others wait for: long
// enough that a window of wants pays for itself many times over, short enough
// that a small pin behind large ones waits for seconds.
const workerSlice = 5 * time.Second

// workers are the few places from which blocks may be handled. A free worker
// goes to the account that holds the fewest; within an account, in order.
type workers struct {
	mu      sync.Mutex
	free    int
	held    map[*slot]struct{}
	waiting []*slot // in the order in which they came
}

func newWorkers(n int) *workers {
	return &workers{free: n, held: make(map[*slot]struct{})}
}

// slot is one fetch's claim to a worker; it is a [Slot].
type slot struct {
	w       *workers
	account string
	ok      atomic.Bool // held, and not asked back: the fast path of Acquire
	held    bool
	since   time.Time     // when it was granted last; zero if never
	ready   chan struct{} // closed when granted; nil when not waiting
}

func (w *workers) slot(account string) *slot { return &slot{w: w, account: account} }

// Acquire implements [Slot].
func (s *slot) Acquire(ctx context.Context) error {
	if s.ok.Load() {
		return nil
	}
	w := s.w
	w.mu.Lock()
	if s.held {
		w.release(s) // it was asked back
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

// Release implements [Slot]. It also takes back an Acquire that still waits.
func (s *slot) Release() {
	w := s.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.ready != nil {
		w.waiting = slices.DeleteFunc(w.waiting, func(o *slot) bool { return o == s })
		s.ready = nil
	}
	if s.held {
		w.release(s)
	}
}

func (w *workers) release(s *slot) {
	s.ok.Store(false)
	s.held = false
	delete(w.held, s)
	w.free++
	w.grant()
}

// grant gives the free workers to those that wait.
func (w *workers) grant() {
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
		s.held, s.since = true, time.Now()
		s.ok.Store(true)
		close(s.ready)
		s.ready = nil
	}
}

// holds counts the workers of each account.
func (w *workers) holds() map[string]int {
	n := make(map[string]int, len(w.held))
	for s := range w.held {
		n[s.account]++
	}
	return n
}

// takeBack asks for a worker back for each fetch that waits, from those that
// had theirs for longer than a slice, accounts that hold the most first. The
// holder gives it up at its next Acquire.
func (w *workers) takeBack(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiting) == 0 {
		return
	}
	var old []*slot
	for s := range w.held {
		if s.ok.Load() && now.Sub(s.since) >= workerSlice {
			old = append(old, s)
		}
	}
	holds := w.holds()
	slices.SortFunc(old, func(a, b *slot) int {
		if d := holds[b.account] - holds[a.account]; d != 0 {
			return d
		}
		return a.since.Compare(b.since)
	})
	for _, s := range old[:min(len(old), len(w.waiting))] {
		s.ok.Store(false)
	}
}

// state reports whether the slot waits for a worker or holds one.
func (s *slot) state() (waits, held bool) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return s.ready != nil, s.held
}
