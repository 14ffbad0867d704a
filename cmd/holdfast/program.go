package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	dht "github.com/libp2p/go-libp2p-kad-dht"

	"github.com/holdfast-ipfs/holdfast/node"
	"github.com/holdfast-ipfs/holdfast/node/provide"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// Times of a graceful stop, which takes 10 seconds at most in all.
const (
	drainTimeout = 4 * time.Second  // for requests under way
	stopTimeout  = 10 * time.Second // for everything
)

// Program is the server. Set its fields, Run it, and Close it.
type Program struct {
	Config Config
	Data   *dataDir // the caller closes it after Close
	Log    *slog.Logger
	// Machine is what there is to be used, by which limits are set. Zero asks
	// the system.
	Machine machine
	// Terminal is where somebody sits who is told of the account that a first
	// start makes. Nil is nobody: none is made then.
	Terminal io.Writer
	// Notify tells the service manager of the state. Nil tells nobody.
	Notify func(state string)
	// WatchdogInterval is within which the service manager wants to be told
	// that all is well. 0 is never.
	WatchdogInterval time.Duration

	profile  profile
	core     *core
	lock     *dirLock
	node     *node.Node
	pins     *pin.Manager
	draining atomic.Bool

	denials *denials // nil is none

	web, admin *http.Server
	gateway    *gatewayServer // nil is none
	listener   net.Listener
	tls        encryption // nil is none
	metrics    *metrics   // nil is none
	monitor    *http.Server
	metricsURL string     // "" if there are none
	conns      *connLimit // of web
	failed     chan error // what ends the program by itself
	stop       context.CancelFunc
	background sync.WaitGroup
	ready      bool
	told       toldState
	filesLimit uint64 // how many may be open
	closeOnce  sync.Once
	closeErr   error
}

// Run starts everything and returns when the server is ready. ctx bounds the
// start alone. If it fails what was started is closed.
func (p *Program) Run(ctx context.Context) (err error) {
	p.failed = make(chan error, 4) // one for each HTTP server
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
		}
	}()
	var background context.Context
	background, p.stop = context.WithCancel(context.WithoutCancel(ctx))

	if p.Machine == (machine{}) {
		if p.Machine, err = thisMachine(p.Log); err != nil {
			return err
		}
	}
	p.filesLimit = p.Machine.files
	if p.Machine, err = setFilesAside(p.Machine, p.Data); err != nil {
		return err
	}
	p.profile = newProfile(p.Config.Node.Profile, p.Machine)
	p.Data.warnOpen(p.Log)
	if p.lock, err = lockForServer(ctx, p.Data, p.Log); err != nil {
		return err
	}
	if p.core, err = openCore(ctx, p.Data, p.lock, p.Config, p.Log); err != nil {
		return err
	}
	p.background.Go(func() {
		if err := p.core.auth.Run(background); err != nil {
			p.Log.Error("sweeping tokens ended", "err", err)
		}
	})
	p.background.Go(func() {
		if err := p.core.store.Run(background); err != nil {
			p.Log.Error("reclaiming ended", "err", err)
		}
	})
	if p.Config.Metrics.Listen != "" {
		p.metrics = newMetrics()
	}
	if p.denials, err = openDenials(p.Config.Denylist, p.Data, p.core.store, p.Log); err != nil {
		return err
	}
	if err := p.startNode(ctx); err != nil {
		return err
	}
	p.background.Go(func() {
		newTrimmer(func() uint64 {
			s := p.node.Stats()
			return s.BytesReceived + s.BytesServed
		}).run(background)
	})
	p.background.Go(func() { p.denials.watch(background, p.pins.DenialsChanged) })
	p.background.Go(func() { p.probes().watch(background) })
	if err := p.serveGateway(ctx); err != nil {
		return err
	}
	if err := p.serveWeb(ctx, background); err != nil {
		return err
	}
	if err := p.serveAdmin(ctx); err != nil {
		return err
	}
	if err := p.serveMetrics(ctx, background); err != nil {
		return err
	}
	if err := p.greet(ctx); err != nil {
		return err
	}
	run := RunFile{
		PID: os.Getpid(), HTTP: p.URL(), Gateway: p.gateway.url(), Metrics: p.metricsURL,
		PeerID: p.node.PeerID(), Addrs: p.node.Addrs(), Directory: p.Data.number(),
	}
	if err := writeRunFile(p.Data.file(runFileName), run); err != nil {
		return err
	}
	p.pins.WarnFull(p.core.store.Room(ctx, 0)) // before somebody finds out by a refused pin
	p.ready = true
	p.Log.Info("ready", "http", run.HTTP, "metrics", run.Metrics, "peer", run.PeerID, "addrs", run.Addrs, "data", p.Data.shown)
	if p.Notify != nil {
		p.Notify(notifyReady)
		if p.WatchdogInterval > 0 {
			p.background.Go(func() { watchdog(background, p.WatchdogInterval, p.core.healthy, p.Notify, p.Log) })
		}
	}
	return nil
}

