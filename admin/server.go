package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/internal/faults"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/psa"
)

// Pins is what the admin API needs of pins; *pin.Manager is one, and
// [pin.Offline] where no server runs.
type Pins interface {
	psa.Service
	Retry(ctx context.Context, account, id string) (pin.View, error)
	RemoveAll(ctx context.Context, account string) (int, error)
}

// Server serves the admin API.
type Server struct {
	Auth    *auth.Service
	Pins    Pins
	Running bool // a server does this, and not a command
	// Endpoint gives the URL of the pinning service.
	Endpoint func() string
	Store    Store // nil serves nothing of it
	// Hint says what to do about an error that is not one of this API's; "" if there
	// is nothing to say. Nil says nothing.
	Hint func(error) string
	Log  *slog.Logger
}

// Handler makes the router of the admin API. It is one of its own: nothing of
// it is ever reachable over TCP.
func (s *Server) Handler() (*echo.Echo, error) {
	e := echo.New()
	e.HTTPErrorHandler = s.answerError
	e.Use(faults.RecoverPanics)
	e.GET("/server", func(c echo.Context) error {
		return c.JSON(http.StatusOK, ServerInfo{Running: s.Running})
	})
	e.GET("/users", s.listUsers)
	e.POST("/users", s.addUser)
	e.DELETE("/user", s.removeUser)
	e.POST("/user/password", s.setPassword)
	e.POST("/user/quota", s.setQuota)
	e.POST("/user/disable", s.changeUser((*auth.Service).Disable))
	e.POST("/user/enable", s.changeUser((*auth.Service).Enable))
	e.GET("/user/tokens", s.listTokens)
	e.POST("/user/tokens", s.createToken)
	e.DELETE("/token", s.revokeToken)
	e.GET("/invites", s.listInvites)
	e.POST("/invites", s.addInvite)
	e.DELETE("/invite", s.revokeInvite)
	e.POST("/keys/rotate", s.rotateKeys)
	e.GET("/audit", s.audit)
	if s.Store != nil {
		(&storeHandlers{s.Store, s.failure}).register(e)
		s.registerOwners(e)
	}
	e.POST("/psa/pins/:requestid/retry", s.retryPin, psa.Errors(s.Log), s.asUser)
	err := psa.Register(e.Group("/psa"), psa.Config{
		Service: hintingPins{s.Pins},
		// Commands dial nobody, and the PSA has no answer without delegates,
		// which a node that is not running does not have.
		Delegates:   func() []string { return []string{"/unix/" + SocketName} },
		Auth:        s.asUser,
		CORSOrigins: []string{},
		Logger:      s.Log,
	})
	if err != nil {
		return nil, fmt.Errorf("serve pins to commands: %w", err)
	}
	return e, nil
}

// answerKey is what the header of the answer is under in a request's context.
type answerKey struct{}

// hintingPins is a Pins that puts a hint on a full disk into the header of the
// answer: the PSA's own failure has no place for what is the operator's alone.
type hintingPins struct{ Pins }

func hintInAnswer(ctx context.Context, err error) error {
	if h, ok := ctx.Value(answerKey{}).(http.Header); ok {
		if hint := diskFullHint(err); hint != "" {
			h.Set(hintHeader, url.QueryEscape(hint))
		}
	}
	return err
}

func (p hintingPins) Add(ctx context.Context, account string, s pin.Spec) (pin.View, error) {
	v, err := p.Pins.Add(ctx, account, s)
	return v, hintInAnswer(ctx, err)
}

func (p hintingPins) Remove(ctx context.Context, account, id string) error {
	return hintInAnswer(ctx, p.Pins.Remove(ctx, account, id))
}

func (p hintingPins) Retry(ctx context.Context, account, id string) (pin.View, error) {
	v, err := p.Pins.Retry(ctx, account, id)
	return v, hintInAnswer(ctx, err)
}

// errWhichUser: the request must name an account.
var errWhichUser = errors.New("there is more than one account")

// asUser puts the account that the request names into its context.
func (s *Server) asUser(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		a, err := s.user(r)
		if err != nil && !s.mayTidy(r, a, err) {
			return s.answer(c, err)
		}
		p := auth.Principal{Account: a.ID, Email: a.Email, Admin: a.Admin, Scope: auth.ScopeAdmin}
		ctx := context.WithValue(r.Context(), answerKey{}, c.Response().Header())
		c.SetRequest(r.WithContext(auth.WithPrincipal(ctx, p)))
		return next(c)
	}
}

