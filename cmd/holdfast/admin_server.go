package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/psa"
)

// pinService is what the admin API needs of pins; *pin.Manager is one, and
// [pin.Offline] where no server runs.
type pinService interface {
	psa.Service
	Retry(ctx context.Context, account, id string) (pin.View, error)
	RemoveAll(ctx context.Context, account string) (int, error)
}

// adminServer serves the admin API.
type adminServer struct {
	auth    *auth.Service
	pins    pinService
	running bool // a server does this, and not a command
	// endpoint gives the URL of the pinning service.
	endpoint func() string
	store    storeUpkeep // nil serves nothing of it
	log      *slog.Logger
}

// handler makes the router of the admin API. It is one of its own: nothing of
// it is ever reachable over TCP.
func (s *adminServer) handler() (http.Handler, error) {
	e := echo.New()
	e.HTTPErrorHandler = answerAdminError
	e.GET("/server", func(c echo.Context) error {
		return c.JSON(http.StatusOK, serverInfo{Running: s.running})
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
	if s.store != nil {
		(&adminStore{s.store}).register(e)
	}
	e.POST("/psa/pins/:requestid/retry", s.retryPin, psa.Errors(s.log), s.asUser)
	err := psa.Register(e.Group("/psa"), psa.Config{
		Service: hintingPins{s.pins},
		// Commands dial nobody, and the PSA has no answer without delegates,
		// which a node that is not running does not have.
		Delegates:   func() []string { return []string{"/unix/" + adminSocketName} },
		Auth:        s.asUser,
		CORSOrigins: []string{},
		Logger:      s.log,
	})
	if err != nil {
		return nil, fmt.Errorf("serve pins to commands: %w", err)
	}
	return e, nil
}

// answerKey is what the header of the answer is under in a request's context.
type answerKey struct{}

// hintingPins is a pinService that puts a hint on a full disk into the header of the
// answer: the PSA's own failure has no place for what is the operator's alone.
type hintingPins struct{ pinService }

func hintInAnswer(ctx context.Context, err error) error {
	if h, ok := ctx.Value(answerKey{}).(http.Header); ok {
		if hint := diskFullHint(err); hint != "" {
			h.Set(hintHeader, url.QueryEscape(hint))
		}
	}
	return err
}

func (p hintingPins) Add(ctx context.Context, account string, s pin.Spec) (pin.View, error) {
	v, err := p.pinService.Add(ctx, account, s)
	return v, hintInAnswer(ctx, err)
}

func (p hintingPins) Remove(ctx context.Context, account, id string) error {
	return hintInAnswer(ctx, p.pinService.Remove(ctx, account, id))
}

func (p hintingPins) Retry(ctx context.Context, account, id string) (pin.View, error) {
	v, err := p.pinService.Retry(ctx, account, id)
	return v, hintInAnswer(ctx, err)
}

// errWhichUser: the request must name an account.
var errWhichUser = errors.New("there is more than one account")

// asUser puts the account that the request names into its context.
func (s *adminServer) asUser(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		a, err := s.user(r)
		if err != nil {
			return answerAdmin(c, err)
		}
		p := auth.Principal{Account: a.ID, Email: a.Email, Admin: a.Admin, Scope: auth.ScopeAdmin}
		ctx := context.WithValue(r.Context(), answerKey{}, c.Response().Header())
		c.SetRequest(r.WithContext(auth.WithPrincipal(ctx, p)))
		return next(c)
	}
}

func (s *adminServer) user(r *http.Request) (auth.Account, error) {
	if named := r.Header.Get(userHeader); named != "" {
		email, err := url.QueryUnescape(named)
		if err != nil {
			return auth.Account{}, &auth.InvalidError{Field: userHeader, Msg: "is not query-escaped"}
		}
		return s.auth.AccountByEmail(r.Context(), email)
	}
	all, err := s.auth.ListAccounts(r.Context())
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

func (s *adminServer) listUsers(c echo.Context) error {
	all, err := s.auth.ListAccounts(c.Request().Context())
	if err != nil {
		return err
	}
	infos := make([]userInfo, len(all))
	for i, a := range all {
		infos[i] = userInfoOf(a)
	}
	return c.JSON(http.StatusOK, infos)
}

func (s *adminServer) addUser(c echo.Context) error {
	var in newUser
	if err := c.Bind(&in); err != nil {
		return err
	}
	a, err := s.auth.AddAccount(c.Request().Context(), auth.NewAccount{
		Email: in.Email, Password: in.Password, Admin: in.Admin, Quota: in.Quota, QuotaPins: in.MaxPins,
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, userInfoOf(a))
}

// account is the one whose address the query names.
func (s *adminServer) account(c echo.Context) (auth.Account, error) {
	return s.auth.AccountByEmail(c.Request().Context(), c.QueryParam("email"))
}

// changeUser serves what changes an account as a whole.
func (s *adminServer) changeUser(change func(*auth.Service, context.Context, string) (auth.Account, error)) echo.HandlerFunc {
	return func(c echo.Context) error {
		a, err := s.account(c)
		if err != nil {
			return err
		}
		if a, err = change(s.auth, c.Request().Context(), a.ID); err != nil {
			return err
		}
		return c.JSON(http.StatusOK, userInfoOf(a))
	}
}

func (s *adminServer) setQuota(c echo.Context) error {
	var in newQuota
	if err := c.Bind(&in); err != nil {
		return err
	}
	a, err := s.account(c)
	if err != nil {
		return err
	}
	if a, err = s.auth.SetQuota(c.Request().Context(), a.ID, auth.NewQuota(in)); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, userInfoOf(a))
}

// removeUser removes the account's pins too, unless they are to be kept.
func (s *adminServer) removeUser(c echo.Context) error {
	a, err := s.account(c)
	if err != nil {
		return err
	}
	a, n, err := s.auth.RemoveAccountAndPins(c.Request().Context(), a.ID, c.QueryParam("pins") == "keep")
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, removedUser{Email: a.Email, Pins: n})
}

func (s *adminServer) setPassword(c echo.Context) error {
	var in newPassword
	if err := c.Bind(&in); err != nil {
		return err
	}
	a, err := s.account(c)
	if err != nil {
		return err
	}
	ended, err := s.auth.SetPassword(c.Request().Context(), a.ID, in.Password, in.RevokeTokens)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, ended)
}

