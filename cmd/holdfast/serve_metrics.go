package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"time"
)

// serveMetrics serves /metrics, and beside it what tells whether the server is
// well, if the configuration has an address for them.
func (p *Program) serveMetrics(ctx, background context.Context) error {
	if p.metrics == nil {
		return nil
	}
	p.metrics.registry.MustRegister(newCollector(p.read))
	address := p.Config.Metrics.Listen
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil && address == defaultMetricsListen && errors.Is(err, syscall.EADDRINUSE) {
		// A second server on the host should not need a setting to start.
		p.Log.Warn("no metrics: the usual address is taken; metrics.listen sets another", "address", address)
		return nil
	}
	if err != nil {
		return hinted(fmt.Errorf("serve metrics on %s: %w", address, err),
			"metrics.listen sets the address; port 0 takes a free one, and an empty one is no metrics")
	}
	p.metricsURL = baseURL("http", l.Addr())
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", p.metrics.handler(p.Log))
	mux.HandleFunc("GET /healthz", p.probes().serveHealth)
	mux.HandleFunc("GET /readyz", p.probes().serveReady)
	conns := newConnLimit(metricsConns, nil, p.Log)
	p.monitor = newHTTPServer(conns.count(secure(mux)), p.Log)
	p.monitor.ConnContext = conns.context
	p.serve(p.monitor, conns.listen(l))
	p.background.Go(func() {
		if err := p.core.store.Count(background, countEvery); err != nil {
			p.Log.Error("counting what the store has ended", "err", err)
		}
	})
	return nil
}

// read gives what the metrics tell of the parts of the server, all of which are started.
func (p *Program) read(ctx context.Context) (r *reading, err error) {
	r = &reading{
		counted:  p.core.store.Counted(),
		reclaims: p.core.store.Reclaims(),
		levels:   p.core.store.Levels(),
		pins:     p.pins.Stats(),
		node:     p.node.Stats(),
		failures: p.core.auth.Failures(),
		conns:    p.conns.open(),
		ready:    p.probes().unready(ctx) == "",
		now:      time.Now(),
	}
	if r.queue, err = p.core.store.Queue(ctx); err != nil {
		return nil, err
	}
	r.free, err = p.core.store.Free()
	return r, err
}

const (
	metricsConns = 64
	// countEvery is how often what is in the store is counted, if that is quick.
	countEvery = 5 * time.Minute
)
