package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/namespace"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/holdfast-ipfs/holdfast/node/find"
	"github.com/holdfast-ipfs/holdfast/node/guard"
	"github.com/holdfast-ipfs/holdfast/node/provide"
)

const (
	// How many peers are kept that delivered in recent pins: enough for some accounts, since
	// most pin from one or two nodes.
	maxRecent = 32
	// How many of these are tried before any other peer for a block.
	recentFirst = 8
)

// RoutingConfig is how RoutingAuto finds content and announces what is pinned.
type RoutingConfig struct {
	// DelegatedRouters are URLs of routers to ask over HTTP, beside the DHT.
	DelegatedRouters []string
	// RouterTransport sends requests to them; nil is a transport for each. The operator
	// chose their URLs.
	RouterTransport http.RoundTripper
	// NoProvide has nothing announced.
	NoProvide bool
	// Strategy says which keys of a DAG are announced, and Interval within which time they
	// are again; "" and 0 are the defaults of package provide.
	Strategy provide.Strategy
	Interval time.Duration
}

// router finds providers and peers, and announces what this node has.
type router struct {
	log       *slog.Logger
	host      host.Host
	guard     guard.Guard
	bootstrap []peer.AddrInfo

	dhts          dhts
	finder        *find.Finder
	lookups       *find.Lookups
	askedFinder   *find.Finder
	asked         *find.Lookups // for those who ask who has a block; apart from those of pins
	peers         *find.PeerLookups
	originLookups *find.Lookups     // of peers that are origins, by their IDs
	provider      *provide.Provider // nil if nothing is announced
	recents       *find.Recents
	book          *find.Book // nil without a datastore

	savedMu sync.Mutex
	saved   []peer.AddrInfo // peers of this run and earlier ones, for joining

	tried     chan struct{} // closed after the first attempt to join
	triedOnce sync.Once
	stop      context.CancelFunc
	wg        sync.WaitGroup
}

// newRouter joins the DHT in the background. Errors are a malformed configuration and a
// datastore that cannot be read. To reach nobody is none: a node without a network still
// serves what it has.
func newRouter(ctx context.Context, cfg Config, h host.Host, g *gater, s Store) (_ *router, err error) {
	r := &router{
		log: cfg.Logger, host: h, guard: g.guard,
		recents: find.NewRecents(maxRecent), tried: make(chan struct{}),
	}
	if r.bootstrap, err = parsePeers("node.bootstrap", cfg.Bootstrap); err != nil {
		return nil, err
	}
	if cfg.Bootstrap == nil {
		r.bootstrap = dht.GetDefaultBootstrapPeerAddrInfos()
	}
	var ds datastore.Batching
	if cfg.Datastore != nil {
		ds = namespace.Wrap(cfg.Datastore, datastore.NewKey("/node").ChildString(cfg.network))
		r.book = find.NewBook(ds, datastore.NewKey("/peers"))
	}
	ctx, r.stop = context.WithCancel(ctx)
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	if r.dhts, err = newDHTs(ctx, h, cfg.AllowPrivateAddresses, ds, cfg.Logger); err != nil {
		return nil, err
	}
	sources, peerSources, err := r.sources(cfg)
	if err != nil {
		return nil, err
	}
	r.peers = find.NewPeerLookups(nil, peerSources...)
	r.originLookups = find.NewLookups(r.peers, find.Limits{})
	r.finder = find.New(find.Config{Sources: sources, First: r.first, Resolve: r.resolve, Self: h.ID()})
	r.lookups = find.NewLookups(guardedFinder{r.finder, g.guard, r.connected}, find.Limits{})
	r.askedFinder = find.New(find.Config{Sources: sources, Resolve: r.resolve, Self: h.ID()})
	r.asked = find.NewLookups(guardedFinder{r.askedFinder, g.guard, r.connected}, askedLimits)
	r.load(ctx)
	if !cfg.NoProvide {
		p := provide.Config{
			Strategy: cfg.Strategy, Interval: cfg.Interval, Networks: r.dhts.networks(),
			Roots: cfg.Roots, Complete: cfg.Complete, Logger: cfg.Logger,
			Blocks: s.Blockstore(), Holds: newServed(s, cfg.Denylist).holds,
		}
		if ds != nil {
			p.Datastore = namespace.Wrap(ds, datastore.NewKey("/provide"))
		}
		if r.provider, err = provide.New(p); err != nil {
			return nil, err
		}
	}
	r.wg.Go(func() { r.join(ctx) })
	if r.book != nil {
		r.wg.Go(func() { r.keepSaving(ctx) })
	}
	return r, nil
}