func (s *adminServer) listTokens(c echo.Context) error {
	a, err := s.account(c)
	if err != nil {
		return err
	}
	all, err := s.auth.ListTokens(c.Request().Context(), a.ID)
	if err != nil {
		return err
	}
	infos := make([]tokenInfo, len(all))
	for i, t := range all {
		infos[i] = tokenInfoOf(t)
	}
	return c.JSON(http.StatusOK, infos)
}

func (s *adminServer) createToken(c echo.Context) error {
	var in newToken
	if err := c.Bind(&in); err != nil {
		return err
	}
	a, err := s.account(c)
	if err != nil {
		return err
	}
	t, raw, err := s.auth.AddDevice(c.Request().Context(), a.ID, auth.NewDevice{Name: in.Name, Scope: in.Scope, TTL: in.Expires})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, createdToken{tokenInfoOf(t), raw, s.endpoint()})
}

func (s *adminServer) revokeToken(c echo.Context) error {
	t, err := s.auth.RevokeToken(c.Request().Context(), c.QueryParam("id"))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, tokenInfoOf(t))
}

func (s *adminServer) retryPin(c echo.Context) error {
	p, _ := auth.PrincipalFrom(c.Request().Context())
	if _, err := (hintingPins{s.pins}).Retry(c.Request().Context(), p.Account, c.Param("requestid")); err != nil {
		return err
	}
	return c.NoContent(http.StatusAccepted)
}
