package node

import (
	"net/netip"
	"slices"

	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/holdfast-ipfs/holdfast/node/guard"
)

// maxDelegates bounds what a client dials, one after the other, before it
// begins to poll.
const maxDelegates = 4

// Addrs gives the addresses that the node listens on, each ending in /p2p and
// the peer ID. Addresses that are not specified (0.0.0.0, ::) are given as
// those of the interfaces.
func (n *Node) Addrs() []string {
	addrs, err := n.host.Network().InterfaceListenAddresses()
	if err != nil {
		n.log.Warn("cannot list the node's addresses", "error", err)
	}
	return n.withID(directAddrs(addrs))
}

// Delegates gives the addresses by which clients reach the node, best first:
// those that Config.Announce names; else the public ones that it listens on, or
// that others have reached it by; else private ones; else loopback. They are at
// most four, at least one while the node is up, and each ends in /p2p and the
// peer ID.
func (n *Node) Delegates() []string {
	if len(n.announce) > 0 {
		return n.withID(n.announce[:min(len(n.announce), maxDelegates)])
	}
	addrs, err := n.host.Network().InterfaceListenAddresses()
	if err != nil || len(addrs) == 0 {
		addrs = n.host.Network().ListenAddresses()
	}
	// What other peers report to see, such as a router's address, is taken only
	// if one of them has dialled it back: else nobody knows whether it leads here.
	return n.withID(pickDelegates(append(n.confirmed(), addrs...)))
}

// confirmed gives the addresses that others have reached the node by, as AutoNAT
// v2 knows. None without it.
func (n *Node) confirmed() []ma.Multiaddr {
	if h, ok := n.host.(confirmer); ok {
		reachable, _, _ := h.ConfirmedAddrs()
		return directAddrs(reachable)
	}
	return nil
}

// confirmer is a libp2p host that knows which of its addresses were reached.
type confirmer interface {
	ConfirmedAddrs() (reachable, unreachable, unknown []ma.Multiaddr)
}

// pickDelegates takes the addresses of the widest reach that any of them has,
// TCP first: it is what firewalls let through.
func pickDelegates(addrs []ma.Multiaddr) []ma.Multiaddr {
	type ranked struct {
		addr         ma.Multiaddr
		reach, order int
	}
	var all []ranked
	for _, a := range addrs {
		if r := reachOf(a); r > 0 && !slices.ContainsFunc(all, func(x ranked) bool { return x.addr.Equal(a) }) {
			all = append(all, ranked{a, r, transportOrder(a)})
		}
	}
	slices.SortStableFunc(all, func(a, b ranked) int {
		if a.reach != b.reach {
			return b.reach - a.reach
		}
		return a.order - b.order
	})
	var out []ma.Multiaddr
	for _, a := range all {
		if a.reach == all[0].reach && len(out) < maxDelegates {
			out = append(out, a.addr)
		}
	}
	return out
}

// reachOf ranks from how far an address can be dialled: 3 the internet, 2 the
// local network, 1 the same host, 0 nowhere.
func reachOf(a ma.Multiaddr) int {
	ip, err := manet.ToIP(a)
	if err != nil {
		return 0
	}
	n, ok := netip.AddrFromSlice(ip)
	n = n.Unmap()
	switch {
	case !ok || n.IsUnspecified() || n.IsLinkLocalUnicast() || n.IsMulticast():
		return 0
	case n.IsLoopback():
		return 1
	case guard.Public(n):
		return 3
	}
	return 2
}

func transportOrder(a ma.Multiaddr) int {
	order := 0
	ma.ForEach(a, func(c ma.Component) bool {
		switch c.Protocol().Code {
		case ma.P_IP6:
			order++ // fewer networks have it
		case ma.P_QUIC_V1:
			order += 2
		case ma.P_WEBTRANSPORT:
			order += 4
		}
		return true
	})
	return order
}

func (n *Node) withID(addrs []ma.Multiaddr) []string {
	out := make([]string, 0, len(addrs))
	for _, a := range addrs {
		if s := withPeer(a, n.host.ID()); !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
