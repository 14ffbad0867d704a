package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/auth/authhttp"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/httpd"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/metrics"
	"github.com/holdfast-ipfs/holdfast/internal/faults"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/psa"
	"github.com/holdfast-ipfs/holdfast/web"
)

// PSAPath is the base path of the Pinning Services API.
const PSAPath = "/api/psa"

// api is what the server offers over TCP.
type api struct {
	cfg       config.HTTP
	web       *dashboard // nil: there is none
	auth      *auth.Service
	pins      admin.Pins
	store     admin.Store
	runs      *admin.Runs    // nil: none
	history   *admin.History // nil: none
	self      admin.Self
	delegates func() []string
	content   content
	probes    probes
	requests  *metrics.Requests // nil counts nothing
	log       *slog.Logger
}

// handler makes the handler of all requests.
func (a *api) handler() (http.Handler, error) {
	e, err := a.router()
	if err != nil {
		return nil, err
	}
	return httpd.Secure(e), nil
}

func (a *api) router() (*echo.Echo, error) {
	e := echo.New()
	e.IPExtractor = httpd.ClientIP(a.cfg.TrustedProxies)
	e.HTTPErrorHandler = answerFault(a.log, nothingHere)
	if a.requests != nil {
		e.Use(a.requests.Middleware("")) // first, so that it sees how errors are answered
	}
	cors, err := a.cors()
	if err != nil {
		return nil, err
	}
	e.Use(logRequests(a.log), faults.RecoverPanics, cors)
	var endpoint func() string
	if base := a.cfg.Public(); base != "" {
		endpoint = func() string { return endpointAt(base) }
	}
	authhttp.Register(e, a.auth, authhttp.Config{Endpoint: endpoint, Log: a.log})
	(&admin.Server{
		Auth: a.auth, Pins: a.pins, Store: a.store, Runs: a.runs, History: a.history, Self: a.self, Running: true, Log: a.log,
	}).Register(e)
	for path, serve := range map[string]http.HandlerFunc{"/healthz": a.probes.serveHealth, "/readyz": a.probes.serveReady} {
		e.GET(path, echo.WrapHandler(serve))
		e.HEAD(path, echo.WrapHandler(serve))
	}
	pages := map[string]echo.HandlerFunc{openAPIPath: serveOpenAPI}
	if a.web == nil {
		pages["/"] = serveRoot
	} else if err := a.registerWeb(e); err != nil {
		return nil, fmt.Errorf("serve the dashboard: %w", err)
	}
	for path, serve := range pages {
		e.GET(path, serve)
		e.HEAD(path, serve)
	}

	authenticate := authhttp.Middleware(a.auth, func(_ echo.Context, err error) error { return err })
	err = psa.Register(e.Group(PSAPath), psa.Config{
		Service:   a.pins,
		Delegates: a.delegates,
		// Both are in one middleware, since the PSA answers errors of this one in its form.
		Auth:        func(next echo.HandlerFunc) echo.HandlerFunc { return a.refuseWhileDraining(authenticate(next)) },
		CORSOrigins: a.origins(),
		Requester:   httpd.Requester(a.cfg.TrustedProxies, a.cfg.Public()),
		Logger:      a.log,
	})
	if err != nil {
		return nil, fmt.Errorf("serve %s: %w", PSAPath, err)
	}
	if err := a.registerRPC(e); err != nil {
		return nil, fmt.Errorf("serve %s: %w", RPCPath, err)
	}
	return e, nil
}

// rootText is for people who open the server's address in a browser while there is no
// dashboard. It does not have the server's own URL, which only the client knows.
const rootText = `This is Holdfast, an IPFS pinning server. Its dashboard is off (web.enabled).

The Pinning Services API is at ` + PSAPath + `. To pin from Kubo, with the address of
this page in the place of URL:

    ipfs pin remote service add holdfast URL` + PSAPath + `/ TOKEN

Kubo's RPC is at ` + RPCPath + `, to read what is pinned, and to pin:

    ipfs --api ADDRESS --api-auth bearer:TOKEN cat CID

` + openAPIPath + ` describes the rest of the API.
Documentation: https://github.com/holdfast-ipfs/holdfast
`

func serveRoot(c echo.Context) error { return c.String(http.StatusOK, rootText) }

// nothingHere is for clients of the Pinning Services API that have a wrong base URL: they show
// it to people.
const nothingHere = "there is nothing at this path; the URL of the Pinning Services API ends in " + PSAPath

// refuseWhileDraining answers 503 to requests for new pins while the server stops.
func (a *api) refuseWhileDraining(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if c.Request().Method == http.MethodPost && a.probes.draining.Load() {
			return pin.ErrClosed
		}
		return next(c)
	}
}

// cors lets web pages of the configured origins read every answer. The PSA has its own CORS,
// so its paths are left out. So are those of the dashboard: its cookie goes with what pages of
// the same host ask for, and nobody else's page is to read the answer.
func (a *api) cors() (echo.MiddlewareFunc, error) {
	allow, err := psa.CORS(a.origins())
	if err != nil {
		return nil, err
	}
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		allowed := allow(next)
		return func(c echo.Context) error {
			path := c.Request().URL.Path + "/"
			if strings.HasPrefix(path, PSAPath+"/") || a.web != nil && (path == "//" || strings.HasPrefix(path, web.Base+"/")) {
				return next(c)
			}
			return allowed(c)
		}
	}, nil
}

// origins are the configured origins, and never nil: nil would stand for all origins.
func (a *api) origins() []string { return append([]string{}, a.cfg.CORSOrigins...) }

// logRequests logs each request at debug level. Faults are logged elsewhere, where they are
// handled.
func logRequests(log *slog.Logger) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			r := c.Request()
			if !log.Enabled(r.Context(), slog.LevelDebug) {
				return next(c)
			}
			start := time.Now()
			if err := next(c); err != nil {
				c.Error(err)
			}
			log.Debug("request", "method", r.Method, "path", r.URL.Path, "status", c.Response().Status,
				"client", c.RealIP(), "took", time.Since(start))
			return nil
		}
	}
}

// answerFault answers errors that no handler of a package has answered: panics, and unknown
// paths. The answer about a path has notFound as its details.
func answerFault(log *slog.Logger, notFound string) echo.HTTPErrorHandler {
	return func(err error, c echo.Context) {
		conn, sent := c.Request().Context(), c.Response().Committed
		if _, panicked := errors.AsType[*faults.PanicError](err); sent && conn.Err() != nil && !panicked {
			return // the client hung up in the middle of its answer
		}
		status := http.StatusInternalServerError
		var details string
		if e, ok := errors.AsType[*echo.HTTPError](err); ok {
			status, details = e.Code, http.StatusText(e.Code)
			if status == http.StatusNotFound {
				details = notFound
			}
		} else if faults.HungUp(conn, err) {
			status, details = faults.StatusClientGone, "the client hung up"
		} else {
			id := faults.Log(log, c.Response().Header(), c.Request(), err)
			details = "something went wrong on the server; its log says what, under request id " + id
		}
		if sent {
			return
		}
		f := psa.Failure{Error: psa.FailureError{Reason: faults.Reason(status), Details: details}}
		_ = c.JSON(status, f) // it fails only if the client is gone
	}
}
