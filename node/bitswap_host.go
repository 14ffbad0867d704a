package node

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

const (
	// A peer that takes none of what is sent to it for so long is cut off. A
	// piece of 64 KiB in 15 s is a hundredth of the slowest line that blocks
	// are fetched by.
	writeStall = 15 * time.Second
	// While all that can be sent at the same time waits, others wait too: then
	// it is sooner. A peer that asks for much and takes nothing would else hold
	// up everybody for as long as Bitswap is patient, up to two minutes.
	writeStallBusy = 3 * time.Second
	// How often that is looked at.
	writeCheck = 500 * time.Millisecond
	writePiece = 64 << 10
)

// bitswapHost is the host as Bitswap has it: its streams go by direct
// connections alone, and by those only while the other end takes something. Blocks
// go to who is connected. What comes in is bounded.
type bitswapHost struct {
	host.Host
	writes *writes
	reads  *reads
}

// newBitswapHost makes one. While as many writes are under way as there are workers
// it is less patient.
func newBitswapHost(h host.Host, l Limits) bitswapHost {
	return bitswapHost{h, newWrites(l.SendWorkers), newReads(l)}
}

// SetStreamHandler has the handler called for streams of direct connections.
// libp2p opens none by a relay unless it is told to; but it takes those that
// come by one, and a relay forwards too little to send blocks by it.
func (h bitswapHost) SetStreamHandler(id protocol.ID, handle network.StreamHandler) {
	h.Host.SetStreamHandler(id, func(s network.Stream) {
		if limited(s.Conn()) {
			_ = s.Reset() // there is nobody to tell
			return
		}
		in := h.reads.open(s)
		defer in.close()
		handle(in)
	})
}

type servingKey struct{}

// serving gives the context of who sends blocks: see [bitswapHost.NewStream].
func serving(ctx context.Context) context.Context {
	return context.WithValue(ctx, servingKey{}, true)
}

// errNoDirect is that blocks were for a peer that has gone.
var errNoDirect = errors.New("the peer has no direct connection")

// NewStream opens a stream whose writes are watched. Who serves opens it to a peer
// that is connected or not at all, and is watched from here: a worker that dialled one
// that has gone would be held for 5 s, and one that waited for a direct connection for
// 10 s, which is all workers if that peer had asked for enough; and one that is
// connected can be silent when the protocol is agreed upon.
func (h bitswapHost) NewStream(ctx context.Context, p peer.ID, ids ...protocol.ID) (network.Stream, error) {
	if ctx.Value(servingKey{}) != nil {
		if !slices.ContainsFunc(h.Network().ConnsToPeer(p), direct) {
			return nil, errNoDirect
		}
		ctx = network.WithNoDial(ctx, "blocks go to who is connected")
		opening := &sending{to: p}
		h.writes.moves(opening)
		defer h.writes.done(opening)
	}
	s, err := h.Host.NewStream(ctx, p, ids...)
	if err != nil {
		return nil, err
	}
	return &watchedStream{Stream: s, writes: h.writes}, nil
}

// watch cuts off peers that take nothing, until ctx ends.
func (h bitswapHost) watch(ctx context.Context) {
	ticker := time.NewTicker(writeCheck)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			for _, p := range h.writes.stalled(now) {
				_ = h.Network().ClosePeer(p) // one that is gone is what we want
			}
		}
	}
}

// writes are those that are under way.
type writes struct {
	busy int

	mu     sync.Mutex
	open   map[*sending]struct{}
	ending bool // the server is closed, which waits for all of them
}

// sending is what a peer is to take.
type sending struct {
	to    peer.ID
	moved time.Time // when it began, or the peer took something; guarded by writes.mu
}

func newWrites(busy int) *writes {
	return &writes{busy: busy, open: make(map[*sending]struct{})}
}

// moves notes that something begins, or that the peer took some of it.
func (w *writes) moves(s *sending) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s.moved = time.Now()
	w.open[s] = struct{}{}
}

func (w *writes) done(s *sending) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.open, s)
}

// end has peers cut off from now on that do not take at once what is sent to them.
func (w *writes) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ending = true
}

// stalled gives the peers that take nothing.
func (w *writes) stalled(now time.Time) (peers []peer.ID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	patience := writeStall
	switch {
	case w.ending:
		patience = writeCheck
	case len(w.open) >= w.busy:
		patience = writeStallBusy
	}
	for s := range w.open {
		if now.Sub(s.moved) >= patience {
			peers = append(peers, s.to)
		}
	}
	return peers
}

// watchedStream is a stream that notes when its other end took something.
type watchedStream struct {
	network.Stream
	writes *writes
}

// Write writes a piece at a time.
func (s *watchedStream) Write(b []byte) (n int, err error) {
	now := &sending{to: s.Conn().RemotePeer()}
	defer s.writes.done(now)
	for {
		s.writes.moves(now)
		piece := b[n:min(n+writePiece, len(b))]
		m, err := s.Stream.Write(piece)
		n += m
		if err != nil || n == len(b) {
			return n, err
		}
	}
}
