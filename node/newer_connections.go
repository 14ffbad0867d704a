package node

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	msmux "github.com/multiformats/go-multistream"

	"github.com/holdfast-ipfs/holdfast/internal/awake"
)

// answerTime is how long a connection has to answer once there is a newer one of the same
// peer. Halfway round the world and back takes 300 ms, over a satellite 600 ms. A peer asks
// for a block again after a second. This is less, because what is being sent on the old
// connection is not sent on another one until the old one is closed.
const answerTime = 700 * time.Millisecond

// supplanted closes connections that the peer does not know of any more: it was killed, or
// moved to another network, and has come back on a newer connection. libp2p closes the older
// one only when nothing came on it for long, for QUIC 30 s (quic-go's DefaultIdleTimeout).
// Until then it opens streams on the older one, because that has more of them.
type supplanted struct {
	ctx context.Context

	mu      sync.Mutex
	probing map[network.Conn]struct{}
	closed  bool
	wg      sync.WaitGroup
}

// newSupplanted looks at connections that are opened from now on. The caller ends ctx and
// then closes it.
func newSupplanted(ctx context.Context, n network.Network) *supplanted {
	s := &supplanted{ctx: ctx, probing: make(map[network.Conn]struct{})}
	n.Notify(&network.NotifyBundle{ConnectedF: func(n network.Network, c network.Conn) {
		for _, older := range n.ConnsToPeer(c.RemotePeer()) {
			if !limited(older) && !limited(c) && newer(c, older) {
				s.probe(older)
			}
		}
	}})
	return s
}

// close waits for the probes that run.
func (s *supplanted) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.wg.Wait()
}

// probe closes a connection unless the peer answers on it.
func (s *supplanted) probe(c network.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.probing[c]; ok || s.closed {
		return
	}
	s.probing[c] = struct{}{}
	s.wg.Go(func() {
		if silent(s.ctx, c) {
			_ = c.CloseWithError(network.ConnSupplanted) // one that is closed is what we want
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.probing, c)
	})
}

// silent reports whether no answer comes on a connection in time. Any answer counts, such as
// that there is no such protocol. A connection that may open no stream now is not silent.
func silent(ctx context.Context, c network.Conn) bool {
	began := time.Now()
	timed, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	s, err := c.NewStream(timed)
	if err == nil {
		stop := context.AfterFunc(timed, func() { _ = s.Reset() })
		err = msmux.SelectProtoOrFail[protocol.ID](ping.ID, s)
		stop()
		_ = s.Reset() // it was opened for the answer
	}
	stopped := time.Since(began) > answerTime+awake.Gap // this process was stopped, which says nothing of the peer
	return err != nil && errors.Is(timed.Err(), context.DeadlineExceeded) && ctx.Err() == nil && !stopped
}

// newer reports whether a connection was opened after another one.
func newer(c, other network.Conn) bool { return c.Stat().Opened.After(other.Stat().Opened) }

// newest gives the newest of a peer's connections on which blocks may be sent; nil if there
// is none.
func newest(n network.Network, p peer.ID) (best network.Conn) {
	for _, c := range n.ConnsToPeer(p) {
		if !limited(c) && !c.IsClosed() && (best == nil || !newer(best, c)) {
			best = c
		}
	}
	return best
}
