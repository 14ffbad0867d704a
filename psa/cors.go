package psa

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
)

// preflightAge is how many seconds a browser may remember the answer to a preflight: 2
// hours, the maximum of Chromium.
const preflightAge = 7200

// CORS returns the middleware that lets pages of the given origins read the answers in a
// browser, and that answers OPTIONS. Nil means any origin; an empty list means none. It
// returns an error if an origin is not valid.
//
// The answer names the page's own origin and allows credentials. A page may send requests
// with credentials: "include", as many HTTP libraries do, and browsers would then hide an
// answer for "*" from it. This gives nothing away. Browsers add cookies, stored passwords
// and TLS certificates to requests by themselves, and none of these count here. Only a
// bearer token counts, and the page must have it.
//
// PUT and PATCH are among the methods, so that a page can read the answer that tells it to
// use another one.
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
		UnsafeWildcardOriginWithAllowCredentials: true, // safe here, as explained above
		ExposeHeaders:                            []string{echo.HeaderRetryAfter, echo.HeaderWWWAuthenticate},
		MaxAge:                                   preflightAge,
		// AllowHeaders is left empty, which allows whatever a preflight asks for.
	}
	if origins != nil && len(origins) == 0 { // Echo would take an empty list for any origin
		config.AllowOriginFunc = func(string) (bool, error) { return false, nil }
	}
	return middleware.CORSWithConfig(config), nil
}

// checkCORSOrigin accepts "*", and a scheme and host as a browser sends them, in which *
// and ? may stand for parts.
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
