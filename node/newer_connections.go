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

// answerTime is how long a connection has to answer when a newer one of the same peer
// is there. To halfway round the world and back takes 300 ms, by a satellite 600 ms. It
// is less than the second after which who waits for a block asks again: what is being
// sent by the old connection is not sent by another until that is closed.
const answerTime = 700 * time.Millisecond

// supplanted closes connections of which the peer knows nothing any more: it was
// killed, or has moved to another network, and has come back by a newer one. libp2p
// finds that out when nothing was heard for long, of QUIC for 30 s (quic-go's
// DefaultIdleTimeout), and until then opens streams on the older one, as the one that
// has more of them.
type supplanted struct {
	ctx context.Context

	mu      sync.Mutex
	probing map[network.Conn]struct{}
	closed  bool
	wg      sync.WaitGroup
}

// newSupplanted begins with the connections that come from now on. The caller closes
// it; ctx ends what is under way then.
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

// close waits for what is under way.
func (s *supplanted) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.wg.Wait()
}

// probe closes a connection unless something is heard by it.
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

// silent reports whether a connection has no answer in time. Any is one: that there is
// no such protocol, too. One that takes no stream now, for what it may use, is not.
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
	stopped := time.Since(began) > answerTime+awake.Gap // this process, which says nothing of the peer
	return err != nil && errors.Is(timed.Err(), context.DeadlineExceeded) && ctx.Err() == nil && !stopped
}

// newer reports whether a connection was opened after another one.
func newer(c, other network.Conn) bool { return c.Stat().Opened.After(other.Stat().Opened) }

// newest gives the newest of a peer's connections that blocks may be sent by; nil if
// there is none.
func newest(n network.Network, p peer.ID) (best network.Conn) {
	for _, c := range n.ConnsToPeer(p) {
		if !limited(c) && !c.IsClosed() && (best == nil || !newer(best, c)) {
			best = c
		}
	}
	return best
}