func (s *Server) user(r *http.Request) (auth.Account, error) {
	if named := r.Header.Get(userHeader); named != "" {
		email, err := url.QueryUnescape(named)
		if err != nil {
			return auth.Account{}, &auth.InvalidError{Field: userHeader, Msg: "is not query-escaped"}
		}
		return s.named(r.Context(), email)
	}
	all, err := s.Auth.ListAccounts(r.Context())
	switch {
	case err != nil:
		return auth.Account{}, err
	case len(all) == 0:
		return auth.Account{}, auth.ErrNoAccount
	case len(all) > 1:
		return auth.Account{}, errWhichUser
	}
	return all[0], nil
}

func (s *Server) listUsers(c echo.Context) error {
	all, err := s.Auth.ListAccounts(c.Request().Context())
	if err != nil {
		return err
	}
	infos := make([]Account, len(all))
	for i, a := range all {
		infos[i] = accountOf(a)
	}
	return c.JSON(http.StatusOK, infos)
}

func (s *Server) addUser(c echo.Context) error {
	var in NewAccount
	if err := c.Bind(&in); err != nil {
		return err
	}
	a, err := s.Auth.AddAccount(c.Request().Context(), auth.NewAccount{
		Email: in.Email, Password: in.Password, Admin: in.Admin, Quota: in.Quota, QuotaPins: in.MaxPins,
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, accountOf(a))
}

// account is the one whose address, or id, the query names.
func (s *Server) account(c echo.Context) (auth.Account, error) {
	return s.named(c.Request().Context(), c.QueryParam("email"))
}

// changeUser serves what changes an account as a whole.
func (s *Server) changeUser(change func(*auth.Service, context.Context, string) (auth.Account, error)) echo.HandlerFunc {
	return func(c echo.Context) error {
		a, err := s.account(c)
		if err != nil {
			return err
		}
		if a, err = change(s.Auth, c.Request().Context(), a.ID); err != nil {
			return err
		}
		return c.JSON(http.StatusOK, accountOf(a))
	}
}

func (s *Server) setQuota(c echo.Context) error {
	var in NewQuota
	if err := c.Bind(&in); err != nil {
		return err
	}
	a, err := s.account(c)
	if err != nil {
		return err
	}
	if a, err = s.Auth.SetQuota(c.Request().Context(), a.ID, auth.NewQuota(in)); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, accountOf(a))
}

// removeUser removes the account's pins too, unless they are to be kept.
func (s *Server) removeUser(c echo.Context) error {
	a, err := s.account(c)
	if err != nil && !a.Damaged {
		return err
	}
	id := a.ID
	a, n, err := s.Auth.RemoveAccountAndPins(c.Request().Context(), a.ID, c.QueryParam("pins") == "keep")
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, RemovedAccount{Email: a.Email, Pins: n, ID: id})
}

func (s *Server) setPassword(c echo.Context) error {
	var in NewPassword
	if err := c.Bind(&in); err != nil {
		return err
	}
	a, err := s.account(c)
	if err != nil {
		return err
	}
	ended, err := s.Auth.SetPassword(c.Request().Context(), a.ID, in.Password, in.RevokeTokens)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, ended)
}

func (s *Server) listTokens(c echo.Context) error {
	a, err := s.account(c)
	if err != nil {
		return err
	}
	all, err := s.Auth.ListTokens(c.Request().Context(), a.ID)
	if err != nil {
		return err
	}
	infos := make([]TokenInfo, len(all))
	for i, t := range all {
		infos[i] = tokenInfoOf(t)
	}
	return c.JSON(http.StatusOK, infos)
}

func (s *Server) createToken(c echo.Context) error {
	var in NewToken
	if err := c.Bind(&in); err != nil {
		return err
	}
	a, err := s.account(c)
	if err != nil {
		return err
	}
	t, raw, err := s.Auth.AddDevice(c.Request().Context(), a.ID, auth.NewDevice{Name: in.Name, Scope: in.Scope, TTL: in.Expires})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, CreatedToken{tokenInfoOf(t), raw, s.Endpoint()})
}

func (s *Server) revokeToken(c echo.Context) error {
	t, err := s.Auth.RevokeToken(c.Request().Context(), c.QueryParam("id"))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, tokenInfoOf(t))
}

func (s *Server) retryPin(c echo.Context) error {
	p, _ := auth.PrincipalFrom(c.Request().Context())
	if _, err := (hintingPins{s.Pins}).Retry(c.Request().Context(), p.Account, c.Param("requestid")); err != nil {
		return err
	}
	return c.NoContent(http.StatusAccepted)
}
