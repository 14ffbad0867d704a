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

// Middleware lets a request through if its Authorization header holds a bearer
// token that counts and that may be used for a request of that method: one
// with the scope "read" only to look, with GET, HEAD or OPTIONS. The token's
// [Principal] is in the request's context, which ends when the token does:
// what was begun with a token does not outlive it.
//
// Otherwise it returns what onError makes of the error: one that wraps
// [auth.ErrUnauthorized], for which onError answers 401 with [auth.Challenge]; one that
// wraps [auth.ErrForbidden]; a [*auth.LimitError], for which the Retry-After header is
// set already, and the status is 429; any other is a fault of the server's.
func Middleware(s *auth.Service, onError func(c echo.Context, err error) error) echo.MiddlewareFunc {
	return authenticate(s, onError, func(c echo.Context, p auth.Principal) error {
		switch c.Request().Method {
		case http.MethodGet, http.MethodHead, http.MethodOptions:
			return p.Require(auth.ScopeRead)
		}
		return p.Require(auth.ScopePin)
	})
}

// authenticate is Middleware with another way to say what a token is good for.
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
			c.SetRequest(r.WithContext(auth.WithPrincipal(ctx, p)))
			err = next(c)
			if err != nil && errors.Is(context.Cause(ctx), auth.ErrRevoked) {
				return refuse(c, auth.ErrRevoked)
			}
			return err
		}
	}
}

// setRetryAfter says when to come back, if the error is about that.
func setRetryAfter(c echo.Context, err error) {
	if limit := (*auth.LimitError)(nil); errors.As(err, &limit) {
		c.Response().Header().Set(echo.HeaderRetryAfter, strconv.Itoa(int(limit.RetryAfter/time.Second)))
	}
}

// bearer takes the token out of the values of the Authorization header.
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
