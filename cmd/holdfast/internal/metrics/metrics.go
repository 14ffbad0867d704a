package metrics

import (
	"log/slog"
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	// Prometheus asks every 15 s or so. More requests than this at the same time are a
	// mistake or an attack.
	scrapesAtOnce = 4
	scrapeTimeout = 30 * time.Second
)

// Set is all metrics of one server. libp2p and Badger, however, count for the whole process.
type Set struct {
	Registry *prometheus.Registry
	Requests *Requests
}

// New makes a Set with the metrics that need no running server. version is that of the
// program.
func New(version string) *Set {
	m := &Set{Registry: prometheus.NewRegistry()}
	m.Requests = newRequests(m.Registry)
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "holdfast_build_info", Help: "Always 1, with the version of the program.",
	}, []string{"version", "goversion"})
	build.WithLabelValues(version, runtime.Version()).Set(1)
	m.Registry.MustRegister(
		build,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		badgerCollector{},
	)
	return m
}

// Handler serves the metrics. It logs what cannot be read, and serves the rest.
func (m *Set) Handler(log *slog.Logger) http.Handler {
	return promhttp.HandlerFor(conventional{m.Registry}, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: scrapesAtOnce,
		Timeout:             scrapeTimeout,
	})
}
