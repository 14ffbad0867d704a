package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/ipfs/go-datastore"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"
	madns "github.com/multiformats/go-multiaddr-dns"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-ipfs/holdfast/node/intake"
	"github.com/holdfast-ipfs/holdfast/node/walk"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// The values of Config.Routing.
const (
	RoutingAuto = "auto" // the DHT, and delegated routers if there are any
	RoutingNone = "none" // only peers that are named or that connect
)

// Config is how a node is set up. The zero value is a node that listens on
// [DefaultListen] with an identity kept nowhere and no routing.
type Config struct {
	// Listen is the multiaddrs to listen on; nil is DefaultListen. Port 0
	// takes a free one.
	Listen []string
	// Announce is the multiaddrs to give to others in place of those that the
	// node listens on; nil gives those. AppendAnnounce is the multiaddrs to give beside
	// either.
	Announce, AppendAnnounce []string
	// Certificate is for the addresses in Listen with TLS (/tls/ws), as
	// tls.Config.GetCertificate. They are given to others with CertificateName, which it
	// is for, in place of an IP address; with "" they are not changed. Nil is none, with
	// which they cannot be listened on.
	Certificate     func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	CertificateName string
	// KeyFile holds the Ed25519 private key and is made at first; "" is a new
	// key that is kept nowhere.
	KeyFile string
	// Routing is RoutingAuto or RoutingNone; "" is none.
	Routing string
	// Bootstrap is the multiaddrs, ending in /p2p/ID, of the peers that
	// RoutingAuto joins the DHT by, beside those that it knows from earlier runs;
	// nil is those of the public network. With RoutingNone it is not used.
	Bootstrap []string
	// RoutingConfig is the rest of RoutingAuto. With RoutingNone it is not used.
	RoutingConfig
	// Peering is the multiaddrs, ending in /p2p/ID, of peers to stay connected
	// to, whatever Routing is.
	Peering []string
	// AllowPrivateAddresses lets the node dial addresses outside the public
	// internet and those of this machine, and join the DHT of the local network
	// beside the public one.
	AllowPrivateAddresses bool
	// OwnPort reports whether the server listens on a port of this machine for something
	// other than peers. Such a port is never dialled at this machine's own addresses, also
	// if a request came from there. It may be called concurrently. Nil is no port.
	OwnPort func(port uint16) bool
	// Roots yields the DAGs that are to be announced, such as pin.Work.Roots,
	// and Complete says whether one is among them; nil is those that were given
	// to Announce.
	Roots    func(context.Context) iter.Seq2[pin.DAG, error]
	Complete func(context.Context, pin.DAG) (bool, error)
	// Datastore keeps what RoutingAuto needs to know across restarts, under
	// "/node", for each private network apart; nil keeps it in memory. The caller
	// closes it after the node.
	Datastore datastore.Batching
	// SwarmKeyFile holds the key of a private network, as Kubo's swarm.key. ""
	// is the public network.
	SwarmKeyFile string
	// Reach is how the node makes itself reachable.
	Reach Reach
	// Limits bound what peers may take of the machine.
	Limits Limits
	// Metrics is where libp2p registers its own; nil keeps none. A registerer
	// is for one node.
	Metrics prometheus.Registerer
	// HTTPRetrieval lets blocks be fetched from providers that are trustless
	// gateways, too.
	HTTPRetrieval bool
	// MaxBlock is the most bytes of a block that a gateway may send; 0 is what
	// a message of Bitswap takes, 4 MiB.
	MaxBlock int
	// TempDir is where fetches may put files that go with the process; "" is the
	// system's.
	TempDir string
	// Denylist says what is not to be fetched, served or announced; nil is
	// nothing. The caller keeps it up to date for as long as the node runs.
	Denylist Denylist
	// OnPeer is called for each connection to a peer that speaks Bitswap,
	// soon after it is open, by one goroutine at a time. It must not block.
	// Nil is nothing.
	OnPeer func(peerID string, inbound bool)
	// Logger is where the node logs; nil discards.
	Logger *slog.Logger

	network  string                       // privatePrefix and the fingerprint of a private network's key
	resolver network.MultiaddrDNSResolver // nil asks the system
	roots    *x509.CertPool               // of servers that are dialled; nil is the system's
}

