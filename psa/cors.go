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

// cors gives the middleware that lets browsers read the answers to pages of
// the given origins, and that answers OPTIONS. Nil is any origin; an empty list
// is none.
func cors(origins []string) (echo.MiddlewareFunc, error) {
	for _, o := range origins {
		if err := checkCORSOrigin(o); err != nil {
			return nil, err
		}
	}
	config := middleware.CORSConfig{
		AllowOrigins:  origins,
		AllowMethods:  []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodDelete},
		ExposeHeaders: []string{echo.HeaderRetryAfter, echo.HeaderWWWAuthenticate},
		MaxAge:        preflightAge,
		// AllowHeaders is left empty: whatever a preflight asks for is allowed.
	}
	if origins != nil && len(origins) == 0 {
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
