package pin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin/turns"
)

// Refetcher takes back that DAGs are complete. What implements [Records] does
// this too.
type Refetcher interface {
	// NotWhole takes back that anything above the blocks is whole, so that walks go
	// down to them, and gives the DAGs that have one of them under an attempt.
	// marks is how many marks it took back: a fetch that goes on may write others,
	// and another may go by those.
	NotWhole(ctx context.Context, blocks []multihash.Multihash) (dags []DAG, marks int, err error)

	// Refetch makes a DAG that is complete one that is fetched, under the same
	// attempt, and its pinned requests Pinning, so that everything of it is
	// hashed again and what is damaged or missing is fetched. Failed requests
	// stay as they are. The mark is atomic, with at least one request; others
	// follow in as many commits as they need, and one that a crash leaves
	// Pinned is right again once the DAG is. It gives some of the requests
	// that are Pinning now, at least one if there are any, with an error too
	// if the DAG is not complete any more.
	// Errors: ErrNotFound if nothing holds the DAG.
	Refetch(ctx context.Context, d DAG) (some []Request, err error)
}

// Repair has the DAGs that damaged or missing blocks are of fetched anew as far as
// need be; those that are being fetched begin again. It returns when that is recorded,
// long before it is done, and calls told for each DAG. It goes on when ctx ends: half
// of it would leave DAGs that nobody fetches.
// Errors: ErrClosed, and those of the [Refetcher].
func (m *Manager) Repair(ctx context.Context, r Refetcher, blocks []multihash.Multihash, told func(DAG)) error {
	if err := m.enter(); err != nil {
		return err
	}
	defer m.calls.Done()
	ctx = context.WithoutCancel(ctx)
	held := make(map[DAG]struct{})
	defer func() {
		for d := range held {
			m.goOn(d)
		}
	}()
	// A fetch that passed over something before it was found not to be whole says of
	// what is above that it is. Only when none is left that could is it done.
	for clean := false; !clean; {
		dags, marks, err := r.NotWhole(ctx, blocks)
		if err != nil {
			return fmt.Errorf("repair: %w", err)
		}
		clean = marks == 0
		for _, d := range dags {
			if _, ok := held[d]; !ok {
				held[d] = struct{}{}
				m.holdUp(d)
				clean = false
			}
		}
	}
	for d := range held {
		if m.ctx.Err() != nil {
			return ErrClosed
		}
		some, err := r.Refetch(ctx, d)
		for _, req := range some {
			m.joined(req)
		}
		if err != nil && !errors.Is(err, ErrNotFound) { // which is that it was unpinned meanwhile
			return fmt.Errorf("repair: %w", err)
		}
		delete(held, d)
		m.goOn(d)
		if err == nil {
			m.warnRepair(d, len(blocks))
			told(d)
		}
	}
	return nil
}

// tellStuckMost bounds the pause between two lines on a repair that gets nowhere.
const tellStuckMost = 24 * time.Hour

// warnRepair tells the operator that a DAG is repaired. damaged is how many blocks
// were found that are damaged or missing, in all DAGs together.
func (m *Manager) warnRepair(d DAG, damaged int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	attrs := []any{"cid", d}
	if j := m.jobs[d]; j != nil {
		attrs = append(attrs, j.whoLocked())
	}
	m.log.Warn("a pin is damaged on disk, and is repaired: what is damaged or missing is fetched again",
		append(attrs, "damaged_in_all", damaged)...)
}

// stuck is what the log has of a repair that gets nowhere. Its job may be put off and
// made anew, and knows nothing of that then.
type stuck struct {
	told time.Time     // when it last had it
	next time.Duration // how long after that it has it again
}

// warnStuck tells the operator of a repair that gets nowhere: at its first error, or
// once nothing came for StallTimeout, and then after pauses that double. The
// manager's lock is held.
func (m *Manager) warnStuck(j *job, now time.Time, err error) {
	if !j.repair || err == nil && now.Sub(j.lastMoved()) < m.cfg.StallTimeout {
		return
	}
	s := m.stuck[j.dag]
	if s == nil {
		s = new(stuck)
		m.stuck[j.dag] = s
		maps.DeleteFunc(m.stuck, func(_ DAG, o *stuck) bool { // of pins that were removed while they were put off
			return o != s && now.Sub(o.told) > 2*max(tellStuckMost, m.cfg.StallTimeout)
		})
	} else if now.Sub(s.told) < s.next {
		return
	}
	if p := j.progress; p != nil && p.Received.Load() > 0 && p.LastBlock().After(s.told) {
		s.next = 0 // it got further since
	}
	s.told, s.next = now, min(max(2*s.next, m.cfg.StallTimeout), max(tellStuckMost, m.cfg.StallTimeout))
	why := slog.String("reason", m.stallReason(j))
	if err != nil {
		why = slog.Any("err", err)
	}
	m.log.Warn("the repair of a pin gets nowhere; it is tried until it is done or the pin is removed",
		"cid", j.dag, j.whoLocked(), why)
}

// holdUp is what keeps a DAG from being fetched.
type holdUp struct {
	by   int           // calls of Repair
	over chan struct{} // closed when it ends
}

// holdUp stops the fetch of a DAG, waits for its end, and keeps others from beginning
// until goOn is called.
func (m *Manager) holdUp(d DAG) {
	m.mu.Lock()
	h := m.heldUp[d]
	if h == nil {
		h = &holdUp{over: make(chan struct{})}
		m.heldUp[d] = h
	}
	h.by++
	var ended chan struct{}
	if j := m.jobs[d]; j != nil && j.State() == turns.Running && j.past {
		j.cancel(errRecheck)
		ended = j.ended
	}
	m.mu.Unlock()
	if ended != nil {
		<-ended
	}
}

func (m *Manager) goOn(d DAG) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.heldUp[d]
	if h.by--; h.by == 0 {
		delete(m.heldUp, d)
		close(h.over)
	}
}

// pass waits until nothing holds a job's DAG up. Its errors end the run.
func (m *Manager) pass(ctx context.Context, j *job) error {
	for {
		m.mu.Lock()
		h := m.heldUp[j.dag]
		j.past = h == nil
		m.mu.Unlock()
		if h == nil {
			return nil
		}
		select {
		case <-h.over:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
