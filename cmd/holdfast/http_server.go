package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/psa"
)

// psaPath is the base path of the Pinning Services API.
const psaPath = "/api/psa"

// Bounds of one HTTP request. Bodies are a MiB at most and answers are made
// from memory or an index, so that what takes longer is a client that dawdles.
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = time.Minute
	// The longest answer, 1,000 pins with 16 KiB of meta each, at 30 KB/s.
	// Whoever takes nothing at all is cut off earlier, after writeStall.
	writeTimeout = 10 * time.Minute
	idleTimeout  = 2 * time.Minute // longer than any client's pause between polls
	// 16 KiB of meta, every byte of it escaped, beside ten CIDs.
	maxHeaderBytes = 128 << 10
)

// api is what is served over TCP.
type api struct {
	cfg       HTTPConfig
	auth      *auth.Service
	pins      psa.Service
	delegates func() []string
	probes    probes
	requests  *requestMetrics // nil counts nothing
	log       *slog.Logger
}

// handler makes what serves everything.
func (a *api) handler() (http.Handler, error) {
	e, err := a.router()
	if err != nil {
		return nil, err
	}
	return secure(e), nil
}

func (a *api) router() (*echo.Echo, error) {
	e := echo.New()
	e.IPExtractor = clientIP(a.cfg.TrustedProxies)
	e.HTTPErrorHandler = a.answerError
	if a.requests != nil {
		e.Use(a.requests.middleware("")) // first, so that it sees what was answered to errors
	}
	cors, err := a.cors()
	if err != nil {
		return nil, err
	}
	e.Use(a.logRequests, recoverPanics, cors)
	auth.Register(e, a.auth)
	for path, serve := range map[string]http.HandlerFunc{"/healthz": a.probes.serveHealth, "/readyz": a.probes.serveReady} {
		e.GET(path, echo.WrapHandler(serve))
		e.HEAD(path, echo.WrapHandler(serve))
	}
	e.GET(openAPIPath, serveOpenAPI)
	e.HEAD(openAPIPath, serveOpenAPI)

	authenticate := auth.Middleware(a.auth, func(_ echo.Context, err error) error { return err })
	err = psa.Register(e.Group(psaPath), psa.Config{
		Service:   a.pins,
		Delegates: a.delegates,
		// Where the PSA authenticates, it answers errors as it should.
		Auth:        func(next echo.HandlerFunc) echo.HandlerFunc { return a.refuseWhileDraining(authenticate(next)) },
		CORSOrigins: a.origins(),
		Logger:      a.log,
	})
	if err != nil {
		return nil, fmt.Errorf("serve %s: %w", psaPath, err)
	}
	return e, nil
}

// newHTTPServer bounds what a client may take of the server.
func newHTTPServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug), // clients' faults
	}
}

// refuseWhileDraining answers 503 to what would begin something new.
func (a *api) refuseWhileDraining(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if c.Request().Method == http.MethodPost && a.probes.draining.Load() {
			return pin.ErrClosed
		}
		return next(c)
	}
}

// cors lets web pages of the configured origins read every answer, but for those
// of the PSA, which brings its own CORS.
func (a *api) cors() (echo.MiddlewareFunc, error) {
	allow, err := psa.CORS(a.origins())
	if err != nil {
		return nil, err
	}
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		allowed := allow(next)
		return func(c echo.Context) error {
			if strings.HasPrefix(c.Request().URL.Path+"/", psaPath+"/") {
				return next(c)
			}
			return allowed(c)
		}
	}, nil
}

// origins are the configured ones, not nil: that would be any.
func (a *api) origins() []string { return append([]string{}, a.cfg.CORSOrigins...) }

// logRequests tells of each request at debug level only: what goes wrong is
// logged where it is dealt with.
func (a *api) logRequests(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if !a.log.Enabled(r.Context(), slog.LevelDebug) {
			return next(c)
		}
		start := time.Now()
		if err := next(c); err != nil {
			c.Error(err)
		}
		a.log.Debug("request", "method", r.Method, "path", r.URL.Path, "status", c.Response().Status,
			"client", c.RealIP(), "took", time.Since(start))
		return nil
	}
}

// answerError answers what no package's handler did: unknown paths and panics.
func (a *api) answerError(err error, c echo.Context) {
	conn, sent := c.Request().Context(), c.Response().Committed
	if _, panicked := errors.AsType[*panicError](err); sent && conn.Err() != nil && !panicked {
		return // the client hung up in the middle of its answer
	}
	status := http.StatusInternalServerError
	var details string
	if e, ok := errors.AsType[*echo.HTTPError](err); ok {
		status, details = e.Code, http.StatusText(e.Code)
	} else if hungUp(conn, err) {
		status, details = statusClientGone, "the client hung up"
	} else {
		id := logFault(a.log, c.Response().Header(), c.Request(), err)
		details = "something went wrong on the server; its log says what, under request id " + id
	}
	if sent {
		return
	}
	f := psa.Failure{Error: psa.FailureError{Reason: reasonOf(status), Details: details}}
	_ = c.JSON(status, f) // it fails only if the client is gone
}

// clientIP finds a request's address: that of the connection, or what trusted
// proxies say of it. The configuration was checked.
func clientIP(proxies []string) echo.IPExtractor {
	if len(proxies) == 0 {
		return echo.ExtractIPDirect()
	}
	// Echo trusts private networks by default, which is more than was asked for.
	trust := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
	for _, network := range proxyNetworks(proxies) {
		trust = append(trust, echo.TrustIPRange(network))
	}
	return echo.ExtractIPFromXFFHeader(trust...)
}

// proxyNetworks reads http.trusted_proxies, which was checked.
func proxyNetworks(proxies []string) (networks []*net.IPNet) {
	for _, s := range proxies {
		if network, err := parseProxy(s); err == nil {
			networks = append(networks, network)
		}
	}
	return networks
}

// baseURL is where a program on this host reaches a listener: an address that
// is not specified is taken as loopback.
func baseURL(scheme string, a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return scheme + "://" + a.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip.To4() == nil {
			// A socket on [::] takes IPv4 as well, unless the host has none.
			host = "localhost"
		}
	}
	u := url.URL{Scheme: scheme, Host: net.JoinHostPort(host, port)}
	return u.String()
}

// publicURL is where clients find a server of that configuration; "" if that is
// its address, as far as it is known.
func (c HTTPConfig) publicURL() string {
	if c.PublicURL == "" && c.TLS == tlsACME {
		return "https://" + c.ACMEDomains[0] // the CA was there, on its port 443
	}
	return c.PublicURL
}

// configuredURL is where clients find a server of that configuration, as far
// as that can be known while none runs.
func configuredURL(c HTTPConfig) string {
	if base := c.publicURL(); base != "" {
		return base
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil || host == "" {
		host = "127.0.0.1"
	}
	u := url.URL{Scheme: c.scheme(), Host: net.JoinHostPort(host, port)}
	return u.String()
}