// sources gives the sources of providers, and those of peers' addresses.
func (r *router) sources(cfg Config) (all []routing.ContentDiscovery, peers []find.PeerSource, err error) {
	for _, d := range r.dhts.all() {
		source := dhtSource{d, r.tried}
		all, peers = append(all, source), append(peers, source.findPeer)
	}
	for _, url := range cfg.DelegatedRouters {
		d, err := find.NewRouter(find.RouterConfig{
			URL: url, Transport: cfg.RouterTransport, UserAgent: userAgent, Logger: cfg.Logger,
		})
		if err != nil {
			return nil, nil, fmt.Errorf("node.delegated_routers: %q: %w", url, err)
		}
		all, peers = append(all, d), append(peers, d.FindPeer)
	}
	return all, peers, nil
}

// close stops what newRouter started and waits for it.
func (r *router) close() error {
	r.stop()
	r.wg.Wait()
	var errs []error
	for _, l := range []*find.Lookups{r.lookups, r.asked, r.originLookups} {
		if l != nil {
			l.Close()
		}
	}
	for _, f := range []*find.Finder{r.finder, r.askedFinder} {
		if f != nil {
			f.Close()
		}
	}
	if r.peers != nil {
		r.peers.Close()
	}
	if r.provider != nil {
		errs = append(errs, r.provider.Close())
	}
	return errors.Join(append(errs, r.dhts.close())...)
}

// resolve gives addresses of a peer that a source named without any.
func (r *router) resolve(ctx context.Context, p peer.ID) ([]ma.Multiaddr, error) {
	if addrs := r.host.Peerstore().Addrs(p); len(addrs) > 0 {
		return addrs, nil
	}
	return r.peers.Find(ctx, p)
}

// remember notes that a peer delivered.
func (r *router) remember(p peer.ID) {
	r.recents.Note(peer.AddrInfo{ID: p, Addrs: r.addrs(p)})
}

func (r *router) connected(p peer.ID) bool {
	return r.host.Network().Connectedness(p) == network.Connected
}

// first gives the peers to try before providers are found. Connected peers are left out:
// Bitswap asks them anyway.
func (r *router) first() (first []peer.AddrInfo) {
	for _, ai := range r.recents.List() {
		if len(first) == recentFirst {
			break
		}
		if !r.connected(ai.ID) {
			first = append(first, ai)
		}
	}
	return first
}

// addrs gives the addresses of a peer that may be dialled directly.
func (r *router) addrs(p peer.ID) (addrs []ma.Multiaddr) {
	for _, a := range r.host.Peerstore().Addrs(p) {
		if _, err := a.ValueForProtocol(ma.P_CIRCUIT); err != nil && r.guard.Dial(a) == nil {
			addrs = append(addrs, a)
		}
	}
	return addrs
}

// some gives up to n of the peers, chosen at random.
func some(peers []peer.AddrInfo, n int) (out []peer.AddrInfo) {
	for _, i := range rand.Perm(len(peers))[:min(n, len(peers))] {
		out = append(out, peers[i])
	}
	return out
}

// parsePeers reads the multiaddrs of a setting, which end in /p2p/ID. It puts those of one
// peer together.
func parsePeers(setting string, list []string) ([]peer.AddrInfo, error) {
	var addrs []ma.Multiaddr
	for _, s := range list {
		a, err := ma.NewMultiaddr(s)
		if err == nil {
			_, err = peer.AddrInfoFromP2pAddr(a)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %q is not a multiaddr that ends in /p2p and a peer ID: %w", setting, s, err)
		}
		addrs = append(addrs, a)
	}
	infos, err := peer.AddrInfosFromP2pAddrs(addrs...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", setting, err)
	}
	return infos, nil
}
