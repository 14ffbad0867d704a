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

// Pins is what the API needs of pins. It is a *pin.Manager, or a [pin.Offline] if no server
// runs.
type Pins interface {
	psa.Service
	Retry(ctx context.Context, account, id string) (pin.View, error)
	RemoveAll(ctx context.Context, account string) (int, error)
}

// Server serves the API. Over TCP it needs no Endpoint and no Hint.
type Server struct {
	Auth    *auth.Service
	Pins    Pins
	Running bool // a server does this, rather than a command
	// Endpoint returns the URL of the pinning service.
	Endpoint func() string
	Store    Store
	Runs     *Runs    // of Store; nil keeps none, and begins none in the background
	History  *History // nil: there is none
	Backups  Backups
	Self     Self // nil: no server runs
	// Cluster keeps what is pinned. Nil: it is kept here, or no server runs.
	Cluster Cluster
	// RPC adds Kubo's RPC to a group, whose prefix is [RPCPath]. The middleware it is given
	// puts the account that a request names into its context. Nil: there is none, as no
	// server runs.
	RPC func(g *echo.Group, as echo.MiddlewareFunc) error
	// Hint says what to do about an error that this API does not know; "" if there is
	// nothing to say. Nil says nothing.
	Hint func(error) string
	Log  *slog.Logger
}

// Handler makes the router for the socket. It is separate from the router for TCP, which has
// only the routes that [Server.Register] adds.
func (s *Server) Handler() (*echo.Echo, error) {
	e := echo.New()
	e.HTTPErrorHandler = s.answerError
	e.Use(faults.RecoverPanics)
	h := handlers{s, BySocket}
	for _, r := range routes {
		if r.callers&BySocket != 0 {
			e.Add(r.method, r.path, func(c echo.Context) error { return r.serve(h, c) })
		}
	}
	e.POST(psaPath+"/pins/:requestid/retry", s.retryPin, psa.Errors(s.Log), s.asAccount)
	err := psa.Register(e.Group(psaPath), psa.Config{
		Service: hintingPins{s.Pins},
		// Commands dial no delegates. But the PSA does not answer without any, and a node
		// that does not run has none.
		Delegates:   func() []string { return []string{"/unix/" + SocketName} },
		Auth:        s.asAccount,
		CORSOrigins: []string{},
		Logger:      s.Log,
	})
	if err != nil {
		return nil, fmt.Errorf("serve pins to commands: %w", err)
	}
	if s.RPC != nil {
		if err := s.RPC(e.Group(RPCPath), s.asAccount); err != nil {
			return nil, fmt.Errorf("serve content to commands: %w", err)
		}
	}
	return e, nil
}

// Base paths of other APIs on the socket.
const (
	psaPath = "/api/psa"
	RPCPath = "/api/v0" // Kubo's RPC
)

func (h handlers) server(c echo.Context) error {
	return c.JSON(http.StatusOK, struct {
		success
		ServerInfo
	}{ok, ServerInfo{Running: h.Running}})
}

// answerKey is the key of the answer's header in the context of a request.
type answerKey struct{}

// hintingPins is a Pins that puts the hint about a full disk into the header of the answer.
// A failure of the PSA has no place for a hint, which only the operator may see.
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

// errWhichAccount: the request must name an account.
var errWhichAccount = errors.New("there is more than one account")

// asAccount puts the account that the request names into its context.
func (s *Server) asAccount(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		a, err := s.account(r)
		if err != nil && !s.mayTidy(r, a, err) {
			return s.answer(c, err)
		}
		p := auth.Principal{Account: a.ID, Email: a.Email, Admin: a.Admin, Scope: auth.ScopeAdmin}
		ctx := context.WithValue(r.Context(), answerKey{}, c.Response().Header())
		c.SetRequest(r.WithContext(auth.WithPrincipal(ctx, p)))
		return next(c)
	}
}

// account returns the account that the request names.
func (s *Server) account(r *http.Request) (auth.Account, error) {
	if escaped := r.Header.Get(userHeader); escaped != "" {
		name, err := url.QueryUnescape(escaped)
		if err != nil {
			return auth.Account{}, &auth.InvalidError{Field: userHeader, Msg: "is not query-escaped"}
		}
		return s.named(r.Context(), name)
	}
	all, err := s.Auth.ListAccounts(r.Context())
	switch {
	case err != nil:
		return auth.Account{}, err
	case len(all) == 0:
		return auth.Account{}, auth.ErrNoAccount
	case len(all) > 1:
		return auth.Account{}, errWhichAccount
	}
	return all[0], nil
}

func (s *Server) retryPin(c echo.Context) error {
	p, _ := auth.PrincipalFrom(c.Request().Context())
	if _, err := (hintingPins{s.Pins}).Retry(c.Request().Context(), p.Account, c.Param("requestid")); err != nil {
		return err
	}
	return c.NoContent(http.StatusAccepted)
}
