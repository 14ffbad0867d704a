package pin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin/turns"
)

// maxJobOrigins bounds the hints that one DAG collects from its requests: a
// few times the 20 that the PSA allows in one.
const maxJobOrigins = 64

// job is one DAG that somebody waits for. The manager's lock guards it.
type job struct {
	turns.Job // whose account is that of the request that made the job

	dag     DAG
	members waiters
	origins []string

	// While running.
	cancel  context.CancelCauseFunc
	attempt Attempt // zero until Begin gave one
	slot    *turns.Slot
	dirty   bool // a request joined since the run began
	past    bool // it is not held up any more
	ended   chan struct{}
	seeking time.Time // since when this run seeks; zero if it does not yet
	drop    []Attempt // released while the run may still write under them

	sampled uint64  // bytes at the last tick
	rate    float64 // bytes per second of late

	// Across runs.
	progress *Progress // of this or the last run; nil before the first
	began    time.Time // of the first run
	best     uint64    // the most blocks that an earlier run had
	moved    time.Time // when it last got further: the stall clock
	tries    int       // runs that ended without success
	repair   bool      // it was complete: it does not fail
	blocked  bool      // parked until there is room on the disk; the stall clock stands
	needs    uint64    // bytes that there was no room for; 0 if it is not known
	late     string    // why it is about to fail
	trouble  string    // why the last run ended, for the user; "" if it only saw nothing
}

// Why a run is cancelled.
var (
	errEvicted  = errors.New("others wait for the place")
	errRecheck  = errors.New("the requests for it changed")
	errReleased = errors.New("its attempt was released")
	errLate     = errors.New("no progress, or not enough")
)

// addOrigins merges hints and reports whether any was new.
func (j *job) addOrigins(origins []string) bool {
	added := false
	for _, o := range origins {
		if len(j.origins) < maxJobOrigins && !slices.Contains(j.origins, o) {
			j.origins = append(j.origins, o)
			added = true
		}
	}
	return added
}

// whoLocked names the requests that wait for the job, for logs: what users know
// a pin by is its requestid. The manager's lock is held.
func (j *job) whoLocked() slog.Attr {
	var first member
	for who := range j.members.all() {
		if first.id == "" || who.id < first.id {
			first = who
		}
	}
	return slog.Group("", "requestid", first.id, "account", first.account, "requests", j.members.len())
}

// peerOf gives the peer id that an origin ends in, "" if it does not.
func peerOf(origin string) string {
	i := strings.LastIndex(origin, "/p2p/")
	if i < 0 {
		return ""
	}
	return strings.TrimSuffix(origin[i+len("/p2p/"):], "/")
}

// lastMoved is when the job last got further than it ever was: finding again
// what an earlier run had stored is no progress.
func (j *job) lastMoved() time.Time {
	t := j.moved
	if j.progress != nil && j.progress.Blocks.Load() > j.best {
		if b := j.progress.LastBlock(); b.After(t) {
			t = b
		}
	}
	return t
}

// sample takes note of the bytes that came since the last tick, for the rate.
func (j *job) sample() {
	if j.State() != turns.Running || j.progress == nil {
		return
	}
	bytes := j.progress.Bytes.Load()
	if bytes < j.sampled {
		j.sampled = 0 // another run began
	}
	const weight = 0.3 // of the newest second, against those before
	j.rate += weight * (float64(bytes-j.sampled)/tick.Seconds() - j.rate)
	j.sampled = bytes
}

// stalled reports whether the job stood still for a time. Waiting for a worker,
// or walking through what is stored, is not standing still.
func (j *job) stalled(now time.Time, timeout, idle time.Duration) bool {
	if j.blocked {
		return false
	}
	if j.State() == turns.Running && j.slot != nil {
		if waits, _ := j.slot.State(); waits || now.Sub(j.progress.LastBlock()) < idle {
			return false
		}
	}
	return now.Sub(j.lastMoved()) >= timeout
}

