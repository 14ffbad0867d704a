package pin

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"
)

// drop takes note of attempts that were released. They are dropped once no run
// writes under them.
func (m *Manager) drop(released []Attempt) {
	if len(released) == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.queueDrops(released)
}

// dropFound drops what the records have as released and nobody here was told of.
func (m *Manager) dropFound(ctx context.Context) {
	released, err := m.records.Released(ctx)
	if err != nil {
		m.doubt.Store(true) // the next run looks again
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.queueUnknown(released)
}

// queueUnknown queues those that are not queued yet.
func (m *Manager) queueUnknown(released []Attempt) {
	m.queueDrops(slices.DeleteFunc(released, func(a Attempt) bool {
		_, known := m.undropped[a]
		return known
	}))
}

func (m *Manager) queueDrops(as []Attempt) {
	if len(as) == 0 {
		return
	}
	m.drops = append(m.drops, as...)
	for _, a := range as {
		m.undropped[a] = struct{}{}
	}
	select {
	case m.dropKick <- struct{}{}:
	default:
	}
}

// dropLoop drops what released attempts hold, one attempt at a time.
func (m *Manager) dropLoop() {
	pause := time.Duration(0)
	for {
		m.mu.Lock()
		batch := m.drops
		m.drops = nil
		m.mu.Unlock()
		var failed []Attempt
		full := false
		for i, a := range batch {
			m.withdraw(a)
			if !m.mayDrop(a) {
				continue
			}
			if err := m.records.Drop(m.ctx, a); err != nil {
				if m.ctx.Err() != nil || errors.Is(err, ErrClosed) {
					return // the mark is durable; the next start goes on
				}
				failed = append(failed, a)
				if full = errors.Is(err, ErrDiskFull); full {
					failed = append(failed, batch[i+1:]...)
					m.failDropWaits(err)
				}
				if !full || pause == 0 {
					m.log.Error("drop what was unpinned", "attempt", a, "err", err)
				}
				if full {
					break
				}
				continue
			}
			m.dropped(a)
		}
		var again <-chan time.Time
		if len(failed) > 0 {
			m.mu.Lock()
			m.drops = append(m.drops, failed...)
			m.mu.Unlock()
			pause = min(max(2*pause, retryMin), retryMax)
			if full {
				pause = retryMin // a look at the disk, no more
			}
			again = time.After(pause)
		} else {
			pause = 0
		}
		select {
		case <-m.ctx.Done():
			return
		case <-m.dropKick:
		case <-again:
		}
	}
}

// withdraw has the network told no more of the DAG of a released attempt, which
// may have been pinned again meanwhile: the fetcher looks.
func (m *Manager) withdraw(a Attempt) {
	d, err := m.records.ReleasedDAG(m.ctx, a)
	if err == nil {
		m.fetcher.Withdraw(d)
	} else if m.ctx.Err() == nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrClosed) {
		m.log.Error("withdraw what is not pinned any more", "attempt", a, "err", err)
	}
}

// mayDrop reports whether nothing writes under the attempt. If something does,
// it is stopped, and the attempt comes back when it has.
func (m *Manager) mayDrop(a Attempt) bool {
	// Every Begin that could still have been given the attempt has been noted
	// once this lock was had: a later one cannot get it.
	m.beginning.Lock()
	//lint:ignore SA2001 a barrier: there is nothing to guard
	m.beginning.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	j := m.attempts[a]
	if j == nil {
		return true
	}
	j.drop = append(j.drop, a)
	j.cancel(errReleased)
	return false
}

// dropWait waits for attempts to be dropped.
type dropWait struct {
	left map[Attempt]struct{}
	done chan struct{} // closed when none is left, or with err
	err  error
}

// dropped takes note that an attempt was.
func (m *Manager) dropped(a Attempt) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.undropped, a)
	for w := range m.dropWaits {
		if delete(w.left, a); len(w.left) == 0 {
			close(w.done)
			delete(m.dropWaits, w)
		}
	}
}

// failDropWaits ends the waiting for drops.
func (m *Manager) failDropWaits(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for w := range m.dropWaits {
		w.err = err
		close(w.done)
		delete(m.dropWaits, w)
	}
}

// WaitUnpinned waits until what was unpinned by now is let go of, so that a reclaim
// finds it. What the disk fails to take is tried again, and waited for. Errors: the
// context's; ErrDiskFull, when only a reclaim can make room; ErrClosed.
func (m *Manager) WaitUnpinned(ctx context.Context) error {
	// A request may be seen to be pinned before what it replaced is noted here.
	released, err := m.records.Released(ctx)
	if err != nil {
		return err
	}
	m.mu.Lock()
	m.queueUnknown(released)
	if len(m.undropped) == 0 {
		m.mu.Unlock()
		return nil
	}
	w := &dropWait{left: maps.Clone(m.undropped), done: make(chan struct{})}
	m.dropWaits[w] = struct{}{}
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.dropWaits, w)
	}()
	select {
	case <-w.done:
		return w.err
	case <-ctx.Done():
		return ctx.Err()
	case <-m.ctx.Done():
		return ErrClosed
	}
}
