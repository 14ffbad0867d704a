package node

import (
	"sync"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/holdfast-ipfs/holdfast/node/guard"
)

// gater decides which peers the host dials, and at which addresses. It never refuses a
// connection that comes in.
type gater struct {
	guard     guard.Guard
	grants    guard.Grants // to dial a peer at an address that the guard refuses
	namedOnly bool         // dial nobody but peers in named

	mu    sync.Mutex
	named map[peer.ID]int // how often each was named
}

var _ connmgr.ConnectionGater = (*gater)(nil)

// newGater makes one. ownPort is [guard.Guard].Port.
func newGater(allowPrivate, namedOnly bool, ownPort func(uint16) bool) *gater {
	return &gater{
		guard: guard.Guard{AllowPrivate: allowPrivate, Own: guard.Interfaces(), Port: ownPort}, namedOnly: namedOnly,
		named: make(map[peer.ID]int),
	}
}

// name lets a peer be dialled until forget was called as often as name.
func (g *gater) name(p peer.ID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.named[p]++
}

func (g *gater) forget(p peer.ID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.named[p]--; g.named[p] <= 0 {
		delete(g.named, p)
	}
}

// InterceptPeerDial decides by the peer. Without it Bitswap would dial every peer again
// that was once connected.
func (g *gater) InterceptPeerDial(p peer.ID) bool {
	if !g.namedOnly {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.named[p] > 0
}

// InterceptAddrDial decides by the address. Names are resolved by then, so it holds for
// what they lead to. Dials by relays, hole punching and AutoNAT are decided here, too.
func (g *gater) InterceptAddrDial(p peer.ID, addr ma.Multiaddr) bool {
	return g.guard.Dial(addr) == nil || g.grants.Has(p, addr)
}

// judge says why a peer may not be dialled at an address that somebody named; nil if it
// may. Names are judged once they are resolved.
func (g *gater) judge(p peer.ID, addr ma.Multiaddr) error {
	if g.grants.Has(p, addr) {
		return nil
	}
	return g.guard.Hint(addr)
}

// InterceptAccept lets all inbound connections in.
func (g *gater) InterceptAccept(network.ConnMultiaddrs) bool { return true }

// InterceptSecured lets all pass: outbound connections were decided on before.
func (g *gater) InterceptSecured(network.Direction, peer.ID, network.ConnMultiaddrs) bool {
	return true
}

// InterceptUpgraded lets all pass: outbound connections were decided on before.
func (g *gater) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) { return true, 0 }
