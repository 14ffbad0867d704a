package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ipfs/boxo/provider"
	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/holdfast-ipfs/holdfast/pin"
)

const (
	// Records in the DHT live 48 hours; renewed this often, one round may fail.
	reprovideInterval = 22 * time.Hour

	// A DHT client without any peer tries to join again after this, and then
	// after twice as long each time.
	joinAgain    = 5 * time.Second
	joinAgainMax = 5 * time.Minute
	// While it has peers, it looks this often whether it still does.
	joinCheck = time.Minute
	// How long a peer that is connected has to prove itself to be of the DHT.
	checkPeer = 5 * time.Second
)

// router finds providers in the DHT and tells the DHT what this node has.
type router struct {
	log      *slog.Logger
	host     host.Host
	dht      *dht.IpfsDHT
	provider provider.System
	peers    []peer.AddrInfo

	ready     chan struct{} // closed once the DHT has had a peer
	readyOnce sync.Once
	stop      context.CancelFunc
	wg        sync.WaitGroup
}

// newRouter joins the DHT in the background. Nothing of it is an error but a
// malformed configuration: a node without a network still serves what it has.
func newRouter(ctx context.Context, cfg Config, h host.Host) (_ *router, err error) {
	r := &router{log: cfg.Logger, host: h, ready: make(chan struct{})}
	if cfg.Bootstrap == nil {
		r.peers = dht.GetDefaultBootstrapPeerAddrInfos()
	}
	for _, s := range cfg.Bootstrap {
		ai, err := peer.AddrInfoFromString(s)
		if err != nil {
			return nil, fmt.Errorf("node.bootstrap: %q is not a multiaddr that ends in /p2p and a peer ID: %w", s, err)
		}
		r.peers = append(r.peers, *ai)
	}
	options := []dht.Option{
		dht.Mode(dht.ModeClient),
		dht.BootstrapPeers(r.peers...),
	}
	if !cfg.AllowPrivateAddresses {
		options = append(options,
			dht.QueryFilter(dht.PublicQueryFilter),
			dht.RoutingTableFilter(dht.PublicRoutingTableFilter))
	}
	ctx, r.stop = context.WithCancel(ctx)
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	if r.dht, err = dht.New(h, options...); err != nil {
		return nil, fmt.Errorf("start the DHT client: %w", err)
	}
	ds := cfg.Datastore
	if ds == nil {
		ds = dssync.MutexWrap(datastore.NewMapDatastore())
	}
	r.provider, err = provider.New(ds,
		provider.Online(announcer{r}),
		provider.ReproviderInterval(reprovideInterval),
		provider.KeyProvider(rootKeys(ctx, cfg)))
	if err != nil {
		return nil, fmt.Errorf("start the provider: %w", err)
	}
	r.wg.Go(func() { r.join(ctx) })
	return r, nil
}

// close stops what newRouter started and waits for it.
func (r *router) close() error {
	r.stop()
	r.wg.Wait()
	var err error
	if r.provider != nil {
		err = r.provider.Close()
	}
	if r.dht != nil {
		err = errors.Join(err, r.dht.Close())
	}
	return err
}

// announce queues a root to be told to the DHT.
func (r *router) announce(d pin.DAG) {
	if err := r.provider.Provide(context.Background(), d.CID(), true); err != nil {
		r.log.Warn("cannot queue a root to be announced", "cid", d, "error", err)
	}
}

// join keeps the DHT client connected to somebody for as long as ctx lives.
func (r *router) join(ctx context.Context) {
	wait, warned := joinAgain, false
	for {
		pause := joinCheck
		if r.dht.RoutingTable().Size() == 0 && !r.bootstrap(ctx) {
			if !warned && ctx.Err() == nil {
				r.log.Warn("cannot reach any peer to join the DHT by; trying on in the background",
					"peers", len(r.peers), "setting", "node.bootstrap")
				warned = true
			}
			pause, wait = wait, min(2*wait, joinAgainMax)
		} else {
			wait, warned = joinAgain, false
			r.readyOnce.Do(func() { close(r.ready) })
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// bootstrap dials the bootstrap peers and reports whether the DHT has a peer
// in its table after that.
func (r *router) bootstrap(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Minute) // one slow dial is 15 s
	defer cancel()
	var (
		dials   sync.WaitGroup
		reached atomic.Bool
	)
	for _, p := range r.peers {
		dials.Go(func() {
			if err := r.host.Connect(ctx, p); err != nil {
				r.log.Debug("cannot reach a bootstrap peer", "peer", p.ID, "error", err)
				return
			}
			reached.Store(true)
		})
	}
	dials.Wait()
	// The DHT looks at a new peer for itself before it takes it in.
	for deadline := time.Now().Add(checkPeer); reached.Load() && r.dht.RoutingTable().Size() == 0 && time.Now().Before(deadline); {
		select {
		case <-time.After(checkPeer / 100):
		case <-ctx.Done():
			return false
		}
	}
	if r.dht.RoutingTable().Size() == 0 {
		return false
	}
	r.dht.RefreshRoutingTable() // fills the table by what its first peers know
	return true
}

// announcer tells the DHT of a block, once there is a DHT to tell: what is
// announced before that would be lost.
type announcer struct{ r *router }

// Provide implements [provider.Provide].
func (a announcer) Provide(ctx context.Context, c cid.Cid, tell bool) error {
	select {
	case <-a.r.ready:
	case <-ctx.Done():
		return ctx.Err()
	}
	return a.r.dht.Provide(ctx, c, tell)
}

// rootKeys gives the roots that are to be announced again and again.
func rootKeys(node context.Context, cfg Config) provider.KeyChanFunc {
	return func(ctx context.Context) (<-chan cid.Cid, error) {
		out := make(chan cid.Cid)
		go func() { // ends with the node at the latest
			defer close(out)
			if cfg.Roots == nil {
				return
			}
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			defer context.AfterFunc(node, cancel)()
			for d, err := range cfg.Roots(ctx) {
				if err != nil {
					if ctx.Err() == nil {
						cfg.Logger.Warn("cannot list the roots to announce", "error", err)
					}
					return
				}
				select {
				case out <- d.CID():
				case <-ctx.Done():
					return
				}
			}
		}()
		return out, nil
	}
}
