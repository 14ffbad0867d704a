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

// Some peers answer all that a message asks for with one message, and some have blocks that
// are too large for any message. Such an answer is lost, with everything in it, and would
// be lost again in the same way. So the peer is asked for less at a time, down to one block.

const (
	// By so much the window shrinks when everything was lost twice, or a message was too
	// large: from 64 blocks to one in three rounds.
	narrowBy = 4
	// For so long the window stays below what was once too much.
	narrowFor = time.Minute
	// After a message that was too large, the line is asked nothing for a moment, in which
	// other answers come that were on their way. That is twice the usual latency, within
	// these limits.
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

// narrow shrinks the window below what is open, and takes back the asks that are too many.
// The caller asks again for what is kept.
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

// goOn asks again for what was kept when a message was too large, after the pause.
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
