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

// bitswapHost is the host as Bitswap sees it. Streams go over direct connections alone,
// and a connection is closed if the other end takes nothing. Blocks go only to peers that
// are connected. The memory of messages that come in is bounded.
type bitswapHost struct {
	host.Host
	writes *writes
	reads  *reads
}

// newBitswapHost makes one.
func newBitswapHost(h host.Host, l Limits) bitswapHost {
	return bitswapHost{h, newWrites(), newReads(l)}
}

// SetStreamHandler has the handler called for streams of direct connections alone. libp2p
// opens no stream over a relay by itself, but takes those that come over one. A relay
// forwards too little for blocks.
func (h bitswapHost) SetStreamHandler(id protocol.ID, handle network.StreamHandler) {
	h.Host.SetStreamHandler(id, func(s network.Stream) {
		if limited(s.Conn()) {
			_ = s.Reset() // an error of that says nothing more
			return
		}
		in := h.reads.open(s)
		defer in.close()
		handle(in)
	})
}

// errNoDirect: the peer that blocks were for has gone.
var errNoDirect = errors.New("the peer has no direct connection")

// NewStream opens a stream for wants, whose writes are watched.
func (h bitswapHost) NewStream(ctx context.Context, p peer.ID, ids ...protocol.ID) (network.Stream, error) {
	s, err := h.Host.NewStream(ctx, p, ids...)
	if err != nil {
		return nil, err
	}
	return &wantStream{watchedStream: watchedStream{Stream: s, writes: h.writes}}, nil
}

// newServingStream opens a stream for blocks on a connection, which is the peer's newest.
// The opening counts as a write, so that it is cut off if the peer does not answer. answered is
// called once with how long the peer took to agree on the protocol: at least a round trip.
//
// A host's own NewStream would not do. It dials a peer that has gone, and so holds a worker
// for as long as a dial may take (5 s, and 15 s to a public address: go-libp2p's
// p2p/net/swarm/swarm.go); a peer that had asked for enough would hold all workers. And of
// two connections it takes the one with more streams: the older one, if the peer was killed
// and has come back.
func (h bitswapHost) newServingStream(ctx context.Context, c network.Conn, answered func(time.Duration), ids ...protocol.ID) (network.Stream, error) {
	opening := &sending{by: c}
	h.writes.moves(opening)
	defer h.writes.done(opening)
	s, err := c.NewStream(ctx)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = s.Reset() })
	defer stop()
	chosen, err := h.speak(&answerTimer{Stream: s, answered: answered, began: time.Now()}, ids)
	if err != nil {
		_ = s.ResetWithError(network.StreamProtocolNegotiationFailed)
		return nil, err
	}
	return chosen, nil
}

// speak agrees on a protocol with the other end of a stream. If the peer is known to speak
// one, the agreement goes with the first write. Else the result is remembered, as a host
// does it, so that the next message need not wait for it.
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

// lazyStream is a stream whose protocol is agreed on with the first write or read.
type lazyStream struct {
	network.Stream
	lazy io.ReadWriteCloser
}

func (s *lazyStream) Read(b []byte) (int, error)  { return s.lazy.Read(b) }
func (s *lazyStream) Write(b []byte) (int, error) { return s.lazy.Write(b) }

// Close waits until the other end agreed to the protocol, or the read deadline.
func (s *lazyStream) Close() error { return s.lazy.Close() }

// CloseWrite names the protocol to the other end, even if nothing was written.
func (s *lazyStream) CloseWrite() error {
	_, _ = s.lazy.Write(nil) // an error of the stream comes when it is read
	return s.Stream.CloseWrite()
}

// watch closes, until ctx ends, connections whose peer takes nothing, and streams that the
// sender does not use.
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
			s.room.sweep(now)
		}
	}
}
