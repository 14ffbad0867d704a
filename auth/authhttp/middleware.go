package authhttp

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/auth"
)

// Middleware lets a request through if its Authorization header has a bearer token that
// counts and is good for the method. A token with the scope "read" is good for GET, HEAD and
// OPTIONS only. The token's [auth.Principal] and the client's address are in the context of the
// request. The context ends when the token ends, so the request does not outlive it.
//
// Otherwise it returns what onError makes of the error:
//
//   - an error that wraps [auth.ErrUnauthorized]: onError answers 401 with [auth.Challenge];
//   - an error that wraps [auth.ErrForbidden];
//   - a [*auth.LimitError]: the status is 429, and the Retry-After header is set already;
//   - any other error is a fault of the server.
func Middleware(s *auth.Service, onError func(c echo.Context, err error) error) echo.MiddlewareFunc {
	return authenticate(s, onError, func(c echo.Context, p auth.Principal) error {
		switch c.Request().Method {
		case http.MethodGet, http.MethodHead, http.MethodOptions:
			return p.Require(auth.ScopeRead)
		}
		return p.Require(auth.ScopePin)
	})
}

// ForScope is [Middleware] for requests whose method does not say what they do: a token is
// good for them if its scope includes the given one.
func ForScope(s *auth.Service, scope auth.Scope, onError func(c echo.Context, err error) error) echo.MiddlewareFunc {
	return authenticate(s, onError, func(_ echo.Context, p auth.Principal) error { return p.Require(scope) })
}

// authenticate is Middleware with a function that says whether a token is good for a request.
func authenticate(s *auth.Service, onError func(echo.Context, error) error, allowed func(echo.Context, auth.Principal) error) echo.MiddlewareFunc {
	refuse := func(c echo.Context, err error) error {
		s.CountRefusal(err)
		return onError(c, err)
	}
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			r := c.Request()
			raw, err := bearer(r.Header["Authorization"])
			if err != nil {
				return refuse(c, err)
			}
			ctx, p, done, err := s.Admit(r.Context(), raw)
			if err != nil {
				setRetryAfter(c, err)
				return refuse(c, err)
			}
			defer done()
			if err := allowed(c, p); err != nil {
				return refuse(c, err)
			}
			c.SetRequest(r.WithContext(auth.WithAddress(auth.WithPrincipal(ctx, p), clientAddress(c))))
			err = next(c)
			if ended := context.Cause(ctx); err != nil && errors.Is(ended, auth.ErrUnauthorized) {
				return refuse(c, ended)
			}
			return err
		}
	}
}

// setRetryAfter sets Retry-After, if the error is a limit.
func setRetryAfter(c echo.Context, err error) {
	if limit := (*auth.LimitError)(nil); errors.As(err, &limit) {
		c.Response().Header().Set(echo.HeaderRetryAfter, strconv.Itoa(int(limit.RetryAfter/time.Second)))
	}
}

// bearer returns the token in the values of the Authorization header.
func bearer(values []string) (string, error) {
	if len(values) == 0 {
		return "", auth.ErrTokenMissing
	}
	scheme, raw, ok := strings.Cut(values[0], " ")
	raw = strings.Trim(raw, " ")
	if len(values) > 1 || !ok || !strings.EqualFold(scheme, "Bearer") || raw == "" {
		return "", auth.ErrHeader
	}
	return raw, nil
}
