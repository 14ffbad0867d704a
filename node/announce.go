package node

import (
	"context"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/holdfast-ipfs/holdfast/node/provide"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// provider is what tells the network of what is pinned; nil if nothing does.
func (n *Node) provider() *provide.Provider {
	if n.router == nil {
		return nil
	}
	return n.router.provider
}

// Announce implements [pin.Engine]. With RoutingNone it does nothing, nor for a root that
// is denied. In place of a root that has its data in its CID, what it links to is announced.
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

// ProvideStats tells how far the network has been told of what is pinned. ok is
// false if nothing is told, by the configuration. Errors: the context's.
func (n *Node) ProvideStats(ctx context.Context) (s provide.Stats, ok bool, err error) {
	p := n.provider()
	if p == nil {
		return provide.Stats{}, false, nil
	}
	s, err = p.Stats(ctx)
	return s, true, err
}

// remember has peers tried first when something is looked for the next time:
// they had blocks that were wanted.
func (n *Node) remember(p peer.ID) {
	if n.router != nil {
		n.router.remember(p)
	}
}
