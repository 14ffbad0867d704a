package metrics

import (
	"cmp"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
)

// otherLabel stands for what clients make up: routes and methods that are none.
// Without it each made-up path would be a time series.
const otherLabel = "other"

// GatewayRoute is what the gateway serves.
const GatewayRoute = "/ipfs/*"

// Requests counts the requests to the API and to the gateway, and how
// long they took.
type Requests struct {
	count    *prometheus.CounterVec
	duration *prometheus.HistogramVec
	bytes    *prometheus.CounterVec
}

func newRequests(r prometheus.Registerer) *Requests {
	m := &Requests{
		count: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_http_requests_total", Help: "Requests to the API and the gateway, by the route's pattern, the method and the status.",
		}, []string{"route", "method", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "holdfast_http_request_duration_seconds", Help: "How long requests to the API and the gateway took, the answer included.",
			// Answers from memory take a tenth of a millisecond, a login's hash
			// a few hundred, and a client's line whatever it wants.
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"route", "method"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_http_response_bytes_total", Help: "Bytes of answers of the API and the gateway, without headers.",
		}, []string{"route"}),
	}
	r.MustRegister(m.count, m.duration, m.bytes)
	return m
}

// Middleware counts what a router serves, by its routes, or as one that is given.
// It is the outermost, so that it sees what was answered to errors.
func (m *Requests) Middleware(as string) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			start := time.Now()
			if err := next(c); err != nil {
				c.Error(err)
			}
			route, method := cmp.Or(as, c.Path(), otherLabel), methodLabel(c.Request().Method)
			m.count.WithLabelValues(route, method, strconv.Itoa(c.Response().Status)).Inc()
			m.bytes.WithLabelValues(route).Add(float64(c.Response().Size))
			m.duration.WithLabelValues(route, method).Observe(time.Since(start).Seconds())
			return nil
		}
	}
}

// methodLabel is the method, if it is one that browsers and clients use.
func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return otherLabel
}
