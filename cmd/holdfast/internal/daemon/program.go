package daemon

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	dht "github.com/libp2p/go-libp2p-kad-dht"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/cluster"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/doctor"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/httpd"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/metrics"
	"github.com/holdfast-ipfs/holdfast/internal/hint"
	"github.com/holdfast-ipfs/holdfast/internal/room"
	"github.com/holdfast-ipfs/holdfast/node"
	"github.com/holdfast-ipfs/holdfast/node/denylist"
	"github.com/holdfast-ipfs/holdfast/node/provide"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// Limits for a graceful stop.
const (
	drainTimeout = 4 * time.Second // for the requests under way
	// StopTimeout is for the whole stop.
	StopTimeout = 10 * time.Second
)

// Program is the server. Set its fields, Run it, and Close it.
type Program struct {
	Config config.Config
	Data   *datadir.Dir // the caller closes it after Close
	Log    *slog.Logger
	// Version is in the metrics.
	Version string
	// Command is how commands of this program are called; "" is holdfast.
	Command string
	// Machine is what the server may use: its limits depend on that. Zero asks the system.
	Machine config.Machine
	// GCPercent is the percentage of Go's collector. While much memory is in use, the server
	// makes it collect sooner. 0 leaves the collector alone.
	GCPercent int
	// LastLines has the end of the log, for who looks for a fault. Nil has none.
	LastLines *LastLines
	// TakeOver starts a restored server that has the identity of another without looking
	// whether that one still runs.
	TakeOver bool
	// Terminal is where a first start shows the account that it makes. Nil: it makes none.
	Terminal io.Writer
	// Notify reports the state to the service manager. Nil reports nothing.
	Notify func(state string)
	// WatchdogInterval is how often the service manager wants a report that all is well, at
	// least. 0 is never.
	WatchdogInterval time.Duration

	started time.Time
	profile config.Profile
	core    *core
	lock    *datadir.Lock
	node    *node.Node      // nil: a cluster keeps what is pinned
	cluster *cluster.Engine // nil: there is none
	// clusterIs is how the cluster was just now, for metrics. Nil is not known.
	clusterIs atomic.Pointer[cluster.State]
	pins      *pin.Manager
	managed   atomic.Pointer[pin.Manager] // pins, for the node, which starts first
	draining  atomic.Bool

	answers *room.Room        // the memory that answers of the RPC and the gateway share
	denials *denylist.Denials // nil: there are no denylists
	backups *backups
	pages   *dashboard // nil: there is none
	runs    *admin.Runs
	history admin.History

	api        *api
	web, admin *http.Server
	gateway    *gatewayServer // nil: there is none
	localRPC   *localRPC      // nil: there is none
	listener   net.Listener
	tls        httpd.Encryption         // nil: there is none
	cert       atomic.Pointer[certFunc] // of tls, once it is open
	metrics    *metrics.Set             // nil: there are none
	monitor    *http.Server
	metricsURL string           // "": there are none
	conns      *httpd.ConnLimit // of web
	ports      sync.Map         // TCP ports, as uint16, on which HTTP servers listen
	failed     chan error       // errors after which the server cannot go on
	stop       context.CancelFunc
	background sync.WaitGroup
	ready      bool
	logged     loggedState
	filesLimit uint64                 // how many files the process may open
	uncounted  sync.Once              // for the log line that the open files cannot be counted
	closing    atomic.Pointer[string] // what Close is doing
	closeOnce  sync.Once
	closeErr   error
}

