package node

import (
	"net"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
)

const (
	// streamWindowLeast is the window with which yamux begins a stream, and for which it
	// reserves memory (initialStreamWindow in go-yamux).
	streamWindowLeast = 256 << 10
	// streamWindowMost takes a message with one block of 1 MiB. Bitswap opens a stream for
	// each message, so the first window is what counts: with streamWindowLeast such a
	// message waits for eight updates.
	streamWindowMost = 1<<20 + 64<<10
	// streamsPerConn is how many streams a connection rarely exceeds: those of the DHT, of
	// Bitswap and of upkeep, each way.
	streamsPerConn = 16
)

// streamWindow is how many bytes a peer may send on a new stream before they are read. It
// is so large that two things still hold, since yamux ends a connection for whose next
// stream there is no memory:
//   - All the streams that one peer may open fit into seven eighths of what it may reserve.
//     The rest is for our streams to it.
//   - The usual streams of all peers fit into what all peers may reserve.
func (l Limits) streamWindow() int {
	peer := l.resourceLimits().ToPartialLimitConfig().PeerDefault
	one := int64(peer.Memory) / 8 * 7 / int64(peer.StreamsInbound)
	all := int64(l.Memory) / int64(streamsPerConn*l.ConnHigh)
	return int(max(streamWindowLeast, min(one, all, streamWindowMost)))
}

// muxer is libp2p's yamux with a wider first window of a stream. Yamux itself reserves
// memory of the peer's share for streamWindowLeast, whatever the window is.
type muxer struct {
	yamux.Transport
	more int // bytes beyond streamWindowLeast
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

// windowScope is a peer's share of memory. Yamux begins a span of it for each stream.
type windowScope struct {
	network.PeerScope
	more int // bytes for each stream
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

// windowSpan is the span of a stream.
type windowSpan struct {
	network.ResourceScopeSpan
	more  int
	first bool // memory for the first window was reserved
}

// ReserveMemory reserves memory. The first call is for streamWindowLeast, and reserves more.
// If that fails, yamux forgets the span and does not end it, so it is ended here.
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
