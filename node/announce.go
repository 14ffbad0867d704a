package node

import (
	"context"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/holdfast-ipfs/holdfast/node/provide"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// provider announces what is pinned; nil if nothing is announced.
func (n *Node) provider() *provide.Provider {
	if n.router == nil {
		return nil
	}
	return n.router.provider
}

// Announce implements [pin.Engine]. It does nothing with RoutingNone, nor for a root that is
// denied. In place of a root that contains its data itself, what it links to is announced.
func (n *Node) Announce(d pin.DAG) {
	if p := n.provider(); p != nil {
		p.Announce(d)
	}
}

// Withdraw implements [pin.Engine].
func (n *Node) Withdraw(d pin.DAG) {
	if p := n.provider(); p != nil {
		p.Withdraw(d)
	}
}

// Announced implements [pin.Engine].
func (n *Node) Announced(d pin.DAG) (at time.Time, ok bool) {
	p := n.provider()
	if p == nil || len(provide.Told(d)) == 0 || denied(n.cfg.Denylist, d.CID()) != nil {
		return time.Time{}, false
	}
	return p.Announced(d), true
}

// ProvideStats gives how much of what is pinned has been announced. ok is false if the
// configuration has nothing announced. Errors: the context's.
func (n *Node) ProvideStats(ctx context.Context) (s provide.Stats, ok bool, err error) {
	p := n.provider()
	if p == nil {
		return provide.Stats{}, false, nil
	}
	s, err = p.Stats(ctx)
	return s, true, err
}

// remember notes that a peer had blocks that were wanted. It is tried first the next time
// that something is looked for.
func (n *Node) remember(p peer.ID) {
	if n.router != nil {
		n.router.remember(p)
	}
}
