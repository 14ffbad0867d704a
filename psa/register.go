package psa

import (
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"

	"github.com/labstack/echo/v4"
)

// Config is what the API stands on.
type Config struct {
	// Service does the work. Required.
	Service Service
	// Delegates gives the node's dialable addresses, each ending in /p2p/ID,
	// best first. It is called with every request, at the same time, and its
	// result is not changed. While it gives none, requests that would have to
	// name them are answered 503. Required.
	Delegates func() []string
	// Auth puts the request's [auth.Principal] in its context, or returns an
	// error: one that wraps auth.ErrUnauthorized, auth.ErrForbidden or
	// auth.ErrUnavailable is answered as such. Required.
	Auth echo.MiddlewareFunc
	// CORSOrigins are the origins whose pages may use the API from a browser:
	// "*", or such as "https://app.example.com", in which * stands for any
	// text. Nil is "*"; an empty list is none.
	CORSOrigins []string
	// Requester gives the address of the machine that a request surely came from; zero if
	// that is not certain, as behind a proxy that is not trusted. A private address that an
	// origin has is dialled only if it is this one. Nil: it is never certain.
	Requester func(*http.Request) netip.Addr
	// Logger gets the causes of what is answered 500. Nil logs nothing.
	Logger *slog.Logger
}

// Register adds the API to a group, whose prefix is the base path without a
// slash at the end. It handles every path and method beneath it, so that all
// errors there, unknown paths included, are a [Failure]; the router's own
// error handler is not used. The group must get no middleware after this
// (Echo would put its own answer for unknown paths in place of ours); those
// from before run first.
//
// The error is of the Config.
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
	// CORS is within Errors, so that its headers are set when an error is
	// answered, and around Auth, since a preflight carries no token.
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
	// Echo takes these for any other path, and for any other method on the
	// paths above.
	g.RouteNotFound("", noRoute, open...)
	g.RouteNotFound("/*", noRoute, open...)
	return nil
}

// announceMethods tells the CORS middleware, which answers OPTIONS, what the
// Allow header of a path without a handler for the method is.
func announceMethods(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		c.Set(echo.ContextKeyHeaderAllow, methodsOf(c.Param("*")))
		return next(c)
	}
}

// noRoute answers what no handler is for.
func noRoute(c echo.Context) error {
	allow := methodsOf(c.Param("*"))
	if allow == "" {
		return fail(http.StatusNotFound, "there is nothing at this path; the pinning API has /pins and /pins/{requestid}")
	}
	c.Response().Header().Set(echo.HeaderAllow, allow)
	return fail(http.StatusMethodNotAllowed, "%s is not one of the methods of this path: %s", quote(c.Request().Method), allow)
}

// methodsOf gives the methods of a path, as the Allow header has them. It is
// "" for a path that does not exist. The path is what follows the base path
// and a slash.
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