// startNode starts the node and, over it, the manager of pins. Each calls the
// other; the node is first.
func (p *Program) startNode(ctx context.Context) (err error) {
	var manager atomic.Pointer[pin.Manager]
	cfg, err := nodeConfig(p.Config, p.Data, p.Log)
	if err != nil {
		return err
	}
	if err := p.Data.clearTemp(); err != nil {
		return err
	}
	cfg.Limits = p.profile.limits
	if p.metrics != nil {
		cfg.Metrics = p.metrics.registry
	}
	cfg.MaxBlock = int(p.Config.Pin.MaxBlockSize)
	cfg.Roots = p.core.store.Roots
	cfg.Complete = func(ctx context.Context, d pin.DAG) (bool, error) {
		_, complete, err := p.core.store.DAGTotals(ctx, d)
		return complete, err
	}
	cfg.Datastore = p.core.store.Datastore()
	cfg.Denylist = p.denials.forNode()
	cfg.OnPeer = func(peer string, inbound bool) {
		if m := manager.Load(); m != nil {
			m.PeerConnected(peer, inbound)
		}
	}
	lost := theNodeKey().missing(p.Data)
	if p.node, err = node.New(ctx, cfg, p.core.store); err != nil {
		return fmt.Errorf("start the node: %w", err)
	}
	if err := theNodeKey().check(ctx, cfg.Datastore, p.Data, p.node.PeerID(), lost, p.Log); err != nil {
		return err
	}
	network := cmp.Or(p.node.Network(), publicNetwork)
	if err := theSwarmKey(p.Config.Node.SwarmKey).check(ctx, cfg.Datastore, p.Data, network, false, p.Log); err != nil {
		return err
	}
	p.pins, err = pin.New(ctx, pin.Config{
		Workers:      p.Config.Pin.Workers,
		StallTimeout: time.Duration(p.Config.Pin.StallTimeout),
		Limits: pin.Limits{
			Bytes:  uint64(p.Config.Pin.MaxDAGBytes),
			Blocks: uint64(p.Config.Pin.MaxDAGBlocks),

			BlockBytes: uint64(p.Config.Pin.MaxBlockSize),
			Links:      uint64(p.Config.Pin.MaxLinks),
			Depth:      uint64(p.Config.Pin.MaxDepth),
		},
		TotalTimeout: time.Duration(p.Config.Pin.TotalTimeout),
		Quotas:       quotas{p.core.auth},
		Denied:       p.denials.dag,
		Logger:       p.Log,
	}, p.core.store, p.node)
	if err != nil {
		return fmt.Errorf("start the pin manager: %w", err)
	}
	manager.Store(p.pins)
	p.core.pins = p.pins
	return nil
}

func nodeConfig(c Config, d *dataDir, log *slog.Logger) (node.Config, error) {
	key, err := swarmKeyFile(c.Node.SwarmKey, d)
	return node.Config{
		Listen:       c.Node.Listen,
		Announce:     c.Node.Announce,
		KeyFile:      d.file(nodeKeyFile),
		TempDir:      d.file(tempDirName),
		SwarmKeyFile: key,
		Routing:      c.Node.Routing,
		Bootstrap:    bootstrapPeers(c.Node.Bootstrap),
		RoutingConfig: node.RoutingConfig{
			DelegatedRouters: c.Node.DelegatedRouters,
			NoProvide:        !c.Provide.Enabled,
			Strategy:         provide.Strategy(c.Provide.Strategy),
			Interval:         time.Duration(c.Provide.Interval),
		},
		Peering:               c.Node.Peering,
		AllowPrivateAddresses: c.Node.AllowPrivateAddresses,
		HTTPRetrieval:         c.Node.HTTPRetrieval,
		Reach: node.Reach{
			Reachability: c.Node.Reachability,
			PortMap:      c.Node.NATPortMap,
			AutoNAT:      c.Node.AutoNAT,
			RelayClient:  c.Node.RelayClient,
			StaticRelays: c.Node.StaticRelays,
			RelayService: c.Node.RelayService,
			HolePunching: c.Node.HolePunching,
		},
		Logger: log,
	}, err
}

// swarmKeyFile is where the key of a private network is: where the
// configuration says, else in the data directory, if it is there. "" is nowhere.
func swarmKeyFile(configured string, d *dataDir) (string, error) {
	if configured != "" {
		return configured, nil
	}
	path := d.file(swarmKeyName)
	switch _, err := os.Stat(path); {
	case err == nil:
		return path, nil
	case errors.Is(err, os.ErrNotExist):
		return "", nil
	default:
		return "", fmt.Errorf("look for the key of a private network: %w", err)
	}
}

// bootstrapPeers puts the public peers where the list has "auto". It is never
// nil: to the node that would be the public ones.
func bootstrapPeers(list []string) []string {
	peers := []string{}
	for _, s := range list {
		if s != autoBootstrap {
			peers = append(peers, s)
			continue
		}
		for _, a := range dht.DefaultBootstrapPeers {
			peers = append(peers, a.String())
		}
	}
	return peers
}

