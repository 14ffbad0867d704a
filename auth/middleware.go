package auth

import (
	"fmt"
	"strings"

	"github.com/labstack/echo/v4"
)

// Challenge is the WWW-Authenticate header of every 401.
const Challenge = `Bearer realm="holdfast"`

// Middleware lets a request through if its Authorization header holds a bearer
// token that counts, with the token's [Principal] in the request's context.
// Otherwise it returns what onError makes of the error: one that wraps
// [ErrUnauthorized], for which onError answers 401 with [Challenge]; any other
// is a fault of the server's.
func Middleware(s *Service, onError func(c echo.Context, err error) error) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			r := c.Request()
			raw, err := bearer(r.Header["Authorization"])
			if err != nil {
				return onError(c, err)
			}
			p, err := s.Verify(r.Context(), raw)
			if err != nil {
				return onError(c, err)
			}
			c.SetRequest(r.WithContext(WithPrincipal(r.Context(), p)))
			return next(c)
		}
	}
}

// bearer takes the token out of the values of the Authorization header.
func bearer(values []string) (string, error) {
	if len(values) == 0 {
		return "", errNoToken
	}
	scheme, raw, ok := strings.Cut(values[0], " ")
	raw = strings.Trim(raw, " ")
	if len(values) > 1 || !ok || !strings.EqualFold(scheme, "Bearer") || raw == "" {
		return "", errHeader
	}
	return raw, nil
}

// RequireAdmin gives an error that wraps ErrForbidden unless p is an admin's.
func (p Principal) RequireAdmin() error {
	if !p.Admin {
		return fmt.Errorf("%w: this is for admins only", ErrForbidden)
	}
	return nil
}
