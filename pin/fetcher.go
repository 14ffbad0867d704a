package pin

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Fetcher brings DAGs to disk.
type Fetcher interface {
	// Fetch walks the job's DAG and returns nil once every block of it is on
	// disk, checked against its hash, held by the attempt, and durable
	// against power loss. Blocks that are on disk already are not fetched; they
	// are hashed again unless all that is below them is known to be good.
	//
	// It returns when ctx ends, with the context's error, after everything it
	// started has stopped: nothing is written under the attempt any more. It
	// does not time out by itself: the caller watches the job's Progress.
	//
	// Errors: [*RefusedError] when no retry can help; ErrDiskFull; any other
	// may be tried again.
	Fetch(ctx context.Context, j Job) (Totals, error)

	// Announce tells the network that this node has the DAG, which is complete
	// now, and goes on telling until Withdraw. It does not wait for that to
	// happen.
	Announce(d DAG)

	// Withdraw takes back Announce: the DAG is not held any more. One that is
	// pinned again by then stays announced, in whatever order the two came. It
	// may be called for a DAG that never was announced.
	Withdraw(d DAG)

	// Announced tells when the network was last told that this node has the
	// DAG's root; the zero time is not yet. ok is false if it is not to be told
	// at all. It answers from memory.
	Announced(d DAG) (at time.Time, ok bool)
}

// Job is one DAG to fetch.
type Job struct {
	DAG     DAG
	Attempt Attempt
	// Origins are hints of where to find it: multiaddrs ending in /p2p/ID.
	Origins []string
	// Limits of what the DAG may be.
	Limits Limits
	// Repair says that the DAG was complete and is to be so again: nothing of it is
	// refused that was let in.
	Repair bool
	// Progress is written by the fetcher and read by anybody. Never nil.
	Progress *Progress
	// Slot is the worker that this job may hold. Never nil.
	Slot Slot
	// IdleTimeout is how long the fetch keeps its worker while nothing comes.
	IdleTimeout time.Duration
}

// Slot is a place among the workers, of which there are few. A fetch that only
// waits for the network needs none: it holds one while it handles blocks.
//
// The fetcher acquires the slot before it handles a block, whether received or
// found on disk, and releases it when it can do nothing but wait: at once if
// nothing was received since it acquired it, else after Job.IdleTimeout
// without a block. Both are idempotent and are called by one goroutine of the
// fetch; the manager releases what a fetch still holds when it returns.
type Slot interface {
	// Acquire blocks until a worker is free. Its errors end the fetch.
	Acquire(ctx context.Context) error
	Release()
}

// Limits bound one DAG. Zero in a field is no limit.
type Limits struct {
	Bytes      uint64 // of all blocks, each counted once
	Blocks     uint64
	BlockBytes uint64 // of one block
	Links      uint64 // in one block
	Depth      uint64 // links from the root to a block, by the way the walk came
}

// RefusedError is why a DAG cannot be pinned, whoever tries and however
// often: a block that does not decode, a codec that is not known, a limit.
type RefusedError struct {
	Reason string // in words that a user can act on
}

func (e *RefusedError) Error() string { return e.Reason }

// Refused makes a [*RefusedError] from a format.
func Refused(format string, a ...any) error {
	return &RefusedError{Reason: fmt.Sprintf(format, a...)}
}

// Progress is how far a fetch has come. The fetcher writes it, and any number
// of readers may look at the same time. The zero value is ready to use.
type Progress struct {
	Blocks    atomic.Uint64 // on disk or in hand, each counted once
	Bytes     atomic.Uint64 // of those blocks
	Received  atomic.Uint64 // blocks that came from the network
	Providers atomic.Int64  // peers that are connected and have sent blocks of it
	again     atomic.Uint64 // blocks that were asked for again, as no answer came
	gap       atomic.Int64  // the longest time without a block from those who have it, in nanoseconds
	claimed   atomic.Uint64 // bytes of all of it, as its root says
	answers   atomic.Int64  // in nanoseconds
	lastBlock atomic.Pointer[time.Time]
	now       func() time.Time // nil is time.Now
	mu        sync.Mutex
	note      string
	troubles  string
}

// Advance records that a block new to this fetch is here: received, or found
// on disk.
func (p *Progress) Advance(size int, received bool) {
	p.Blocks.Add(1)
	p.Bytes.Add(uint64(size))
	if received {
		p.Received.Add(1)
	}
	now := time.Now
	if p.now != nil {
		now = p.now
	}
	at := now()
	p.lastBlock.Store(&at)
}

// Asked records how the asking goes: how many providers are connected, how many
// blocks were asked for again as no answer came, and the longest time without a
// block while a provider was asked for one.
func (p *Progress) Asked(providers int, again uint64, gap time.Duration) {
	p.Providers.Store(int64(providers))
	p.again.Store(again)
	p.gap.Store(int64(gap))
}

// Again is how many blocks were asked for again as no answer came.
func (p *Progress) Again() uint64 { return p.again.Load() }

// Gap is the longest time without a block while a provider was asked for one.
func (p *Progress) Gap() time.Duration { return time.Duration(p.gap.Load()) }

// SetClaimed records how many bytes the DAG has as its root says, which is not to be
// relied upon; 0 is that it does not say.
func (p *Progress) SetClaimed(bytes uint64) { p.claimed.Store(bytes) }

// Claimed is what SetClaimed recorded.
func (p *Progress) Claimed() uint64 { return p.claimed.Load() }

// LastBlock is when Advance was last called, by the clock of who made the Progress; the
// zero time if never.
func (p *Progress) LastBlock() time.Time {
	if at := p.lastBlock.Load(); at != nil {
		return *at
	}
	return time.Time{}
}

// SetAnswerTime records after how long those who are asked for the DAG's root, when a
// fetch begins, will have answered, as far as that is known: a fetch that still has
// nothing then may have to make room for others. 0 is that it is not known, as when
// somebody is dialled.
func (p *Progress) SetAnswerTime(d time.Duration) { p.answers.Store(int64(d)) }

// AnswerTime is what SetAnswerTime recorded.
func (p *Progress) AnswerTime() time.Duration { return time.Duration(p.answers.Load()) }

// SetNote leaves a sentence for the user on what the fetch waits for, such as
// an origin that is not dialled and the setting that would allow it. "" takes
// it back.
func (p *Progress) SetNote(s string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note = s
}

// SetTroubles leaves a sentence for the user on blocks for which something else came, or
// that nobody has: it names them. "" takes it back.
func (p *Progress) SetTroubles(s string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.troubles = s
}

// Troubles is what SetTroubles left.
func (p *Progress) Troubles() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.troubles
}

// Note is what SetNote and SetTroubles left.
func (p *Progress) Note() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.note == "" || p.troubles == "" {
		return p.note + p.troubles
	}
	return p.note + "; " + p.troubles
}
