package node

import (
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"
)

// delegatesAge is for how long delegates are told again: every answer of the API has
// them, and addresses change less often.
const delegatesAge = time.Second

// toldAddrs are what others are told besides, or in place of, the addresses that the node
// has.
type toldAddrs struct {
	instead, beside []ma.Multiaddr
	// name is what the certificate is for. Addresses with TLS are told by it: nobody
	// could check the certificate by an IP address. "" is no name.
	name string
}

func newToldAddrs(cfg Config, id peer.ID) (a toldAddrs, err error) {
	if a.instead, err = parseAnnounce("node.announce", cfg.Announce, id); err != nil {
		return a, err
	}
	a.beside, err = parseAnnounce("node.append_announce", cfg.AppendAnnounce, id)
	a.name = cfg.CertificateName
	return a, err
}

// of gives what others are told of a node that has the addresses: what was appended
// first, as somebody chose it.
func (a toldAddrs) of(found []ma.Multiaddr) []ma.Multiaddr {
	if len(a.instead) > 0 {
		found = a.instead
	}
	out := slices.Clone(a.beside)
	for _, f := range found {
		if len(a.instead) == 0 && a.name != "" && transportOf(f) == bySecureWebSocket {
			f = named(f, a.name)
		}
		if !ma.Contains(out, f) {
			out = append(out, f)
		}
	}
	return out
}

// named gives an address by a name in place of its IP address.
func named(a ma.Multiaddr, name string) ma.Multiaddr {
	c, err := ma.NewComponent("dns", name)
	if err != nil || !has(a[:1], ma.P_IP4) && !has(a[:1], ma.P_IP6) {
		return a
	}
	return append(ma.Multiaddr{*c}, a[1:]...)
}

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

// delegatesCache has the delegates that were told last.
type delegatesCache struct {
	mu   sync.Mutex
	at   time.Time
	told []string
}

// Delegates gives the addresses by which clients reach the node, as they were a second
// ago at most: at most 20, at least one while the node is up, each ending in /p2p and the
// peer ID. They are those of Config.Announce, in its order. Without that they are the best
// of each kind, in the order in which a Kubo should try them: among those that the node
// listens on, that others have reached it by, and that Config.AppendAnnounce names. The
// caller does not change them.
func (n *Node) Delegates() []string {
	n.delegates.mu.Lock()
	defer n.delegates.mu.Unlock()
	if now := time.Now(); n.delegates.told == nil || now.Sub(n.delegates.at) >= delegatesAge {
		n.delegates.at, n.delegates.told = now, n.findDelegates()
	}
	return n.delegates.told
}

func (n *Node) findDelegates() []string {
	addrs, err := n.host.Network().InterfaceListenAddresses()
	if err != nil || len(addrs) == 0 {
		addrs = n.host.Network().ListenAddresses()
	}
	// What other peers report to see, such as a router's address, is taken only
	// if one of them has dialled it back: else nobody knows whether it leads here.
	addrs = n.told.of(append(n.confirmed(), addrs...))
	if s, ok := n.host.Network().(*swarm.Swarm); ok {
		addrs = s.AddCertHashes(addrs) // to those that were configured: they change
	}
	if len(n.told.instead) == 0 {
		addrs = pickDelegates(addrs)
	}
	return n.withID(addrs[:min(len(addrs), maxDelegates)])
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

// Reached is what other nodes say of the addresses of this one: that they reached it there, that they
// did not, and nothing yet.
type Reached struct{ Yes, No, Unknown []string }

// Reached says which addresses others reached, as AutoNAT v2 knows. ok is false without it.
func (n *Node) Reached() (r Reached, ok bool) {
	h, ok := n.host.(confirmer)
	if !ok || !n.cfg.Reach.AutoNAT {
		return r, false
	}
	yes, no, unknown := h.ConfirmedAddrs()
	texts := func(addrs []ma.Multiaddr) (all []string) {
		for _, a := range addrs {
			all = append(all, a.String())
		}
		return all
	}
	return Reached{texts(yes), texts(no), texts(unknown)}, true
}

// Relayed reports whether relays forward connections to the node.
func (n *Node) Relayed() bool {
	return slices.ContainsFunc(n.host.Addrs(), func(a ma.Multiaddr) bool { return has(a, ma.P_CIRCUIT) })
}

// confirmer is a libp2p host that knows which of its addresses were reached.
type confirmer interface {
	ConfirmedAddrs() (reachable, unreachable, unknown []ma.Multiaddr)
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
