package authhttp

import (
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/internal/faults"
)

// Paths of the endpoints. Each is also served with a slash at its end.
const (
	LoginPath     = "/api/auth/login"
	RefreshPath   = "/api/auth/refresh"
	RegisterPath  = "/api/auth/register"
	LogoutPath    = "/api/auth/logout"
	LogoutAllPath = "/api/auth/logout-all"
	MePath        = "/api/auth/me"
	PasswordPath  = "/api/auth/password"
	TokensPath    = "/api/auth/tokens"
)

// answer is the answer of login, refresh and register. Clients rely on these names.
type answer struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	Status       string `json:"status"` // "success"
}

// Register adds the endpoints under /api/auth to e.
//
// Without a token, with a body that is JSON or a form:
//
//	POST /api/auth/login      {"email","password"}
//	POST /api/auth/refresh    {"refresh_token"}
//	POST /api/auth/register   {"email","password","invite"}; invite may be left out
//
// These answer with [answer]. With a token of any scope:
//
//	GET  /api/auth/me         the account, its quota and usage
//	POST /api/auth/logout     ends the token
//
// With the token of a session, or a token with the scope admin, and JSON:
//
//	POST   /api/auth/logout-all   ends every session
//	POST   /api/auth/password     {"password","new_password","revoke_tokens"}
//	GET    /api/auth/tokens       sessions and device tokens
//	POST   /api/auth/tokens       {"name","scope","expires_in"}, in seconds
//	DELETE /api/auth/tokens/{id}
//
// All of them answer with an object that has "status": "success", or with [Failure] and the
// status that fits. The address of the client is what e's IPExtractor says; without an
// IPExtractor it is the address of the connection.
func Register(e *echo.Echo, s *auth.Service, cfg Config) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	Mount(e, s, cfg.Log, "/api/auth", handler{s, cfg}.routes())
}

// Mount serves routes below a base path. Each route is also served with a slash at its end,
// and with HEAD if it has GET. Errors and panics of the routes, and requests below the base
// that no route is for, are answered with a [Failure]. log gets the faults of the server.
func Mount(e *echo.Echo, s *auth.Service, log *slog.Logger, base string, routes []Route) {
	m := mount{s, log}
	for _, r := range routes {
		serve := m.wrap(r.Serve, r.Guard)
		methods := []string{r.Method}
		if r.Method == http.MethodGet {
			methods = append(methods, http.MethodHead)
		}
		for _, method := range methods {
			e.Add(method, r.Path, serve)
			e.Add(method, r.Path+"/", serve)
		}
	}
	none := m.wrap(func(c echo.Context) error { return noRoute(c, routes) }, nil)
	e.RouteNotFound(base, none)
	e.RouteNotFound(base+"/*", none)
}

// mount is what all routes of a Mount share.
type mount struct {
	s   *auth.Service
	log *slog.Logger
}

// Config says how the endpoints answer. The zero value of a field means its default.
type Config struct {
	// Endpoint returns the URL of the pinning service, such as
	// https://pins.example.com/api/psa/, for the lines that add it to Kubo. Nil: the URL
	// is made from the address that the client used.
	Endpoint func() string
	// Log gets the faults of the server. Nil logs nothing.
	Log *slog.Logger
}

type handler struct {
	s   *auth.Service
	cfg Config
}

// Route is one method of one path. Guard checks whether a token is good for it; a Guard of
// nil means that the route needs no token.
type Route struct {
	Method, Path string
	Serve        echo.HandlerFunc
	Guard        func(echo.Context, auth.Principal) error
}

func (h handler) routes() []Route {
	anyToken := func(_ echo.Context, p auth.Principal) error { return p.Require(auth.ScopeRead) }
	wholeAccount := func(c echo.Context, p auth.Principal) error {
		if err := p.Require(auth.ScopeAdmin); err != nil || c.Request().Method == http.MethodGet || c.Request().Method == http.MethodHead {
			return err
		}
		return h.s.TakeChange(p.Account)
	}
	return []Route{
		{http.MethodPost, LoginPath, h.login, nil},
		{http.MethodPost, RefreshPath, h.refresh, nil},
		{http.MethodPost, RegisterPath, h.register, nil},

		{http.MethodGet, MePath, h.me, anyToken},
		{http.MethodPost, LogoutPath, h.logout, anyToken},

		{http.MethodPost, LogoutAllPath, h.logoutAll, wholeAccount},
		{http.MethodPost, PasswordPath, h.password, wholeAccount},
		{http.MethodGet, TokensPath, h.listTokens, wholeAccount},
		{http.MethodPost, TokensPath, h.addToken, wholeAccount},
		{http.MethodDelete, TokensPath + "/:id", h.revokeToken, wholeAccount},
	}
}

// wrap answers errors and panics, and puts the client's address into the context.
func (m mount) wrap(next echo.HandlerFunc, guard func(echo.Context, auth.Principal) error) echo.HandlerFunc {
	if guard != nil {
		next = authenticate(m.s, func(_ echo.Context, err error) error { return err }, guard)(next)
	}
	return func(c echo.Context) (err error) {
		r := c.Request()
		defer func() {
			if p := faults.Recovered(recover()); p != nil {
				err = p
			}
			if err != nil {
				err = m.fail(c, r.Context(), err)
			}
		}()
		// Tokens, accounts and failures are only for this client, and only now.
		c.Response().Header().Set(echo.HeaderCacheControl, "no-store")
		c.SetRequest(r.WithContext(auth.WithAddress(r.Context(), clientAddress(c))))
		return next(c)
	}
}

// clientAddress is the client's address. Echo without an IPExtractor would believe every
// header.
func clientAddress(c echo.Context) string {
	if c.Echo().IPExtractor == nil {
		return echo.ExtractIPDirect()(c.Request())
	}
	return c.RealIP()
}

// noRoute answers requests that no route is for.
func noRoute(c echo.Context, routes []Route) error {
	var methods []string
	for _, r := range routes {
		if pathMatches(r.Path, c.Request().URL.Path) {
			methods = append(methods, r.Method)
		}
	}
	if len(methods) == 0 {
		return &httpError{http.StatusNotFound, "there is nothing at this path"}
	}
	c.Response().Header().Set(echo.HeaderAllow, strings.Join(methods, ", "))
	return &httpError{http.StatusMethodNotAllowed, "use " + strings.Join(methods, " or ")}
}

// pathMatches reports whether a path, with or without a slash at its end, is one of a
// route.
func pathMatches(route, path string) bool {
	want, got := strings.Split(route, "/"), strings.Split(strings.TrimSuffix(path, "/"), "/")
	return slices.EqualFunc(want, got, func(w, g string) bool {
		return w == g || strings.HasPrefix(w, ":") && g != ""
	})
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

func (h handler) register(c echo.Context) error {
	in, err := readFields(c, "email", "password", optional+"invite")
	if err != nil {
		return err
	}
	pair, err := h.s.Register(c.Request().Context(), auth.NewRegistration{
		Email: in["email"], Password: in["password"], Invite: in["invite"],
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, answer{pair.Access, pair.Refresh, "success"})
}