// Run starts everything, and returns when the server is ready. ctx is for the start alone. If
// Run fails, it closes what it has started.
func (p *Program) Run(ctx context.Context) (err error) {
	p.started = time.Now()
	p.failed = make(chan error, 5) // one for each HTTP server
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
		}
	}()
	var background context.Context
	background, p.stop = context.WithCancel(context.WithoutCancel(ctx))

	if p.Machine == (config.Machine{}) {
		if p.Machine, err = config.ThisMachine(p.Log); err != nil {
			return err
		}
	}
	p.filesLimit = p.Machine.Files
	if p.Machine, err = doctor.SetFilesAside(p.Machine, p.Data); err != nil {
		return err
	}
	p.profile = config.NewProfile(p.Config.Node.Profile, p.Machine)
	if p.lock, err = lockForServer(ctx, p.Data, p.Log); err != nil {
		return err
	}
	if p.core, err = openCore(ctx, p.Data, p.lock, p.Config, p.Log); err != nil {
		return err
	}
	p.background.Go(func() {
		if err := p.core.auth.Run(background); err != nil {
			p.Log.Error("expired tokens are not removed any more", "err", err)
		}
	})
	p.background.Go(func() {
		if err := p.core.store.Run(background); err != nil {
			p.Log.Error("disk space is not reclaimed any more", "err", err)
		}
	})
	if p.Config.Metrics.Listen != "" {
		p.metrics = metrics.New(p.Version)
	}
	p.answers = newAnswers(p.Machine.Memory)
	if p.denials, err = denylist.OpenDenials(denylistDirs(p.Config.Denylist, p.Data), p.core.store, p.Log); err != nil {
		return hint.Add(p.Data.Explain(err), "denylist.dirs sets the directories of denylists; an empty list is none")
	}
	if err := p.startPins(ctx); err != nil {
		return err
	}
	if p.cluster != nil {
		p.background.Go(func() { p.cluster.Run(background, checkEvery) })
		p.background.Go(func() { p.keepClusterState(background) })
	}
	p.backups = newBackups(p.core, p.Data, p.Config, p.Version, OpenPlace, p.Log)
	p.backups.into, p.backups.addrs = &restorer{p.core.store, p.core.auth, p.pins}, p.whereNode
	p.background.Go(func() { p.backups.run(background) })
	p.runs = admin.NewRuns()
	p.background.Go(func() { p.keepHistory(background) })
	if p.GCPercent > 0 {
		p.background.Go(func() { newGCPace(p.GCPercent).run(background) })
	}
	p.background.Go(func() {
		newTrimmer(func() uint64 {
			s := p.nodeStats()
			return s.BytesReceived + s.BytesServed
		}).run(background)
	})
	p.background.Go(func() { p.denials.Watch(background, p.pins.DenialsChanged) })
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
	if err := p.serveRPC(ctx, background); err != nil {
		return err
	}
	if err := p.serveMetrics(ctx); err != nil {
		return err
	}
	p.countStore(background)
	if err := p.greet(ctx); err != nil {
		return err
	}
	run := datadir.RunFile{
		PID: os.Getpid(), HTTP: p.URL(), Gateway: p.gateway.url(), Metrics: p.metricsURL, RPC: p.localRPC.address(),
		PeerID: p.nodeID(), Addrs: p.nodeAddrs(), Directory: p.Data.Number(),
	}
	if err := datadir.WriteRunFile(p.Data.File(datadir.RunFileName), run); err != nil {
		return err
	}
	if err := p.tookOver(); err != nil {
		return err
	}
	p.pins.WarnFull(p.core.store.Room(ctx, 0)) // before the first pin is refused
	p.ready = true
	p.Log.Info("ready", "http", run.HTTP, "metrics", run.Metrics, "peer", run.PeerID, "addrs", run.Addrs, "data", p.Data.Shown)
	if p.Notify != nil {
		p.Notify(notifyReady)
		if p.WatchdogInterval > 0 {
			p.background.Go(func() { watchdog(background, p.WatchdogInterval, p.core.healthy, p.Notify, p.Log) })
		}
	}
	return nil
}

// startNode starts the node.
func (p *Program) startNode(ctx context.Context) (err error) {
	cfg, err := nodeConfig(p.Config, p.Data, p.Log)
	if err != nil {
		return err
	}
	cfg.Limits = p.profile.Limits
	if p.Config.HTTP.TLS != config.TLSOff {
		cfg.Certificate, cfg.CertificateName = p.certificate, p.Config.HTTP.PublicName()
	}
	if p.metrics != nil {
		cfg.Metrics = p.metrics.Registry
	}
	cfg.OwnPort = func(port uint16) bool { _, ok := p.ports.Load(port); return ok }
	cfg.MaxBlock = int(p.Config.Pin.MaxBlockSize)
	cfg.Roots = p.core.store.Roots
	cfg.Complete = func(ctx context.Context, d pin.DAG) (bool, error) {
		_, complete, err := p.core.store.DAGTotals(ctx, d)
		return complete, err
	}
	cfg.Datastore = p.core.store.Datastore()
	if p.denials != nil { // an interface with a nil pointer in it would not be nil
		cfg.Denylist = p.denials
	}
	cfg.OnPeer = func(peer string, inbound bool) {
		if m := p.managed.Load(); m != nil {
			m.PeerConnected(peer, inbound)
		}
	}
	if err := p.checkTakeOver(ctx, cfg); err != nil {
		return err
	}
	lost := datadir.NodeKey().Missing(p.Data)
	if p.node, err = node.New(ctx, cfg, p.core.store); err != nil {
		err = fmt.Errorf("start the node: %w", err)
		if _, listening := errors.AsType[*net.OpError](err); listening {
			err = hintListen(err, "node.listen sets the addresses; port 0 takes a free port")
		}
		return err
	}
	if err := datadir.NodeKey().Check(ctx, cfg.Datastore, p.Data, p.node.PeerID(), lost, p.Log); err != nil {
		return err
	}
	network := cmp.Or(p.node.Network(), datadir.PublicNetwork)
	if err := datadir.SwarmKey(p.Config.Node.SwarmKey).Check(ctx, cfg.Datastore, p.Data, network, false, p.Log); err != nil {
		return err
	}
	return nil
}

