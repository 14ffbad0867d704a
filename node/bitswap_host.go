package node

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	msmux "github.com/multiformats/go-multistream"
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

// errNoDirect is that blocks were for a peer that has gone.
var errNoDirect = errors.New("the peer has no direct connection")

// NewStream opens a stream for wants, whose writes are watched.
func (h bitswapHost) NewStream(ctx context.Context, p peer.ID, ids ...protocol.ID) (network.Stream, error) {
	s, err := h.Host.NewStream(ctx, p, ids...)
	if err != nil {
		return nil, err
	}
	return &wantStream{watchedStream: watchedStream{Stream: s, writes: h.writes}}, nil
}

// newServingStream opens a stream for blocks by a connection, the newest one of the
// peer, and is watched from here. A host dials who has gone, which holds a worker for as
// long as a dial may take (5 s, and 15 s to a public address: go-libp2p's
// p2p/net/swarm/swarm.go), and all workers if that peer had asked for enough; and of two
// connections it takes the one with more streams, which is the older one of a peer that
// was killed and has come back.
func (h bitswapHost) newServingStream(ctx context.Context, c network.Conn, ids ...protocol.ID) (network.Stream, error) {
	opening := &sending{by: c}
	h.writes.moves(opening)
	defer h.writes.done(opening)
	s, err := c.NewStream(ctx)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = s.Reset() })
	defer stop()
	chosen, err := h.speak(s, ids)
	if err != nil {
		_ = s.ResetWithError(network.StreamProtocolNegotiationFailed)
		return nil, err
	}
	return chosen, nil
}

// speak agrees with the other end of a stream upon a protocol: with the first
// write, on one that the peer is known to speak. As a host does, it keeps what was
// agreed upon with a peer that did not tell, so that not each message waits for that.
func (h bitswapHost) speak(s network.Stream, ids []protocol.ID) (network.Stream, error) {
	known, err := h.Peerstore().SupportsProtocols(s.Conn().RemotePeer(), ids...)
	if err != nil {
		return nil, err
	}
	if len(known) > 0 {
		return &lazyStream{Stream: s, lazy: msmux.NewMSSelect(s, known[0])}, s.SetProtocol(known[0])
	}
	id, err := msmux.SelectOneOf(ids, s)
	if err != nil {
		return nil, err
	}
	_ = h.Peerstore().AddProtocols(s.Conn().RemotePeer(), id) // else it is asked again
	return s, s.SetProtocol(id)
}

// lazyStream is a stream whose protocol is agreed upon as it is used.
type lazyStream struct {
	network.Stream
	lazy io.ReadWriteCloser
}

func (s *lazyStream) Read(b []byte) (int, error)  { return s.lazy.Read(b) }
func (s *lazyStream) Write(b []byte) (int, error) { return s.lazy.Write(b) }

// Close waits until the other end agreed to the protocol, or the read deadline.
func (s *lazyStream) Close() error { return s.lazy.Close() }

// CloseWrite has the other end told of the protocol though nothing was written.
func (s *lazyStream) CloseWrite() error {
	_, _ = s.lazy.Write(nil) // what is wrong with the stream is told when it is read
	return s.Stream.CloseWrite()
}

// watch closes connections that nothing is taken from, and streams of a sender that
// nothing is sent by, until ctx ends.
func (h bitswapHost) watch(ctx context.Context, s *sender) {
	ticker := time.NewTicker(writeCheck)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			for _, c := range h.writes.stalled(now) {
				_ = c.CloseWithError(network.ConnGarbageCollected) // one that is gone is what we want
			}
			s.sweep(now)
		}
	}
}