// run tries once to bring the job's DAG to disk, and says how it went.
func (m *Manager) run(ctx context.Context, j *job) (over bool, err error) {
	if err := m.pass(ctx, j); err != nil {
		return false, err
	}
	defer func() {
		if errors.Is(err, ErrInDoubt) {
			m.doubt.Store(true)
		}
		if over {
			m.mu.Lock()
			delete(m.stuck, j.dag)
			m.mu.Unlock()
		}
	}()
	// A released attempt is dropped only once every Begin that may have given
	// it has been noted in m.attempts: see dropLoop.
	m.beginning.RLock()
	a, complete, err := m.records.Begin(ctx, j.dag)
	if err == nil && !complete {
		m.mu.Lock()
		j.attempt = a
		m.attempts[a] = j
		m.mu.Unlock()
	}
	m.beginning.RUnlock()
	if (err == nil || errors.Is(err, ErrNotFound)) && m.doubt.Swap(false) {
		m.dropFound(ctx)
	}
	switch {
	case errors.Is(err, ErrNotFound):
		return true, nil // nobody wants it any more
	case err != nil:
		return false, fmt.Errorf("begin: %w", err)
	case complete:
		// What was left to settle may have let go of something.
		released, err := m.records.Released(ctx)
		if err != nil {
			return false, fmt.Errorf("read what was released: %w", err)
		}
		m.drop(released)
		m.fetcher.Announce(j.dag) // whoever marked it complete may not have come to that
		return true, nil
	}

	repair, err := m.records.Repairing(ctx, j.dag)
	if err != nil {
		return false, fmt.Errorf("look whether it is repaired: %w", err)
	}
	limits, done := m.cfg.Limits, "pinned"
	if repair {
		limits, done = Limits{}, "repaired"
	}
	m.mu.Lock()
	j.repair = repair
	who := j.whoLocked()
	progress := &Progress{now: m.clock.Now}
	j.progress = progress
	slot := m.workers.Slot(j.Account)
	j.slot, j.seeking = slot, m.clock.Now()
	origins := slices.Clone(j.origins)
	m.mu.Unlock()
	totals, err := m.fetcher.Fetch(ctx, Job{
		DAG: j.dag, Attempt: a, Origins: origins, Limits: limits, Repair: repair,
		Progress: progress, Slot: slot, IdleTimeout: m.cfg.IdleTimeout,
	})
	slot.Release()
	// What is decided now is recorded even if the run is cancelled meanwhile.
	record := context.WithoutCancel(ctx)
	var refused *RefusedError
	switch {
	case err == nil:
		released, err := m.records.Complete(record, j.dag, a, totals)
		if err != nil {
			return false, fmt.Errorf("complete: %w", err)
		}
		m.drop(released)
		if slices.Contains(released, a) { // nobody who waited for it has room
			m.counts.failed.Add(1)
			return true, nil
		}
		m.counts.pinned.Add(1)
		m.log.Info(done, "cid", j.dag, who, "blocks", totals.Blocks, "bytes", totals.Bytes,
			"elapsed", m.clock.Now().Sub(j.began).Round(time.Millisecond),
			"asked_again", progress.Again(), "longest_gap", progress.Gap().Round(time.Millisecond))
		m.fetcher.Announce(j.dag)
		return true, nil
	case errors.As(err, &refused):
		return m.fail(record, j, refused.Reason)
	case errors.Is(context.Cause(ctx), errLate):
		return m.fail(record, j, j.late)
	case ctx.Err() != nil:
		return false, context.Cause(ctx)
	default:
		return false, err
	}
}

// fail records that the job's requests failed, unless the DAG was complete: what was
// pinned is not let go of because it cannot be mended.
func (m *Manager) fail(ctx context.Context, j *job, reason string) (over bool, err error) {
	m.mu.Lock()
	who := j.whoLocked()
	m.mu.Unlock()
	repair, err := m.records.Repairing(ctx, j.dag)
	if err != nil {
		return false, fmt.Errorf("fail: %w", err)
	}
	if repair {
		return false, fmt.Errorf("repair: %s", reason)
	}
	released, err := m.records.Fail(ctx, j.dag, reason)
	if err != nil {
		return false, fmt.Errorf("fail: %w", err)
	}
	m.drop(released)
	m.counts.failed.Add(1)
	m.log.Warn("pin failed", "cid", j.dag, who, "reason", reason)
	return true, nil
}

// stallReason says why a job that stood still fails.
func (m *Manager) stallReason(j *job) string {
	s := fmt.Sprintf("no block was received for %v", m.cfg.StallTimeout)
	if j.progress != nil {
		if n := j.progress.Blocks.Load(); n > 0 {
			s += fmt.Sprintf(", after %d blocks", n)
		} else {
			s += ": no connected peer has the root"
		}
		if note := j.progress.Note(); note != "" {
			s += "; " + note
		}
	}
	if j.trouble != "" {
		s += "; the last try ended with: " + j.trouble
	}
	return s
}
