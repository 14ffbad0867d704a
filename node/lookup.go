package node

import (
	"context"
	"encoding/base64"
	"errors"
	"iter"
	"slices"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/holdfast-ipfs/holdfast/node/find"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// askedLimits bound the searches of those who only want to know who has a block. They are a
// quarter of what pins have.
var askedLimits = find.Limits{Running: 4, PerDAG: 1, Waiting: 4}

// Providers searches for peers that are said to have a block, and yields them as they are
// found. A peer comes again only with new addresses. A search takes 15 s at most, after those
// before it, and ends with ctx. With RoutingNone, and if too many wait for the same block,
// nobody is found.
func (n *Node) Providers(ctx context.Context, c cid.Cid) iter.Seq[peer.AddrInfo] {
	return func(yield func(peer.AddrInfo) bool) {
		if n.router == nil {
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		for p := range n.router.asked.Find(ctx, pin.DAGOf(c), c) {
			if !yield(p) {
				return
			}
		}
	}
}

// connectTag and connectWeight keep a connection that was asked for, as Kubo does, for longer than
// those of strangers.
const (
	connectTag    = "asked for"
	connectWeight = 100
)

// Connect connects to a peer, unless there is a connection. Who asks need not be trusted: only
// addresses that the guard lets pass are dialled. Errors: a [*guard.RefusedError] if none of them
// is; others are those of the dial.
func (n *Node) Connect(ctx context.Context, p peer.AddrInfo) error {
	if p.ID == n.host.ID() {
		return errors.New("that is this node itself")
	}
	if n.host.Network().Connectedness(p.ID) == network.Connected {
		return nil
	}
	var (
		good    []ma.Multiaddr
		refused error
	)
	for _, a := range p.Addrs {
		if why := n.gater.judge(p.ID, a); why == nil {
			good = append(good, a)
		} else if refused == nil {
			refused = why
		}
	}
	if len(good) == 0 && refused != nil {
		return refused
	}
	n.gater.name(p.ID)
	defer n.gater.forget(p.ID)
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if err := n.host.Connect(ctx, peer.AddrInfo{ID: p.ID, Addrs: good}); err != nil {
		return err
	}
	n.host.ConnManager().TagPeer(p.ID, connectTag, connectWeight)
	return nil
}

// Protocols lists the protocols that the node speaks, sorted.
func (n *Node) Protocols() []string {
	all := protocol.ConvertToStrings(n.host.Mux().Protocols())
	slices.Sort(all)
	return all
}

// Connection is one to a peer, and what that peer says of itself.
type Connection struct {
	Peer, Addr string
	Direction  network.Direction
	Latency    time.Duration // 0 is not known
	Streams    []string      // the protocol of each
	PublicKey  string        // as protobuf, in base64; "" if it is not known
	Addresses  []string      // of the peer; each ends in /p2p/ID
	Agent      string
	Protocols  []string
}

// Connections lists the connections to peers that are open.
func (n *Node) Connections() []Connection {
	var all []Connection
	known := n.host.Peerstore()
	for _, conn := range n.host.Network().Conns() {
		id := conn.RemotePeer()
		c := Connection{
			Peer: id.String(), Addr: conn.RemoteMultiaddr().String(),
			Direction: conn.Stat().Direction, Latency: known.LatencyEWMA(id),
		}
		for _, s := range conn.GetStreams() {
			c.Streams = append(c.Streams, string(s.Protocol()))
		}
		if key := known.PubKey(id); key != nil {
			if b, err := crypto.MarshalPublicKey(key); err == nil {
				c.PublicKey = base64.StdEncoding.EncodeToString(b)
			}
		}
		info := known.PeerInfo(id)
		if addrs, err := peer.AddrInfoToP2pAddrs(&info); err == nil {
			for _, a := range addrs {
				c.Addresses = append(c.Addresses, a.String())
			}
		}
		if protocols, err := known.GetProtocols(id); err == nil {
			c.Protocols = protocol.ConvertToStrings(protocols)
		}
		if agent, err := known.Get(id, "AgentVersion"); err == nil {
			c.Agent, _ = agent.(string)
		}
		all = append(all, c)
	}
	return all
}
