package authhttp

import (
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/auth"
)

// Paths of the endpoints; each is served with a trailing slash too.
const (
	LoginPath     = "/api/auth/login"
	RefreshPath   = "/api/auth/refresh"
	RegisterPath  = "/api/auth/register"
	LogoutPath    = "/api/auth/logout"
	LogoutAllPath = "/api/auth/logout-all"
	MePath        = "/api/auth/me"
	PasswordPath  = "/api/auth/password"
	TokensPath    = "/api/auth/tokens"
	AccountsPath  = "/api/admin/accounts"
	InvitesPath   = "/api/admin/invites"
	AuditPath     = "/api/admin/audit"
)

// answer is what login, refresh and register give, and nothing else: clients
// read it by these names.
type answer struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	Status       string `json:"status"` // "success"
}

// Register adds the endpoints under /api/auth and /api/admin to e.
//
// For everybody, with a body that is JSON or a form:
//
//	POST /api/auth/login      {"email","password"}
//	POST /api/auth/refresh    {"refresh_token"}
//	POST /api/auth/register   {"email","password","invite"}; invite may be left out
//
// They answer with [answer]. With a token of any scope:
//
//	GET  /api/auth/me         the account, its quota and usage
//	POST /api/auth/logout     ends the token
//
// With the token of a session, or one with the scope admin, and JSON:
//
//	POST   /api/auth/logout-all   ends every session
//	POST   /api/auth/password     {"password","new_password","revoke_tokens"}
//	GET    /api/auth/tokens       sessions and device tokens
//	POST   /api/auth/tokens       {"name","scope","expires_in"}, in seconds
//	DELETE /api/auth/tokens/{id}
//
// With such a token of an admin:
//
//	GET    /api/admin/accounts
//	POST   /api/admin/accounts    {"email","password","admin","quota","max_pins"}
//	GET    /api/admin/accounts/{id}
//	DELETE /api/admin/accounts/{id}?pins=keep  without the query, pins go too
//	POST   /api/admin/accounts/{id}/quota      {"quota","max_pins"}; what is left out stays
//	POST   /api/admin/accounts/{id}/disable
//	POST   /api/admin/accounts/{id}/enable
//	GET    /api/admin/invites
//	POST   /api/admin/invites     {"quota","max_pins","expires_in"}
//	DELETE /api/admin/invites/{id}
//	GET    /api/admin/audit       ?account=&from=&to=&before=&limit=
//
// All of them answer with an object that has "status": "success", or with
// [failure] and the status that fits. The client's address is what e's
// IPExtractor says; without one, the connection's.
func Register(e *echo.Echo, s *auth.Service, cfg Config) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	h := handler{s, cfg}
	routes := h.routes()
	for _, r := range routes {
		serve := h.wrap(r.serve, r.guard)
		methods := []string{r.method}
		if r.method == http.MethodGet {
			methods = append(methods, http.MethodHead)
		}
		for _, m := range methods {
			e.Add(m, r.path, serve)
			e.Add(m, r.path+"/", serve)
		}
	}
	none := h.wrap(func(c echo.Context) error { return noRoute(c, routes) }, nil)
	for _, base := range []string{"/api/auth", "/api/admin"} {
		e.RouteNotFound(base, none)
		e.RouteNotFound(base+"/*", none)
	}
}

// Config is how the endpoints answer. The zero value of each field stands for its
// default.
type Config struct {
	// Endpoint gives the URL of the pinning service, such as
	// https://pins.example.com/api/psa/, for the lines that add it to Kubo. Nil:
	// it is made of the address that the client used.
	Endpoint func() string
	// Log gets what is the server's fault. Default: nothing is logged.
	Log *slog.Logger
}

type handler struct {
	s   *auth.Service
	cfg Config
}

// route is one method of one path. guard says what a token must be good for;
// nil is no token.
type route struct {
	method, path string
	serve        echo.HandlerFunc
	guard        func(echo.Context, auth.Principal) error
}

func (h handler) routes() []route {
	anyToken := func(_ echo.Context, p auth.Principal) error { return p.Require(auth.ScopeRead) }
	wholeAccount := func(c echo.Context, p auth.Principal) error {
		if err := p.Require(auth.ScopeAdmin); err != nil || c.Request().Method == http.MethodGet || c.Request().Method == http.MethodHead {
			return err
		}
		return h.s.TakeChange(p.Account)
	}
	admin := func(_ echo.Context, p auth.Principal) error { return p.RequireAdmin() }
	return []route{
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

		{http.MethodGet, AccountsPath, h.listAccounts, admin},
		{http.MethodPost, AccountsPath, h.addAccount, admin},
		{http.MethodGet, AccountsPath + "/:id", h.getAccount, admin},
		{http.MethodDelete, AccountsPath + "/:id", h.removeAccount, admin},
		{http.MethodPost, AccountsPath + "/:id/quota", h.setQuota, admin},
		{http.MethodPost, AccountsPath + "/:id/disable", h.disable, admin},
		{http.MethodPost, AccountsPath + "/:id/enable", h.enable, admin},
		{http.MethodGet, InvitesPath, h.listInvites, admin},
		{http.MethodPost, InvitesPath, h.addInvite, admin},
		{http.MethodDelete, InvitesPath + "/:id", h.revokeInvite, admin},
		{http.MethodGet, AuditPath, h.audit, admin},
	}
}

// wrap answers errors and panics, and gives the request's context the client's address.
func (h handler) wrap(next echo.HandlerFunc, guard func(echo.Context, auth.Principal) error) echo.HandlerFunc {
	if guard != nil {
		next = authenticate(h.s, func(_ echo.Context, err error) error { return err }, guard)(next)
	}
	return func(c echo.Context) (err error) {
		r := c.Request()
		defer func() {
			switch p := recover(); p {
			case nil:
			case http.ErrAbortHandler: // net/http's own way to end a connection
				panic(p)
			default:
				err = &panicError{p, debug.Stack()}
			}
			if err != nil {
				err = h.fail(c, r.Context(), err)
			}
		}()
		// Tokens, accounts and failures are for this client, now.
		c.Response().Header().Set(echo.HeaderCacheControl, "no-store")
		c.SetRequest(r.WithContext(auth.WithAddress(r.Context(), clientAddress(c))))
		return next(c)
	}
}

// clientAddress is the client's. Echo by itself would believe every header.
func clientAddress(c echo.Context) string {
	if c.Echo().IPExtractor == nil {
		return echo.ExtractIPDirect()(c.Request())
	}
	return c.RealIP()
}

// noRoute answers what no route is for.
func noRoute(c echo.Context, routes []route) error {
	var methods []string
	for _, r := range routes {
		if pathMatches(r.path, c.Request().URL.Path) {
			methods = append(methods, r.method)
		}
	}
	if len(methods) == 0 {
		return &httpError{http.StatusNotFound, "there is nothing at this path"}
	}
	c.Response().Header().Set(echo.HeaderAllow, strings.Join(methods, ", "))
	return &httpError{http.StatusMethodNotAllowed, "use " + strings.Join(methods, " or ")}
}

// pathMatches reports whether a path, perhaps with a slash at its end, is one of
// a route's.
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
