package exchange

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Some peers answer all that a message asks for by one message, and some have blocks that
// no message takes. Both are lost, with all that is beside them, and would be lost again
// in the same way. So less is asked for at a time, down to one block.

const (
	// So much less is asked for when all was lost twice, or a message was too large: from
	// 64 blocks to one in three rounds.
	narrowBy = 4
	// What was too much once is not asked for at the same time for so long.
	narrowFor = time.Minute
	// After a message that was too large the line is left alone for a moment, in which
	// others come that were on their way: at least so long, and twice the usual time to an
	// answer, but no longer than narrowMost.
	narrowLeast, narrowMost = 250 * time.Millisecond, 2 * time.Second
)

// TooLarge takes note that a peer began to send a message of so many bytes, more than
// is read. What was in it is lost. If the peer was asked for one block alone, asked is that:
// whoever reads the message may find out whether it is that block, and call [Exchange.Oversized].
func (x *Exchange) TooLarge(p peer.ID, bytes uint64) (asked cid.Cid) {
	x.mu.Lock()
	defer x.mu.Unlock()
	l := x.lines[p]
	if l == nil || l.open == 0 || !l.held.IsZero() {
		return cid.Undef
	}
	now := time.Now()
	if l.open > 1 {
		if l.wide == 0 {
			l.wide = l.window.size
		}
		l.held = now.Add(min(max(narrowLeast, 2*l.window.latency), narrowMost))
		l.narrow(now)
		return cid.Undef
	}
	// It is this block, and not how many there are.
	l.window.size, l.window.lossy = max(l.wide, l.window.size), 0
	l.wide = 0
	for _, a := range l.asks {
		if a.state == askBlock {
			asked = a.want.cid
			x.oddly(l, a.want.key, fmt.Sprintf("it sends a message of %d bytes, more than the %d (4 MiB) that Bitswap allows", bytes, network.MessageSizeMax), oddPause, now)
			break
		}
	}
	l.assign()
	return asked
}

// Oversized takes note that a block was seen to have so many bytes that no message takes
// it: its bytes had the hash of its CID.
func (x *Exchange) Oversized(p peer.ID, c cid.Cid, bytes uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	w := x.wants[string(c.Hash())]
	if w == nil {
		return
	}
	x.log.Info("a block is too large for a message of Bitswap", "cid", c, "bytes", bytes, "peer", p)
	for _, s := range w.sessions {
		s.oversized = append(s.oversized, Oversized{w.cid, bytes})
		s.tell()
	}
}

// Oversized is a block that no peer can send, since no message takes it.
type Oversized struct {
	CID   cid.Cid
	Bytes uint64
}

// narrow has the line asked for less than is open, and takes back what is too much. What
// stays is the caller's to ask for again.
func (l *line) narrow(now time.Time) (kept []*ask) {
	for _, a := range l.asks {
		if a.state == askBlock {
			kept = append(kept, a)
		}
	}
	slices.SortFunc(kept, func(a, b *ask) int {
		return cmp.Or(a.first.Compare(b.first), cmp.Compare(a.want.key, b.want.key))
	})
	n := len(kept)
	l.window.narrowed(n)
	l.lossyUntil = now.Add(narrowFor)
	for len(kept) > l.window.size {
		a := kept[len(kept)-1]
		kept = kept[:len(kept)-1]
		l.x.drop(a)
		l.cancel(a.want.cid)
		if !a.want.isAsked() {
			a.want.requeue()
		}
	}
	return kept
}

// goOn asks for what stayed open when a message was too large.
func (l *line) goOn(now time.Time) {
	if !l.lossyUntil.IsZero() && !now.Before(l.lossyUntil) {
		l.lossyUntil, l.window.lossy, l.wide = time.Time{}, 0, 0
	}
	if l.held.IsZero() || now.Before(l.held) {
		return
	}
	l.held = time.Time{}
	for _, a := range l.asks {
		if a.state == askBlock {
			l.x.again.Add(1)
			l.ask(a.want, a.by, askBlock, now)
		}
	}
	l.assign()
}