// DefaultListen is the addresses a node listens on if none are given.
func DefaultListen() []string {
	return []string{
		"/ip4/0.0.0.0/tcp/4040",
		"/ip4/0.0.0.0/udp/4040/quic-v1",
		"/ip4/0.0.0.0/udp/4040/quic-v1/webtransport",
		"/ip4/0.0.0.0/udp/4040/webrtc-direct",
		"/ip6/::/tcp/4040",
		"/ip6/::/udp/4040/quic-v1",
		"/ip6/::/udp/4040/quic-v1/webtransport",
		"/ip6/::/udp/4040/webrtc-direct",
	}
}

// Node is a running node. Its methods may be called concurrently.
type Node struct {
	cfg        Config
	log        *slog.Logger
	store      Store
	told       toldAddrs
	delegates  delegatesCache
	gater      *gater
	host       host.Host
	up         chan struct{} // closed once all fields are set
	router     *router       // nil with RoutingNone
	hangups    *hangups
	supplanted *supplanted
	share      walk.Share
	uploads    intake.Share
	bitswap    *bitswapSides
	gateways   *gateways // nil without HTTPRetrieval
	peering    *peering  // nil without peers

	ctx       context.Context // ends with Close
	stop      context.CancelFunc
	wg        sync.WaitGroup
	closeOnce sync.Once
	closeErr  error
}

var _ pin.Engine = (*Node)(nil)

// New starts a node over a store. ctx bounds only the start. The caller closes
// the node, and then the store.
func New(ctx context.Context, cfg Config, store Store) (_ *Node, err error) {
	if cfg.Listen == nil {
		cfg.Listen = DefaultListen()
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	switch cfg.Routing {
	case "":
		cfg.Routing = RoutingNone
	case RoutingAuto, RoutingNone:
	default:
		return nil, fmt.Errorf("node.routing is %q, and can be %q or %q", cfg.Routing, RoutingAuto, RoutingNone)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if cfg.Reach, err = cfg.Reach.planned(cfg.Routing); err != nil {
		return nil, err
	}
	cfg.Limits = cfg.Limits.withDefaults()
	if cfg.resolver == nil {
		cfg.resolver = swarm.ResolverFromMaDNS{Resolver: madns.DefaultResolver}
	}
	swarmKey, err := loadSwarmKey(cfg.SwarmKeyFile)
	if err != nil {
		return nil, err
	}
	if swarmKey != nil {
		if cfg, err = privateConfig(cfg, swarmKey, cfg.Logger); err != nil {
			return nil, err
		}
	}
	cfg.Roots, cfg.Complete = announced(cfg.Denylist, cfg.Roots), announceable(cfg.Denylist, cfg.Complete)
	n := &Node{cfg: cfg, log: cfg.Logger, store: store, up: make(chan struct{})}
	n.ctx, n.stop = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Close())
		}
	}()

	key, err := loadIdentity(cfg.KeyFile)
	if err != nil {
		return nil, err
	}
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("derive the peer ID: %w", err)
	}
	if n.told, err = newToldAddrs(cfg, id); err != nil {
		return nil, err
	}
	n.gater = newGater(cfg.AllowPrivateAddresses, cfg.Routing == RoutingNone, cfg.OwnPort)
	if n.host, err = newHost(cfg, key, swarmKey, n.told.of, n.gater, n.relayCandidates); err != nil {
		return nil, err
	}
	if cfg.Routing == RoutingAuto {
		if n.router, err = newRouter(n.ctx, cfg, n.host, n.gater, store); err != nil {
			return nil, err
		}
	}
	n.hangups = newHangups(n.host.Network())
	n.supplanted = newSupplanted(n.ctx, n.host.Network())
	if cfg.HTTPRetrieval {
		n.gateways = newGateways(n.gater, cfg.MaxBlock)
	}
	n.bitswap = newBitswap(n.ctx, n.host, n.router, n.gater, newServed(store, cfg.Denylist), n.gateways, cfg.Limits, n.log)
	if n.peering, err = startPeering(n.ctx, cfg, n.host, n.gater); err != nil {
		return nil, err
	}
	if err := n.watchPeers(); err != nil {
		return nil, err
	}
	n.watchDenials()
	close(n.up)
	return n, nil
}

