package node

import (
	"context"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/autorelay"
	ma "github.com/multiformats/go-multiaddr"
)

// The values of Reach.Reachability.
const (
	ReachabilityAuto    = "auto"    // other peers find out, by dialling back
	ReachabilityPublic  = "public"  // everybody reaches the node
	ReachabilityPrivate = "private" // the node is reached through relays alone
)

// Reach is how a node makes itself reachable, as Kubo does. The zero value does nothing, and
// assumes that everybody can reach the node. With RoutingNone nothing of it is used, since
// it speaks to strangers and to the local network's router.
type Reach struct {
	// PortMap asks the router of the local network to forward the node's port,
	// by UPnP and NAT-PMP.
	PortMap bool
	// AutoNAT dials back peers that want to know whether they can be reached, and asks
	// peers the same about each address of this node, by AutoNAT v2. Without it only
	// AutoNAT v1 asks, with Reachability auto.
	AutoNAT bool
	// RelayClient has relays forward connections while the node cannot be reached
	// directly: those of StaticRelays if there are any, else relays that the DHT and the
	// connected peers offer. Such a connection is limited: no blocks are sent over it.
	RelayClient  bool
	StaticRelays []string // multiaddrs that end in /p2p/ID
	// RelayService makes the node a relay for others, for a short time and a few KiB each,
	// if everybody can reach it.
	RelayService bool
	// HolePunching replaces a connection over a relay by a direct one. It needs
	// RelayClient.
	HolePunching bool
	// Reachability is ReachabilityAuto, Public or Private; "" is public.
	Reachability string
}

// How often the node looks for peers that may be relays, while it has too few. Each time is
// a walk through the DHT.
const relaySearch = 2 * time.Minute

// planned gives the part of r that a node with that routing does.
func (r Reach) planned(routing string) (Reach, error) {
	switch r.Reachability {
	case "":
		r.Reachability = ReachabilityPublic
	case ReachabilityAuto, ReachabilityPublic, ReachabilityPrivate:
	default:
		return r, fmt.Errorf("node.reachability is %q, and can be %q, %q or %q",
			r.Reachability, ReachabilityAuto, ReachabilityPublic, ReachabilityPrivate)
	}
	if routing == RoutingNone {
		return Reach{Reachability: ReachabilityPublic}, nil
	}
	if !r.RelayClient {
		r.HolePunching = false
	}
	return r, nil
}

// options gives the options of a host that does what was planned. candidates gives peers that
// may be relays.
func (r Reach) options(candidates autorelay.PeerSource) ([]libp2p.Option, error) {
	var options []libp2p.Option
	if r.PortMap {
		options = append(options, libp2p.NATPortMap())
	}
	if r.AutoNAT {
		options = append(options, libp2p.EnableNATService(), libp2p.EnableAutoNATv2())
	}
	if r.RelayClient || r.RelayService {
		options = append(options, libp2p.EnableRelay())
	} else {
		options = append(options, libp2p.DisableRelay())
	}
	if r.RelayService {
		options = append(options, libp2p.EnableRelayService())
	}
	switch {
	case !r.RelayClient:
	case len(r.StaticRelays) > 0:
		var static []peer.AddrInfo
		for _, s := range r.StaticRelays {
			p, err := peer.AddrInfoFromString(s)
			if err != nil {
				return nil, fmt.Errorf("node.static_relays: %q is not a multiaddr that ends in /p2p and a peer ID: %w", s, err)
			}
			static = append(static, *p)
		}
		options = append(options, libp2p.EnableAutoRelayWithStaticRelays(static))
	default:
		options = append(options, libp2p.EnableAutoRelayWithPeerSource(candidates, autorelay.WithMinInterval(relaySearch)))
	}
	if r.HolePunching {
		options = append(options, libp2p.EnableHolePunching())
	}
	switch r.Reachability {
	case ReachabilityPublic:
		// Without this AutoNAT would ask every peer to dial back.
		options = append(options, libp2p.ForceReachabilityPublic())
	case ReachabilityPrivate:
		options = append(options, libp2p.ForceReachabilityPrivate())
	}
	return options, nil
}

// relayCandidates gives up to num peers that may be relays: the peers of the DHT that are
// closest to this node, which differ from node to node and so share the load, and peers that
// are connected. The caller asks them whether they are relays. It is an
// [autorelay.PeerSource]. It returns when it has all candidates, or with none when ctx ends.
func (n *Node) relayCandidates(ctx context.Context, num int) <-chan peer.AddrInfo {
	out := make(chan peer.AddrInfo, num)
	defer close(out)
	select {
	case <-n.up: // the host calls this while it is being made
	case <-ctx.Done():
		return out
	}
	ctx, cancel := context.WithTimeout(ctx, relaySearch/2)
	defer cancel()
	var ids []peer.ID
	if n.router != nil {
		ids = n.router.dhts.closestPeers(ctx, n.host.ID())
	}
	seen := map[peer.ID]bool{n.host.ID(): true}
	for _, id := range append(ids, n.host.Network().Peers()...) {
		addrs := directAddrs(n.host.Peerstore().Addrs(id))
		if seen[id] || len(addrs) == 0 {
			continue
		}
		seen[id] = true
		if len(out) < num {
			out <- peer.AddrInfo{ID: id, Addrs: addrs}
		}
	}
	return out
}

// directAddrs leaves out addresses that lead through a relay. A relay behind a relay is of
// no use.
func directAddrs(addrs []ma.Multiaddr) []ma.Multiaddr {
	var out []ma.Multiaddr
	for _, a := range addrs {
		if _, err := a.ValueForProtocol(ma.P_CIRCUIT); err != nil {
			out = append(out, a)
		}
	}
	return out
}

// limited reports whether a connection leads through a relay that forwards little, and only
// for a while. In libp2p's words the connection is limited.
func limited(c network.Conn) bool { return c.Stat().Limited }
