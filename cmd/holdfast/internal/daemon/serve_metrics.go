package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/httpd"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/metrics"
	"github.com/holdfast-ipfs/holdfast/internal/faults"
)

// serveMetrics serves /metrics, /healthz and /readyz, if the configuration has an address
// for them.
func (p *Program) serveMetrics(ctx context.Context) error {
	if p.metrics == nil {
		return nil
	}
	p.metrics.Registry.MustRegister(metrics.NewCollector(p.read))
	address := p.Config.Metrics.Listen
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil && address == config.DefaultMetricsListen && errors.Is(err, syscall.EADDRINUSE) {
		// A second server on the host should start without a setting.
		p.Log.Warn("no metrics are served: another program has the default address; metrics.listen sets another address", "address", address)
		return nil
	}
	if err != nil {
		return hintListen(fmt.Errorf("serve metrics on %s: %w", address, err),
			"metrics.listen sets the address; port 0 takes a free port, and an empty address switches metrics off")
	}
	p.metricsURL = httpd.BaseURL("http", l.Addr())
	conns := httpd.NewConnLimit(metricsConns, nil, p.Log)
	p.monitor = httpd.NewServer(conns.Count(httpd.Secure(monitorHandler(p.metrics, p.probes(), p.Log))), p.Log)
	p.monitor.ConnContext = conns.Context
	p.serve(p.monitor, conns.Listen(l))
	return nil
}

// countStore counts what the store has in the background, for the metrics and for what the node of a
// cluster peer says of its disk. Nobody else asks.
func (p *Program) countStore(background context.Context) {
	if p.monitor == nil && p.Config.RPC.Listen == "" {
		return
	}
	p.background.Go(func() {
		if err := p.core.store.Count(background, countEvery); err != nil {
			p.Log.Error("the blocks in the store are not counted any more", "err", err)
		}
	})
}

// monitorRoutes are the routes of the listener for metrics.
func monitorRoutes(m *metrics.Set, probes probes, log *slog.Logger) map[string]http.Handler {
	return map[string]http.Handler{
		"GET /metrics": m.Handler(log),
		"GET /healthz": http.HandlerFunc(probes.serveHealth),
		"GET /readyz":  http.HandlerFunc(probes.serveReady),
	}
}

func monitorHandler(m *metrics.Set, probes probes, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range monitorRoutes(m, probes, log) {
		mux.Handle(pattern, h)
	}
	return faults.Handler(log, mux)
}

// read gives the numbers for the metrics, and an error for those that cannot be read. All
// parts of the server are started.
func (p *Program) read(ctx context.Context) (*metrics.Reading, error) {
	ready, _ := p.probes().ready(ctx)
	r := &metrics.Reading{
		Counted:  p.core.store.Counted(),
		Reclaims: p.core.store.Reclaims(),
		Levels:   p.core.store.Levels(),
		Pins:     p.pins.Stats(),
		Node:     p.nodeStats(),
		Failures: p.core.auth.Failures(),
		Conns:    p.conns.Open(),
		Ready:    ready == "",
		Writable: p.core.store.Writable(ctx) == nil,
		Sound:    p.core.store.Sound() == nil,
		Damage:   p.core.store.FoundDamage(),
		Now:      time.Now(),
	}
	if p.Config.Backup.To != "" {
		state := p.backups.State()
		r.Backup, r.BackupFailed = &state.Last, state.Failed
	}
	r.Cluster = p.clusterIs.Load()
	queue, queueErr := p.core.store.Queue(ctx)
	if queueErr == nil {
		r.Queue = &queue
	}
	free, freeErr := p.core.store.Free()
	if freeErr == nil {
		r.Free = &free
	}
	return r, errors.Join(queueErr, freeErr)
}

const (
	metricsConns = 64
	// countEvery is how often the blocks in the store are counted, if that is quick.
	countEvery = 5 * time.Minute
)
