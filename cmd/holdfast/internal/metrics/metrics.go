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
	// Whoever asks for metrics asks every 15 s or so. More at the same time than
	// this are a mistake, or an attack.
	scrapesAtOnce = 4
	scrapeTimeout = 30 * time.Second
)

// Set is everything that is told to Prometheus. Each Program has its own;
// what libp2p and Badger count, those count for the whole process.
type Set struct {
	Registry *prometheus.Registry
	Requests *Requests
}

// New makes a registry with what is known before anything runs. version is the
// program's.
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

// Handler serves the metrics. What cannot be told is logged, and the rest is
// told.
func (m *Set) Handler(log *slog.Logger) http.Handler {
	return promhttp.HandlerFor(conventional{m.Registry}, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: scrapesAtOnce,
		Timeout:             scrapeTimeout,
	})
}
