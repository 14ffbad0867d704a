package web

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// Base is the path above all pages. The server's own address, "/", leads there.
const Base = "/ui"

// Pins are the requests of all accounts; *pin.Manager has them. Errors are those of
// package pin.
type Pins interface {
	Add(ctx context.Context, account string, s pin.Spec) (pin.View, error)
	Replace(ctx context.Context, account, id string, s pin.Spec) (pin.View, error)
	Remove(ctx context.Context, account, id string) error
	Retry(ctx context.Context, account, id string) (pin.View, error)
	Get(ctx context.Context, account, id string) (pin.View, error)
	List(ctx context.Context, account string, q pin.Query) (pin.ViewPage, error)
}

// Config is what the pages stand on. All is required, except where it says otherwise.
type Config struct {
	Auth *auth.Service
	Pins Pins
	// API serves the server's own APIs, whose paths begin with /api. Pages call it with the
	// token of their session for what has no other door: the content of pins.
	API http.Handler
	// Delegates are the addresses of the node, each ending in /p2p/ID, the best first.
	Delegates func() []string
	// PublicURL is the base URL that clients use, or "" if only they know it.
	PublicURL string
	// Gateway is the URL of a gateway that shows content to people, without a slash at its end; ""
	// if there is none.
	Gateway string
	// SessionTTL is how long a session lasts, and so its cookie.
	SessionTTL time.Duration
	// Requester is as in psa.Config. Nil knows no request's address.
	Requester func(*http.Request) netip.Addr
	// Stopping says that streams are to end. Nil is never.
	Stopping func() bool
	// SetupCode is the code of the link by which the first account is made. "" is none. The
	// link works once, and only while there is no account but ServiceAccount.
	SetupCode string
	// ServiceAccount is the e-mail address of an account that is for a program. "" is none.
	ServiceAccount string
	// Logger gets the causes of what is answered 500. Nil logs nothing.
	Logger *slog.Logger
	// now is the clock, for tests. Nil is time.Now.
	now func() time.Time
}

// UI is the dashboard. Close it before the pins are closed.
type UI struct {
	Config
	pages   *templates
	guard   *http.CrossOriginProtection
	setup   setup
	streams streams
	removed removals
}

// Register adds the pages to a router. The error is of the Config. The caller closes what is
// returned.
func Register(e *echo.Echo, cfg Config) (*UI, error) {
	if cfg.Auth == nil || cfg.Pins == nil || cfg.API == nil || cfg.Delegates == nil || cfg.SessionTTL <= 0 {
		return nil, errors.New("the dashboard needs accounts, pins, the APIs, a node and a time for sessions")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Stopping == nil {
		cfg.Stopping = func() bool { return false }
	}
	if cfg.Requester == nil {
		cfg.Requester = func(*http.Request) netip.Addr { return netip.Addr{} }
	}
	if cfg.now == nil {
		cfg.now = time.Now
	}
	pages, err := parseTemplates()
	if err != nil {
		return nil, err
	}
	u := &UI{Config: cfg, pages: pages, setup: setup{code: cfg.SetupCode}, streams: newStreams()}
	if u.guard, err = crossOrigin(cfg.PublicURL); err != nil {
		return nil, err
	}
	u.removed.init(u)
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		e.Add(method, "/", func(c echo.Context) error { return c.Redirect(http.StatusTemporaryRedirect, pinsPath) })
		e.Add(method, Base+"/static/:name", serveStatic)
	}
	for _, r := range slices.Concat(routes, adminRoutes) {
		e.Add(r.method, Base+r.path, u.serve(r))
		if r.method == http.MethodGet {
			e.Add(http.MethodHead, Base+r.path, u.serve(r))
		}
	}
	none := u.serve(route{open: true, handler: func(*UI, *call) error { return errNoPage }})
	e.RouteNotFound(Base, none)
	e.RouteNotFound(Base+"/*", none)
	return u, nil
}

// Close ends what waits for its time. Pins that were to be removed and can still be brought
// back stay. It may be called twice.
func (u *UI) Close() { u.removed.close() }
