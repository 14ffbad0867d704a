package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
)

// serveMetrics serves /metrics, and beside it what tells whether the server is
// well, if the configuration has an address for them.
func (p *Program) serveMetrics(ctx, background context.Context) error {
	if p.metrics == nil {
		return nil
	}
	p.metrics.registry.MustRegister(newCollector(p))
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
