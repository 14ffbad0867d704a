package pin

import (
	"sync"
	"sync/atomic"
	"time"
)

// Progress is how far a fetch has come. The engine writes it, and any number of readers may
// read it at the same time. The zero value is ready to use.
type Progress struct {
	Blocks    atomic.Uint64 // on disk or in hand, each counted once
	Bytes     atomic.Uint64 // of those blocks
	Received  atomic.Uint64 // blocks that came from the network
	Providers atomic.Int64  // peers that are connected and have sent blocks of it
	Writes    atomic.Bool   // all blocks have come, and the last of them are being written
	again     atomic.Uint64 // blocks that were asked for again, as no answer came
	gap       atomic.Int64  // the longest time without a block from a provider, in nanoseconds
	claimed   atomic.Uint64 // bytes of the whole DAG, as its root says
	answers   atomic.Int64  // see SetAnswerTime; in nanoseconds
	lastBlock atomic.Pointer[time.Time]
	lastWork  atomic.Pointer[time.Time]
	now       func() time.Time // nil is time.Now
	mu        sync.Mutex
	note      string
	troubles  string
	delivered Delivered
}

// Advance records that a block that is new to this fetch is here: received, or found.
func (p *Progress) Advance(size int, received bool) {
	p.Blocks.Add(1)
	p.Bytes.Add(uint64(size))
	if received {
		p.Received.Add(1)
	}
	p.lastBlock.Store(p.time())
}

// Set records how far a fetch is that happens elsewhere: how many blocks are there, and their
// bytes. It counts as [Progress.Advance] does if that is more than before.
func (p *Progress) Set(blocks, bytes uint64) {
	if p.Bytes.Swap(bytes) < bytes || p.Blocks.Load() < blocks {
		p.lastBlock.Store(p.time())
	}
	p.Blocks.Store(blocks)
}

// Works records that the place works on the fetch, although it does not say how far it is.
// The fetch does not stall then. It may still have to give its turn to others.
func (p *Progress) Works() { p.lastWork.Store(p.time()) }

// LastWork is when Works was last called, by the manager's clock; the zero time if never.
func (p *Progress) LastWork() time.Time {
	if at := p.lastWork.Load(); at != nil {
		return *at
	}
	return time.Time{}
}

func (p *Progress) time() *time.Time {
	now := time.Now
	if p.now != nil {
		now = p.now
	}
	at := now()
	return &at
}

// Asked records how many providers are connected, how many blocks were asked for again as
// no answer came, and the longest time without a block while a provider was asked.
func (p *Progress) Asked(providers int, again uint64, gap time.Duration) {
	p.Providers.Store(int64(providers))
	p.again.Store(again)
	p.gap.Store(int64(gap))
}

// Again is how many blocks were asked for again, as no answer came.
func (p *Progress) Again() uint64 { return p.again.Load() }

// Gap is the longest time without a block while a provider was asked.
func (p *Progress) Gap() time.Duration { return time.Duration(p.gap.Load()) }

// SetClaimed records how many bytes the DAG has according to its root, which may be wrong;
// 0 if the root does not say.
func (p *Progress) SetClaimed(bytes uint64) { p.claimed.Store(bytes) }

// Claimed is what SetClaimed recorded.
func (p *Progress) Claimed() uint64 { return p.claimed.Load() }

// LastBlock is when Advance was last called, by the manager's clock; the zero time if
// never.
func (p *Progress) LastBlock() time.Time {
	if at := p.lastBlock.Load(); at != nil {
		return *at
	}
	return time.Time{}
}

// SetAnswerTime records, when a fetch begins, after how long the peers that are asked for
// the root will have answered. A fetch that has nothing by then may have to give up its
// place. 0 means not known, as when a peer is being dialled.
func (p *Progress) SetAnswerTime(d time.Duration) { p.answers.Store(int64(d)) }

// AnswerTime is what SetAnswerTime recorded.
func (p *Progress) AnswerTime() time.Duration { return time.Duration(p.answers.Load()) }

// SetDelivered records who delivered the blocks that came.
func (p *Progress) SetDelivered(d Delivered) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delivered = d
}

// Delivered is what SetDelivered recorded. When a fetch begins, it is what earlier tries of
// the same job got.
func (p *Progress) Delivered() Delivered {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.delivered
}

// SetNote records a sentence for the user on what the fetch waits for, such as an origin
// that is not dialled and the setting that would allow it. "" takes it back.
func (p *Progress) SetNote(s string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note = s
}

// SetTroubles records a sentence for the user that names blocks for which other bytes came,
// or which no peer has. "" takes it back.
func (p *Progress) SetTroubles(s string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.troubles = s
}

// Troubles is what SetTroubles recorded.
func (p *Progress) Troubles() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.troubles
}

// Note is what SetNote and SetTroubles recorded.
func (p *Progress) Note() string {
	return p.noteWith(p.Troubles())
}

func (p *Progress) noteWith(troubles string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.note == "" || troubles == "" {
		return p.note + troubles
	}
	return p.note + "; " + troubles
}
