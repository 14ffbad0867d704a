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
// so many that all the streams that one peer may open have room in seven eighths of
// what it may reserve, which leaves some for ours to it, and the usual ones of all peers
// in what all may. Yamux ends a connection whose next stream has none.
func (l Limits) streamWindow() int {
	peer := l.resourceLimits().ToPartialLimitConfig().PeerDefault
	one := int64(peer.Memory) / 8 * 7 / int64(peer.StreamsInbound)
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
	more int // for each of them
}

// BeginSpan begins a span for a stream. The caller ends it, unless it fails to reserve
// the first window.
func (s windowScope) BeginSpan() (network.ResourceScopeSpan, error) {
	span, err := s.PeerScope.BeginSpan()
	if err != nil {
		return nil, err
	}
	return &windowSpan{ResourceScopeSpan: span, more: s.more}, nil
}

// windowSpan is a stream's.
type windowSpan struct {
	network.ResourceScopeSpan
	more  int
	first bool // the first window was asked for
}

// ReserveMemory reserves memory: the first time, which is for the least window, more.
// Yamux then forgets a span that has none left, and does not end it.
func (s *windowSpan) ReserveMemory(n int, prio uint8) error {
	if s.first {
		return s.ResourceScopeSpan.ReserveMemory(n, prio)
	}
	s.first = true // before yamux shares the stream
	err := s.ResourceScopeSpan.ReserveMemory(n+s.more, prio)
	if err != nil {
		s.Done()
	}
	return err
}
