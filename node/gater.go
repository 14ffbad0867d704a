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

// gater decides whom the host dials, and where. It never refuses a connection
// that comes in.
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

// name lets a peer be dialled until forget was called as often.
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

// InterceptPeerDial allows a dial by whom it goes to. Bitswap would otherwise
// dial back whoever was connected once.
func (g *gater) InterceptPeerDial(p peer.ID) bool {
	if !g.namedOnly {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.named[p] > 0
}

// InterceptAddrDial allows a dial by where it goes to. Names are resolved by
// then, so it holds for what they lead to as well. Relays, hole punching and
// AutoNAT's dialling back all come by here.
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

// InterceptAccept is for inbound connections, welcome from anywhere.
func (g *gater) InterceptAccept(network.ConnMultiaddrs) bool { return true }

// InterceptSecured is for connections of both directions, decided already.
func (g *gater) InterceptSecured(network.Direction, peer.ID, network.ConnMultiaddrs) bool {
	return true
}

// InterceptUpgraded is for connections of both directions, decided already.
func (g *gater) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) { return true, 0 }
