package auth

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
)

// Paths of the endpoints; each is served with a trailing slash too.
const (
	LoginPath   = "/api/auth/login"
	RefreshPath = "/api/auth/refresh"
)

// answer is what login and refresh give, and nothing else: clients read it by
// these names.
type answer struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	Status       string `json:"status"` // "success"
}

// Register adds the endpoints under /api/auth to e.
//
//	POST /api/auth/login    {"email","password"}
//	POST /api/auth/refresh  {"refresh_token"}
//
// Both take JSON or a form, and answer with [answer], or with [failure] and
// the status that fits.
func Register(e *echo.Echo, s *Service) {
	h := handler{s}
	routes := map[string]echo.HandlerFunc{
		LoginPath:   h.post(h.login),
		RefreshPath: h.post(h.refresh),
	}
	for path, serve := range routes {
		e.Any(path, serve)
		e.Any(path+"/", serve)
	}
	e.RouteNotFound("/api/auth/*", func(c echo.Context) error {
		// A method that HTTP does not know is no route of Any's.
		if serve, ok := routes[strings.TrimSuffix(c.Request().URL.Path, "/")]; ok {
			return serve(c)
		}
		return h.fail(c, &httpError{http.StatusNotFound, "there is nothing at this path"})
	})
}

type handler struct{ s *Service }

// post serves POST with next and refuses every other method.
func (h handler) post(next func(echo.Context) error) echo.HandlerFunc {
	return func(c echo.Context) error {
		// Tokens and failures are for this client, now.
		c.Response().Header().Set(echo.HeaderCacheControl, "no-store")
		if c.Request().Method != http.MethodPost {
			c.Response().Header().Set(echo.HeaderAllow, http.MethodPost)
			return h.fail(c, &httpError{http.StatusMethodNotAllowed, "use POST"})
		}
		if err := next(c); err != nil {
			return h.fail(c, err)
		}
		return nil
	}
}

func (h handler) login(c echo.Context) error {
	in, err := readFields(c, "email", "password")
	if err != nil {
		return err
	}
	pair, err := h.s.Login(c.Request().Context(), in["email"], in["password"])
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, answer{pair.Access, pair.Refresh, "success"})
}

func (h handler) refresh(c echo.Context) error {
	in, err := readFields(c, "refresh_token")
	if err != nil {
		return err
	}
	pair, err := h.s.Refresh(c.Request().Context(), in["refresh_token"])
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, answer{pair.Access, pair.Refresh, "success"})
}