// serveWeb serves the API over TCP.
func (p *Program) serveWeb(ctx, background context.Context) (err error) {
	var requests *requestMetrics
	if p.metrics != nil {
		requests = p.metrics.requests
	}
	handler, err := (&api{
		cfg: p.Config.HTTP, auth: p.core.auth, pins: p.pins, delegates: p.node.Delegates,
		probes: p.probes(), requests: requests, log: p.Log,
	}).handler()
	if err != nil {
		return err
	}
	if p.listener, err = new(net.ListenConfig).Listen(ctx, "tcp", p.Config.HTTP.Listen); err != nil {
		return hinted(fmt.Errorf("serve HTTP on %s: %w", p.Config.HTTP.Listen, err),
			"http.listen sets the address; port 0 takes a free one")
	}
	if p.tls, err = openEncryption(p.Config.HTTP, p.Data, p.listener, p.Log); err != nil {
		return err
	}
	most := mostConns(p.Config.HTTP.MaxConnections, p.Machine.files, p.Log)
	p.profile.log(p.Log, p.Config.Node.Profile, p.Machine, most, p.Config.Pin.Workers)
	p.conns = newConnLimit(most, proxyNetworks(p.Config.HTTP.TrustedProxies), p.Log)
	p.web = newHTTPServer(p.conns.count(handler), p.Log)
	p.web.ConnContext = p.conns.context
	if p.tls != nil {
		p.web.TLSConfig = p.tls.config()
	}
	p.serve(p.web, p.conns.listen(p.listener))
	if p.tls != nil {
		p.background.Go(func() { p.tls.run(background) })
	}
	return nil
}

func (p *Program) serveAdmin(ctx context.Context) error {
	handler, err := (&adminServer{
		auth: p.core.auth, pins: p.pins, running: true, endpoint: p.endpoint, log: p.Log,
		store: servedStore(p.core.store, p.core.auth, p.pins),
		adopt: func(ctx context.Context, from, to string) (adopted, left int, err error) {
			return p.pins.Adopt(ctx, p.core.store, from, to)
		},
	}).handler()
	if err != nil {
		return err
	}
	l, err := listenAdmin(ctx, p.Data)
	if err != nil {
		return err
	}
	p.admin = newHTTPServer(handler, p.Log)
	p.admin.WriteTimeout = 0 // removing an account takes as long as it has pins
	p.serve(p.admin, l)
	return nil
}

// serve runs an HTTP server until it is closed.
func (p *Program) serve(s *http.Server, l net.Listener) {
	p.background.Go(func() {
		serve := s.Serve
		if s.TLSConfig != nil {
			serve = func(l net.Listener) error { return s.ServeTLS(l, "", "") }
		}
		if err := serve(l); !errors.Is(err, http.ErrServerClosed) {
			p.failed <- fmt.Errorf("serve HTTP on %s: %w", l.Addr(), err)
		}
	})
}

// Failed gives an error if the server cannot go on.
func (p *Program) Failed() <-chan error { return p.failed }

// URL is the base URL of the listener, as programs on this host reach it.
func (p *Program) URL() string { return baseURL(p.Config.HTTP.scheme(), p.listener.Addr()) }

// Close stops the server: it lets the requests under way finish, leaves
// unfinished pins to the next start, and closes the store. It may be called
// twice, and after a Run that failed.
func (p *Program) Close() error {
	p.closeOnce.Do(func() { p.closeErr = p.shutDown() })
	return p.closeErr
}

func (p *Program) shutDown() error {
	if p.ready && p.Notify != nil {
		p.Notify(notifyStopping)
	}
	p.draining.Store(true)
	var errs []error
	try := func(what string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", what, err))
		}
	}
	if p.ready {
		try("remove "+runFileName, os.Remove(p.Data.file(runFileName)))
	}
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	// The last of them tells for as long that the server is stopping.
	for _, s := range []*http.Server{p.web, p.admin, p.gateway.server(), p.monitor} {
		if s == nil {
			continue
		}
		if err := s.Shutdown(ctx); err != nil {
			p.Log.Warn("cut off HTTP requests that did not end in time")
			try("close HTTP connections", s.Close())
		}
	}
	if p.listener != nil && p.web == nil {
		try("close the listener", p.listener.Close())
	}
	if p.stop != nil {
		p.stop()
	}
	p.background.Wait()
	if p.tls != nil {
		p.tls.close()
	}
	if p.pins != nil {
		try("close the pin manager", p.pins.Close())
	}
	if p.node != nil {
		try("close the node", p.node.Close())
	}
	if p.core != nil {
		try("close the store", p.core.store.Close())
	}
	if p.lock != nil {
		try("unlock the data directory", p.lock.Close())
	}
	return errors.Join(errs...)
}
