package node

import (
	"net"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
)

const (
	// streamWindowLeast is what yamux begins a stream with, and reserves memory for
	// (initialStreamWindow in go-yamux).
	streamWindowLeast = 256 << 10
	// streamWindowMost is that of a message with one block of 1 MiB. Bitswap opens a
	// stream for each message, so that it is the first window that counts: with the
	// least one every such message is held up by eight updates.
	streamWindowMost = 1<<20 + 64<<10
	// streamsPerConn is how many streams a connection has at most, most of the time:
	// of the DHT, of Bitswap and of upkeep, each way.
	streamsPerConn = 16
)

// streamWindow is how many bytes a peer may send on a new stream before anybody reads:
// so many that all the streams of one peer have room in what it may reserve, and the
// usual ones of all peers in what all may. Yamux ends a connection whose next stream
// has none.
func (l Limits) streamWindow() int {
	peer := l.resourceLimits().ToPartialLimitConfig().PeerDefault
	one := int64(peer.Memory) / int64(peer.StreamsInbound)
	all := int64(l.Memory) / int64(streamsPerConn*l.ConnHigh)
	return int(max(streamWindowLeast, min(one, all, streamWindowMost)))
}

// muxer is yamux as libp2p has it, but for the first window of a stream. Yamux takes
// memory from the peer's share for the least one, whatever it is.
type muxer struct {
	yamux.Transport
	more int // beyond the least window
}

func newMuxer(window int) *muxer {
	m := &muxer{Transport: *yamux.DefaultTransport, more: window - streamWindowLeast}
	m.InitialStreamWindowSize = uint32(window)
	return m
}

func (m *muxer) option() libp2p.Option { return libp2p.Muxer(yamux.ID, m) }

// NewConn implements [network.Multiplexer].
func (m *muxer) NewConn(conn net.Conn, isServer bool, scope network.PeerScope) (network.MuxedConn, error) {
	if scope != nil {
		scope = windowScope{scope, m.more}
	}
	return m.Transport.NewConn(conn, isServer, scope)
}

// windowScope is a peer's share of memory, of which yamux begins a span for each stream.
type windowScope struct {
	network.PeerScope
	more int
}

// BeginSpan begins a span that has more reserved. The caller ends it.
func (s windowScope) BeginSpan() (network.ResourceScopeSpan, error) {
	span, err := s.PeerScope.BeginSpan()
	if err != nil || s.more == 0 {
		return span, err
	}
	if err := span.ReserveMemory(s.more, network.ReservationPriorityAlways); err != nil {
		span.Done()
		return nil, err
	}
	return span, nil
}