// Close stops everything that the node runs and waits for it. Fetches that
// are under way end with an error; the caller waits for those. It may be
// called twice.
func (n *Node) Close() error {
	n.closeOnce.Do(func() {
		n.stop()
		n.wg.Wait()
		if n.peering != nil {
			n.peering.close()
		}
		if n.bitswap != nil {
			n.bitswap.close()
		}
		if n.supplanted != nil {
			n.supplanted.close()
		}
		n.gateways.close()
		if n.router != nil {
			n.closeErr = errors.Join(n.closeErr, n.router.close())
		}
		if n.host != nil {
			n.closeErr = errors.Join(n.closeErr, n.host.Close())
		}
	})
	return n.closeErr
}

// PeerID is the node's peer ID.
func (n *Node) PeerID() string { return n.host.ID().String() }

// Network is the fingerprint of the private network's key, as Kubo prints it; "" in the
// public network.
func (n *Node) Network() string { return strings.TrimPrefix(n.cfg.network, privatePrefix) }

// watchPeers calls Config.OnPeer, from a goroutine that ends with n.ctx.
func (n *Node) watchPeers() error {
	if n.cfg.OnPeer == nil {
		return nil
	}
	// The default buffer of 16 would hold up libp2p when many connect at once.
	sub, err := n.host.EventBus().Subscribe(new(event.EvtPeerIdentificationCompleted), eventbus.BufSize(256))
	if err != nil {
		return fmt.Errorf("subscribe to connections: %w", err)
	}
	n.wg.Go(func() {
		defer sub.Close()
		for {
			select {
			case <-n.ctx.Done():
				return
			case e := <-sub.Out():
				ev := e.(event.EvtPeerIdentificationCompleted)
				if !limited(ev.Conn) && slices.ContainsFunc(ev.Protocols, isBitswap) {
					n.cfg.OnPeer(ev.Peer.String(), ev.Conn.Stat().Direction == network.DirInbound)
				}
			}
		}
	})
	return nil
}

func isBitswap(p protocol.ID) bool { return strings.HasPrefix(string(p), "/ipfs/bitswap") }

// withPeer gives a as a string that ends in /p2p/ID.
func withPeer(a ma.Multiaddr, id peer.ID) string {
	if _, last := ma.SplitLast(a); last != nil && last.Protocol().Code == ma.P_P2P {
		return a.String()
	}
	return a.String() + "/p2p/" + id.String()
}

// parseAnnounce reads what a key of the configuration has others told.
func parseAnnounce(key string, addrs []string, id peer.ID) ([]ma.Multiaddr, error) {
	var out []ma.Multiaddr
	for _, s := range addrs {
		a, err := ma.NewMultiaddr(s)
		if err != nil {
			return nil, fmt.Errorf("%s: %q is not a multiaddr: %w", key, s, err)
		}
		transport, named := peer.SplitAddr(a)
		if named != "" && named != id {
			return nil, fmt.Errorf("%s: %q names the peer %s, and this node is %s", key, s, named, id)
		}
		if len(transport) == 0 {
			return nil, fmt.Errorf("%s: %q has no address to dial", key, s)
		}
		out = append(out, transport)
	}
	return out, nil
}
