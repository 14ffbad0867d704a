package pin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin/turns"
)

// job is one DAG that requests wait for. The scheduler's lock guards it.
type job struct {
	turns.Job // its account is that of the request that made the job

	dag     DAG
	members waiters
	hints   hints

	// While running.
	cancel    context.CancelCauseFunc
	attempt   Attempt // zero until Begin gave one
	slot      *turns.Slot
	dirty     bool      // its requests changed since the run began
	rechecked bool      // it was cancelled to begin anew
	fresh     bool      // there are origins that it does not know
	seeking   time.Time // since when this run seeks; zero if it does not yet
	released  []Attempt // to be dropped when the run has ended, as it may still write under them

	sampled uint64  // bytes at the last tick
	rate    float64 // recent bytes per second

	// Across runs.
	progress *Progress // of this or the last run; nil before the first
	began    time.Time // when the first run began
	renewed  time.Time // when a run last ended so that new origins are tried
	best     uint64    // the highest number of blocks of any earlier run
	moved    time.Time // when it last got further: the stall clock
	tries    int       // runs that ended without success
	repair   bool      // the DAG was complete: the job does not fail
	blocked  bool      // parked until the disk has space; the stall clock stands
	alone    bool      // it is blocked for what this DAG wants: the clock alone wakes it
	starved  bool      // its last run ended because the disk was full
	needs    uint64    // bytes for which there was no space; 0 if not known
	late     string    // why it is about to fail
	trouble  string    // why the last run ended, for the user; "" if it only found nothing
	troubles string    // of single blocks, as the last run found that had any
	restored bool      // it was read from disk, and what is noted of it was not read yet
	gaveWay  bool      // what had come was let go of
	kept     Kept      // what the records note of it, by the scheduler's clock
}

// Why a run is cancelled.
var (
	errEvicted  = errors.New("others wait for the place")
	errRecheck  = errors.New("the requests for it changed")
	errReleased = errors.New("its attempt was released")
	errLate     = errors.New("no progress, or not enough")
)

// requestsLocked names the requests that wait for the job, for logs: users know a pin by
// its requestid. The scheduler's lock is held.
func (j *job) requestsLocked() slog.Attr {
	var first member
	for m := range j.members.all() {
		if first.id == "" || m.id < first.id {
			first = m
		}
	}
	return slog.Group("", "requestid", first.id, "account", first.account, "requests", j.members.len())
}

// peerOf returns the peer id that an origin ends in, "" if it does not end in one. Each
// way to write the id gives the same.
func peerOf(origin string) string {
	if addr, err := readOrigin(origin); err == nil {
		return peerIn(addr)
	}
	i := strings.LastIndex(origin, "/p2p/")
	if i < 0 {
		return ""
	}
	return strings.TrimSuffix(origin[i+len("/p2p/"):], "/")
}

// lastMoved is when the job last got further than ever before. To find again what an
// earlier run had stored is no progress.
func (j *job) lastMoved() time.Time {
	t := j.moved
	if j.progress != nil {
		if w := j.progress.LastWork(); w.After(t) {
			t = w
		}
	}
	if j.progress != nil && j.progress.Blocks.Load() > j.best {
		if b := j.progress.LastBlock(); b.After(t) {
			t = b
		}
	}
	return t
}

// sample updates the rate by the bytes that were received since the last tick.
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

// handles reports whether a run has blocks to handle: it has a worker for that or waits for one, or the
// last blocks are being written.
func (j *job) handles() bool {
	if j.State() != turns.Running || j.slot == nil {
		return false
	}
	waits, held := j.slot.State()
	return waits || held || j.progress.Writes.Load()
}

// stalled reports whether the job has not got further for the timeout. A job that waits
// for a worker, walks through what is stored, or writes the last blocks, does not stall.
func (j *job) stalled(now time.Time, timeout, idle time.Duration) bool {
	if j.blocked {
		return false
	}
	if j.State() == turns.Running && j.slot != nil {
		if waits, _ := j.slot.State(); waits || j.progress.Writes.Load() || now.Sub(j.progress.LastBlock()) < idle {
			return false
		}
	}
	return now.Sub(j.lastMoved()) >= timeout
}

// stallReason says why a job that stalled for the timeout fails.
func (j *job) stallReason(timeout time.Duration) string {
	s := fmt.Sprintf("no block was received for %v", timeout)
	if j.progress != nil {
		if n := j.progress.Blocks.Load(); n > 0 {
			s += fmt.Sprintf(", after %d blocks", n)
		} else {
			s += ": no connected peer has the root"
		}
	}
	if note := j.note(); note != "" {
		s += "; " + note
	}
	if j.trouble != "" {
		s += "; the last try ended with: " + j.trouble
	}
	return s
}
