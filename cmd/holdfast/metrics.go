package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	// Whoever asks for metrics asks every 15 s or so. More at the same time than
	// this are a mistake, or an attack.
	scrapesAtOnce = 4
	scrapeTimeout = 30 * time.Second
	metricsConns  = 64
	// countEvery is how often what is in the store is counted, if that is quick.
	countEvery = 5 * time.Minute
)

// metrics is everything that is told to Prometheus. Each Program has its own;
// what libp2p and Badger count, those count for the whole process.
type metrics struct {
	registry *prometheus.Registry
	requests *requestMetrics
}

// newMetrics makes a registry with what is known before anything runs.
func newMetrics() *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	m.requests = newRequestMetrics(m.registry)
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "holdfast_build_info", Help: "Always 1, with the version of the program.",
	}, []string{"version", "goversion"})
	version, _ := buildVersion()
	build.WithLabelValues(version, runtime.Version()).Set(1)
	m.registry.MustRegister(
		build,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		badgerCollector{},
	)
	return m
}

// handler serves the metrics. What cannot be told is logged, and the rest is
// told.
func (m *metrics) handler(log *slog.Logger) http.Handler {
	return promhttp.HandlerFor(conventional{m.registry}, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: scrapesAtOnce,
		Timeout:             scrapeTimeout,
	})
}

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
	conns := newConnLimit(metricsConns, nil, p.Log)
	p.monitor = newHTTPServer(conns.count(secure(monitorHandler(p.metrics, p.probes(), p.Log))), p.Log)
	p.monitor.ConnContext = conns.context
	p.serve(p.monitor, conns.listen(l))
	p.background.Go(func() {
		if err := p.core.store.Count(background, countEvery); err != nil {
			p.Log.Error("counting what the store has ended", "err", err)
		}
	})
	return nil
}

// monitorRoutes are those of the listener of the metrics.
func monitorRoutes(m *metrics, probes probes, log *slog.Logger) map[string]http.Handler {
	return map[string]http.Handler{
		"GET /metrics": m.handler(log),
		"GET /healthz": http.HandlerFunc(probes.serveHealth),
		"GET /readyz":  http.HandlerFunc(probes.serveReady),
	}
}

func monitorHandler(m *metrics, probes probes, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range monitorRoutes(m, probes, log) {
		mux.Handle(pattern, h)
	}
	return withFaults(log, mux)
}
