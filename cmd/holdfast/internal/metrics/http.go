package metrics

import (
	"cmp"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
)

// otherLabel stands for unknown routes and methods. Without it clients could make a time
// series with each path that they invent.
const otherLabel = "other"

// GatewayRoute is the route of all requests to the gateway.
const GatewayRoute = "/ipfs/*"

// LocalRPC is before the routes of the RPC for programs of this machine.
const LocalRPC = "rpc:"

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
			Name: "holdfast_http_requests_total", Help: "Requests to the API and the gateway, by route pattern, method and status.",
		}, []string{"route", "method", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "holdfast_http_request_duration_seconds", Help: "How long requests to the API and the gateway took, the answer included.",
			// An answer from memory takes a tenth of a millisecond, and the hash of a
			// login a few hundred. A slow client may take any time.
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"route", "method"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_http_response_bytes_total", Help: "Bytes of answers of the API and the gateway, without headers.",
		}, []string{"route"}),
	}
	r.MustRegister(m.count, m.duration, m.bytes)
	return m
}

// Middleware counts the requests to a router, by their routes, or all under the route as if
// that is not "". It must be the outermost middleware, to see how errors are answered.
func (m *Requests) Middleware(as string) echo.MiddlewareFunc {
	return m.by(func(c echo.Context) string { return cmp.Or(as, c.Path(), otherLabel) })
}

// MiddlewareOf is Middleware by routes, of another listener: before is put in front of each.
func (m *Requests) MiddlewareOf(before string) echo.MiddlewareFunc {
	return m.by(func(c echo.Context) string { return before + cmp.Or(c.Path(), otherLabel) })
}

func (m *Requests) by(routeOf func(echo.Context) string) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			start := time.Now()
			if err := next(c); err != nil {
				c.Error(err)
			}
			route, method := routeOf(c), methodLabel(c.Request().Method)
			m.count.WithLabelValues(route, method, strconv.Itoa(c.Response().Status)).Inc()
			m.bytes.WithLabelValues(route).Add(float64(c.Response().Size))
			m.duration.WithLabelValues(route, method).Observe(time.Since(start).Seconds())
			return nil
		}
	}
}

// methodLabel is the method, if browsers and clients use it, else otherLabel.
func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return otherLabel
}