// whereNode gives all addresses of the node: those that it listens on, and those that others
// are told.
func (p *Program) whereNode() []string {
	all := slices.Concat(p.nodeAddrs(), p.delegates())
	slices.Sort(all)
	return slices.Compact(all)
}

// certFunc fits tls.Config.GetCertificate.
type certFunc func(*tls.ClientHelloInfo) (*tls.Certificate, error)

// certificate is that of the API, for the node too, which starts first.
func (p *Program) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	get := p.cert.Load()
	if get == nil {
		return nil, errors.New("the server is starting")
	}
	return (*get)(hello)
}

func nodeConfig(c config.Config, d *datadir.Dir, log *slog.Logger) (node.Config, error) {
	key, err := swarmKeyFile(c.Node.SwarmKey, d)
	return node.Config{
		Listen:         c.Node.Listen,
		Announce:       c.Node.Announce,
		AppendAnnounce: c.Node.AppendAnnounce,
		KeyFile:        d.File(datadir.NodeKeyFile),
		TempDir:        d.File(datadir.TempDirName),
		SwarmKeyFile:   key,
		Routing:        c.Node.Routing,
		Bootstrap:      bootstrapPeers(c.Node.Bootstrap),
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

// swarmKeyFile is the file with the key of a private network: the configured one, else the
// one in the data directory, if it exists. "" is the public network.
func swarmKeyFile(configured string, d *datadir.Dir) (string, error) {
	if configured != "" {
		return configured, nil
	}
	path := d.File(datadir.SwarmKeyName)
	switch _, err := os.Stat(path); {
	case err == nil:
		return path, nil
	case errors.Is(err, os.ErrNotExist):
		return "", nil
	default:
		return "", fmt.Errorf("look for the key of a private network: %w", err)
	}
}

// bootstrapPeers replaces "auto" in a list by the public peers. The result is never nil: for
// the node nil stands for the public peers.
func bootstrapPeers(list []string) []string {
	peers := []string{}
	for _, s := range list {
		if s != config.AutoBootstrap {
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
	var requests *metrics.Requests
	if p.metrics != nil {
		requests = p.metrics.Requests
	}
	if p.Config.Web.Enabled {
		if p.pages, err = p.newDashboard(ctx); err != nil {
			return err
		}
	}
	p.api = &api{
		cfg: p.Config.HTTP, web: p.pages, auth: p.core.auth, pins: p.pins, delegates: p.delegates,
		store: p.servedStore(), runs: p.runs, history: &p.history, self: self{p},
		content: p.content(), probes: p.probes(), requests: requests, log: p.Log,
	}
	handler, err := p.api.handler()
	if err != nil {
		return err
	}
	if p.listener, err = new(net.ListenConfig).Listen(ctx, "tcp", p.Config.HTTP.Listen); err != nil {
		return hintListen(fmt.Errorf("serve HTTP on %s: %w", p.Config.HTTP.Listen, err),
			"http.listen sets the address; port 0 takes a free port")
	}
	if p.tls, err = httpd.OpenEncryption(p.Config.HTTP, p.Data.File(datadir.ACMEDirName), p.listener, p.Log); err != nil {
		return err
	}
	limit := httpd.MaxConns(p.Config.HTTP.MaxConnections, p.Machine.Files, p.Log)
	p.profile.Log(p.Log, p.Config.Node.Profile, p.Machine, limit, p.Config.Pin.Workers)
	p.conns = httpd.NewConnLimit(limit, httpd.ProxyNetworks(p.Config.HTTP.TrustedProxies), p.Log)
	p.web = httpd.NewServer(p.conns.Count(handler), p.Log)
	p.web.ConnContext = p.conns.Context
	if p.tls != nil {
		p.web.TLSConfig = p.tls.Config()
		get := certFunc(p.web.TLSConfig.GetCertificate)
		p.cert.Store(&get)
	}
	p.serve(p.web, p.conns.Listen(p.listener))
	if p.tls != nil {
		p.background.Go(func() { p.tls.Run(background) })
	}
	return nil
}

func (p *Program) serveAdmin(ctx context.Context) error {
	handler, err := (&admin.Server{
		Auth: p.core.auth, Pins: p.pins, Running: true, Endpoint: p.endpoint, Log: p.Log,
		Store: p.servedStore(), Backups: p.backups, Self: self{p}, Hint: storeHint,
		Runs: p.runs, History: &p.history, Cluster: p.clusterService(),
		RPC: p.api.rpcBySocket,
	}).Handler()
	if err != nil {
		return err
	}
	l, err := admin.Listen(ctx, p.Data.Socket(admin.SocketName))
	if err != nil {
		return err
	}
	p.admin = httpd.NewServer(handler, p.Log)
	p.admin.WriteTimeout = 0 // removing an account with many pins takes long
	p.serve(p.admin, l)
	return nil
}

// serve runs an HTTP server in the background until it is closed.
func (p *Program) serve(s *http.Server, l net.Listener) {
	if at, ok := l.Addr().(*net.TCPAddr); ok {
		p.ports.Store(uint16(at.Port), true)
	}
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

// hintListen adds what to do to the error of listening on an address.
func hintListen(err error, what string) error {
	if errors.Is(err, syscall.EACCES) {
		what = doctor.LowPortHint + "; " + what
	}
	return hint.Add(err, what)
}

// Failed gives an error when the server cannot go on.
func (p *Program) Failed() <-chan error { return p.failed }

// URL is the base URL of the API for programs on this host.
func (p *Program) URL() string { return httpd.BaseURL(p.Config.HTTP.Scheme(), p.listener.Addr()) }

// Close stops the server. It waits for the requests under way, leaves unfinished pins to the
// next start, and closes the store. It may be called twice, and after a failed Run.
func (p *Program) Close() error {
	p.closeOnce.Do(func() { p.closeErr = p.shutDown() })
	return p.closeErr
}

// Closing says what Close is doing, or did last. It is "" before Close is called.
func (p *Program) Closing() string {
	if s := p.closing.Load(); s != nil {
		return *s
	}
	return ""
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
	begin := func(what string) { p.closing.Store(&what) }
	begin("end HTTP requests")
	if p.ready {
		try("remove "+datadir.RunFileName, os.Remove(p.Data.File(datadir.RunFileName)))
	}
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	// The monitor comes last, so that /readyz says meanwhile that the server is stopping.
	for _, s := range []*http.Server{p.web, p.admin, p.gateway.server(), p.localRPC.server(), p.monitor} {
		if s == nil {
			continue
		}
		if err := s.Shutdown(ctx); err != nil {
			p.Log.Warn("HTTP requests did not end in time and were cut off")
			try("close HTTP connections", s.Close())
		}
	}
	if p.listener != nil && p.web == nil {
		try("close the listener", p.listener.Close())
	}
	p.pages.close()
	if p.stop != nil {
		p.stop()
	}
	begin("end its work in the background, such as a reclaim")
	if p.runs != nil {
		p.runs.Close()
	}
	p.background.Wait()
	if p.tls != nil {
		p.tls.Close()
	}
	if p.pins != nil {
		begin("close the pin manager")
		try("close the pin manager", p.pins.Close())
	}
	if p.node != nil {
		begin("close the node")
		try("close the node", p.node.Close())
	}
	if p.cluster != nil {
		try("close the connections to the cluster", p.cluster.Close())
	}
	if p.core != nil {
		begin("close the store")
		try("close the store", p.core.store.Close())
	}
	if p.lock != nil {
		try("unlock the data directory", p.lock.Close())
	}
	return errors.Join(errs...)
}
