package psa

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
)

// preflightAge is how many seconds a browser may remember a preflight's
// answer: 2 hours, the most that Chromium takes.
const preflightAge = 7200

// CORS gives the middleware that lets browsers read the answers to pages of
// the given origins, and that answers OPTIONS. Nil is any origin; an empty list
// is none. The error is of an origin.
//
// The answer names the page's own origin, and allows credentials: a page may send
// requests with credentials: "include", as many HTTP libraries do, and browsers do
// not show it an answer for "*" then. Nothing is given away by it. A browser adds
// cookies, passwords that it remembers and TLS certificates to requests by itself,
// and none of these count here: only a bearer token does, which the page must have.
//
// PUT and PATCH are among the methods, so that a page can read that it is to use
// another one.
func CORS(origins []string) (echo.MiddlewareFunc, error) {
	for _, o := range origins {
		if err := checkCORSOrigin(o); err != nil {
			return nil, err
		}
	}
	config := middleware.CORSConfig{
		AllowOrigins: origins,
		AllowMethods: []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodDelete,
			http.MethodPut, http.MethodPatch},
		AllowCredentials:                         true,
		UnsafeWildcardOriginWithAllowCredentials: true, // safe here, as is said above
		ExposeHeaders:                            []string{echo.HeaderRetryAfter, echo.HeaderWWWAuthenticate},
		MaxAge:                                   preflightAge,
		// AllowHeaders is left empty: whatever a preflight asks for is allowed.
	}
	if origins != nil && len(origins) == 0 { // to Echo, none would mean any
		config.AllowOriginFunc = func(string) (bool, error) { return false, nil }
	}
	return middleware.CORSWithConfig(config), nil
}

// checkCORSOrigin takes "*", and a scheme and host as a browser sends them, in
// which * and ? may stand for parts.
func checkCORSOrigin(o string) error {
	if o == "*" {
		return nil
	}
	scheme, host, ok := strings.Cut(o, "://")
	if !ok || scheme == "" || host == "" || strings.ContainsAny(host, "/, #@") {
		return fmt.Errorf(`CORS origin %q must be "*" or a scheme and host, such as "https://app.example.com", with no path or slash at the end`, o)
	}
	return nil
}
