package pin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"github.com/multiformats/go-multihash"
)

// Repair makes the DAGs that contain damaged or missing blocks be fetched again, as far
// as need be; those that are being fetched begin again. It returns when that is
// recorded, long before it is done, and calls told for each DAG. It continues when ctx
// ends: stopping half-way would leave DAGs that nothing fetches.
// Errors: ErrClosed, and those of the [Refetcher].
func (m *Manager) Repair(ctx context.Context, r Refetcher, blocks []multihash.Multihash, told func(DAG)) error {
	if err := m.enter(); err != nil {
		return err
	}
	defer m.calls.Done()
	ctx = context.WithoutCancel(ctx)
	shut := make(map[DAG]struct{})
	defer func() {
		for d := range shut {
			m.jobs.gates.open(d)
		}
	}()
	// A fetch that passed over a node before its mark was taken back will mark what is
	// above it as whole. So this is done only when no such fetch is left.
	for clean := false; !clean; {
		dags, marks, err := r.NotWhole(ctx, blocks)
		if err != nil {
			return fmt.Errorf("repair: %w", err)
		}
		clean = marks == 0
		for _, d := range dags {
			if _, ok := shut[d]; !ok {
				shut[d] = struct{}{}
				m.jobs.gates.shut(d)
				clean = false
			}
		}
	}
	for d := range shut {
		if m.ctx.Err() != nil {
			return ErrClosed
		}
		some, err := r.Refetch(ctx, d)
		for _, req := range some {
			m.jobs.joined(req)
		}
		if err != nil && !errors.Is(err, ErrNotFound) { // not found: it was unpinned meanwhile
			return fmt.Errorf("repair: %w", err)
		}
		delete(shut, d)
		m.jobs.gates.open(d)
		if err == nil {
			m.jobs.warnRepair(d, len(blocks))
			told(d)
		}
	}
	return nil
}

// warnRepair logs that a DAG is repaired. damaged is how many damaged or missing blocks
// were found, in all DAGs together.
func (s *scheduler) warnRepair(d DAG, damaged int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	attrs := []any{"cid", d}
	if j := s.jobs[d]; j != nil {
		attrs = append(attrs, j.requestsLocked())
	}
	s.log.Warn("a pin is damaged on disk, and is repaired: what is damaged or missing is fetched again",
		append(attrs, "damaged_in_all", damaged)...)
}

// maxRepairPause bounds the pause between two log lines on a repair that gets nowhere.
const maxRepairPause = 24 * time.Hour

// repairLog decides when a repair that gets nowhere is logged. Jobs do not know that:
// the job of a repair may leave memory and be made anew. The scheduler's lock guards it.
type repairLog struct {
	first time.Duration // the pause after the first line, [Config.StallTimeout]
	stuck map[DAG]*stuckRepair
}

// stuckRepair is what was logged of one repair.
type stuckRepair struct {
	logged time.Time     // when it last was
	pause  time.Duration // how long after that it is logged again
}

// due reports whether a repair that gets nowhere is to be logged now: the first time,
// and then after pauses that double. received is when it last received a block; zero is
// never. If that was since the last line, the pauses begin anew.
func (l *repairLog) due(d DAG, now, received time.Time) bool {
	limit := max(maxRepairPause, l.first)
	r := l.stuck[d]
	if r == nil {
		// A pin that was removed while its job was on disk left its entry here.
		maps.DeleteFunc(l.stuck, func(_ DAG, o *stuckRepair) bool { return now.Sub(o.logged) > 2*limit })
		r = new(stuckRepair)
		l.stuck[d] = r
	} else if now.Sub(r.logged) < r.pause {
		return false
	}
	if received.After(r.logged) {
		r.pause = 0
	}
	r.logged, r.pause = now, min(max(2*r.pause, l.first), limit)
	return true
}

// forget notes that a repair is over.
func (l *repairLog) forget(d DAG) { delete(l.stuck, d) }

// warnStuck logs that a repair gets nowhere: at its first error, or when it has received
// nothing for StallTimeout. s.mu is held.
func (s *scheduler) warnStuck(j *job, now time.Time, err error) {
	if !j.repair || err == nil && now.Sub(j.lastMoved()) < s.cfg.StallTimeout {
		return
	}
	var received time.Time
	if p := j.progress; p != nil && p.Received.Load() > 0 {
		received = p.LastBlock()
	}
	if !s.repairs.due(j.dag, now, received) {
		return
	}
	why := slog.String("reason", j.stallReason(s.cfg.StallTimeout))
	if err != nil {
		why = slog.Any("err", err)
	}
	s.log.Warn("the repair of a pin gets nowhere; it is tried until it is done or the pin is removed",
		"cid", j.dag, j.requestsLocked(), why)
}
