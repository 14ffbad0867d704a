package psa

import (
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"

	"github.com/labstack/echo/v4"
)

// Config is what the API needs.
type Config struct {
	// Service does the work. Required.
	Service Service
	// Delegates returns the node's dialable addresses, best first. Each ends in /p2p/ID.
	// It is called for every request, by many goroutines, and its result is not changed.
	// While it returns none, requests whose answers would name them get 503. Required.
	Delegates func() []string
	// Auth puts the request's [auth.Principal] into its context, or returns an error. The
	// answer tells errors that wrap auth.ErrUnauthorized, auth.ErrForbidden or
	// auth.ErrUnavailable apart. Required.
	Auth echo.MiddlewareFunc
	// CORSOrigins are the origins whose pages may use the API from a browser: "*", or such
	// as "https://app.example.com", in which * stands for any text. Nil means "*"; an empty
	// list means none.
	CORSOrigins []string
	// Requester returns the address of the machine that a request surely came from. It
	// returns the zero Addr if that is not certain, as behind a proxy that is not trusted.
	// A private address of an origin is dialled only if it is this one. Nil means that it is
	// never certain.
	Requester func(*http.Request) netip.Addr
	// Logger gets the causes of answers with 500. Nil logs nothing.
	Logger *slog.Logger
}

// Register adds the API to a group, whose prefix is the base path without a slash at the
// end. It handles every path and method below, so that all errors there are a [Failure], for
// unknown paths too. The router's own error handler is not used. Middleware that the group
// has already runs first. The group must get none after this, or Echo would replace our
// answer for unknown paths with its own.
//
// It returns an error if the Config is not valid.
func Register(g *echo.Group, cfg Config) error {
	if cfg.Service == nil || cfg.Delegates == nil || cfg.Auth == nil {
		return errors.New("the pinning API needs a service, delegates and authentication")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	allowOrigins, err := CORS(cfg.CORSOrigins)
	if err != nil {
		return err
	}
	// CORS is inside Errors, so that its headers are set when an error is answered. It is
	// outside Auth, because a preflight carries no token.
	open := []echo.MiddlewareFunc{Errors(cfg.Logger), announceMethods, allowOrigins}
	guarded := append(open[:len(open):len(open)], cfg.Auth)

	a := &api{service: cfg.Service, delegates: cfg.Delegates, requester: cfg.Requester, answers: newAnswers()}
	for _, base := range []string{"", "/"} { // a client's base path may end in a slash
		for _, end := range []string{"", "/"} {
			pins, one := base+"/pins"+end, base+"/pins/:requestid"+end
			g.GET(pins, a.list, guarded...)
			g.HEAD(pins, a.list, guarded...)
			g.POST(pins, a.add, guarded...)
			g.GET(one, a.get, guarded...)
			g.HEAD(one, a.get, guarded...)
			g.POST(one, a.replace, guarded...)
			g.DELETE(one, a.remove, guarded...)
		}
	}
	// Echo uses these for any other path, and for any other method on the paths above.
	g.RouteNotFound("", noRoute, open...)
	g.RouteNotFound("/*", noRoute, open...)
	return nil
}

// announceMethods tells the CORS middleware, which answers OPTIONS, the Allow header of a
// path.
func announceMethods(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		c.Set(echo.ContextKeyHeaderAllow, methodsOf(c.Param("*")))
		return next(c)
	}
}

// noRoute answers requests that have no handler.
func noRoute(c echo.Context) error {
	allow := methodsOf(c.Param("*"))
	if allow == "" {
		return fail(http.StatusNotFound, "there is nothing at this path; the pinning API has /pins and /pins/{requestid}")
	}
	c.Response().Header().Set(echo.HeaderAllow, allow)
	return fail(http.StatusMethodNotAllowed, "%s is not one of the methods of this path: %s", quote(c.Request().Method), allow)
}

// methodsOf returns the methods of a path, as the Allow header has them, or "" for a path
// that does not exist. The path is what follows the base path and a slash.
func methodsOf(path string) string {
	path = strings.TrimSuffix(strings.TrimPrefix(path, "/"), "/")
	first, id, deeper := strings.Cut(path, "/")
	switch {
	case first != "pins", deeper && (id == "" || strings.Contains(id, "/")):
		return ""
	case deeper:
		return "OPTIONS, GET, HEAD, POST, DELETE"
	}
	return "OPTIONS, GET, HEAD, POST"
}
