package authhttp

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/auth"
)

// Account is an account in the answers of /api/auth and /api/admin.
type Account struct {
	ID       string    `json:"id"`
	Email    string    `json:"email,omitempty"` // left out if it is damaged and its address is not known
	Admin    bool      `json:"admin"`
	Disabled bool      `json:"disabled"`
	Quota    uint64    `json:"quota"`    // bytes; 0 is no limit
	MaxPins  uint64    `json:"max_pins"` // 0 is no limit
	Created  time.Time `json:"created,omitzero"`
	Damaged  bool      `json:"damaged,omitempty"` // its record cannot be read: only id and email are set
	// Replication is in how many copies a cluster keeps its pins; "" is as the server has it.
	Replication string `json:"replication,omitempty"`
	// Usage is what the pins of the account take up. Only the admin API has it, in answers
	// to GET, and leaves it out if it cannot be read.
	Usage *auth.Usage `json:"usage,omitempty"`
}

// AccountOf is what the answers say of an account.
func AccountOf(a auth.Account) Account {
	return Account{a.ID, a.Email, a.Admin, a.Disabled, a.Quota, a.QuotaPins, a.Created, a.Damaged, a.Replication, nil}
}

// Token describes a token in the answers of /api/auth and /api/admin, without the token itself.
type Token struct {
	ID      string     `json:"id"`
	Kind    auth.Kind  `json:"kind,omitempty"`
	Name    string     `json:"name,omitempty"`
	Scope   auth.Scope `json:"scope,omitempty"`
	Created time.Time  `json:"created,omitzero"`
	Expires time.Time  `json:"expires,omitzero"`   // left out: never
	Used    time.Time  `json:"last_used,omitzero"` // some minutes behind; left out: never
	Address string     `json:"address,omitempty"`  // of the client that made it; left out: the host itself
	Damaged bool       `json:"damaged,omitempty"`  // its record cannot be read: only id is set
}

// TokenOf is what the answers say of a token.
func TokenOf(t auth.Token) Token {
	return Token{t.ID, t.Kind, t.Name, t.Scope, t.Created, t.Expires, t.Used, t.Address, t.Damaged}
}

// ownToken is a token of the account that asks.
type ownToken struct {
	Token
	Current bool `json:"current"` // it is the token of this request
}

func ownTokenOf(t auth.Token, p auth.Principal) ownToken {
	return ownToken{TokenOf(t), t.ID == p.TokenID}
}

// success is a whole answer, or the part of one that says that it is a success.
type success struct {
	Status string `json:"status"` // "success"
}

var ok = success{"success"}

// principal is the principal of the request. authenticate put it into the context.
func principal(c echo.Context) auth.Principal {
	p, _ := auth.PrincipalFrom(c.Request().Context())
	return p
}

func (h handler) me(c echo.Context) error {
	ctx := c.Request().Context()
	a, err := h.s.AccountByID(ctx, principal(c).Account)
	if err != nil {
		return err
	}
	out := struct {
		success
		Account Account     `json:"account"`
		Scope   auth.Scope  `json:"scope"` // of the token
		Usage   *auth.Usage `json:"usage,omitempty"`
	}{ok, AccountOf(a), principal(c).Scope, nil}
	if out.Usage, err = h.s.UsageOf(ctx, a.ID); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, out)
}

func (h handler) logout(c echo.Context) error {
	if err := h.s.Logout(c.Request().Context(), principal(c)); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, ok)
}

func (h handler) logoutAll(c echo.Context) error {
	n, err := h.s.LogoutAll(c.Request().Context(), principal(c).Account)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, struct {
		success
		Sessions int `json:"sessions"` // that were ended
	}{ok, n})
}

func (h handler) password(c echo.Context) error {
	var in struct {
		Password     string `json:"password"`
		NewPassword  string `json:"new_password"`
		RevokeTokens bool   `json:"revoke_tokens"`
	}
	if err := ReadJSON(c, &in); err != nil {
		return err
	}
	switch {
	case in.Password == "":
		return invalid("password", "is missing")
	case in.NewPassword == "":
		return invalid("new_password", "is missing")
	}
	e, err := h.s.ChangePassword(c.Request().Context(), principal(c).Account, in.Password, in.NewPassword, in.RevokeTokens)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, struct {
		success
		Sessions    int `json:"sessions"`     // that were ended
		Devices     int `json:"devices"`      // device tokens that were ended
		DevicesLeft int `json:"devices_left"` // device tokens that still work
	}{ok, e.Sessions, e.Devices, e.DevicesLeft})
}

func (h handler) listTokens(c echo.Context) error {
	all, err := h.s.ListTokens(c.Request().Context(), principal(c).Account)
	if err != nil {
		return err
	}
	out := struct {
		success
		Tokens []ownToken `json:"tokens"`
	}{ok, []ownToken{}}
	for _, t := range all {
		out.Tokens = append(out.Tokens, ownTokenOf(t, principal(c)))
	}
	return c.JSON(http.StatusOK, out)
}

// Seconds reads expires_in; 0 means the default. Errors: [*auth.InvalidError].
func Seconds(n int64) (time.Duration, error) {
	const limit int64 = 100 * 365 * 24 * 3600
	if n < 0 || n > limit {
		return 0, invalid("expires_in", "must be a number of seconds, %d at most", limit)
	}
	return time.Duration(n) * time.Second, nil
}

func (h handler) addToken(c echo.Context) error {
	var in struct {
		Name      string     `json:"name"`
		Scope     auth.Scope `json:"scope"`
		ExpiresIn int64      `json:"expires_in"`
	}
	if err := ReadJSON(c, &in); err != nil {
		return err
	}
	ttl, err := Seconds(in.ExpiresIn)
	if err != nil {
		return err
	}
	t, raw, err := h.s.AddDevice(c.Request().Context(), principal(c).Account, auth.NewDevice{Name: in.Name, Scope: in.Scope, TTL: ttl})
	if err != nil {
		return err
	}
	out := struct {
		success
		ownToken
		Secret  string `json:"token"`
		Command string `json:"command,omitempty"` // adds the service to Kubo
	}{ok, ownTokenOf(t, principal(c)), raw, ""}
	if endpoint := h.endpoint(c); endpoint != "" && t.Scope.Includes(auth.ScopePin) {
		out.Command = fmt.Sprintf("ipfs pin remote service add holdfast %s %s", endpoint, raw)
	}
	return c.JSON(http.StatusCreated, out)
}

// endpoint is the URL of the pinning service for this client; "" if it is not known.
func (h handler) endpoint(c echo.Context) string {
	if h.cfg.Endpoint != nil {
		return h.cfg.Endpoint()
	}
	r := c.Request()
	// The host becomes part of a command line for a shell.
	if r.Host == "" || strings.ContainsFunc(r.Host, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("-.:[]", c))
	}) {
		return ""
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + r.Host + "/api/psa/"
}

func (h handler) revokeToken(c echo.Context) error {
	t, err := h.s.RevokeTokenOf(c.Request().Context(), principal(c).Account, c.Param("id"))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, struct {
		success
		Token ownToken `json:"token"`
	}{ok, ownTokenOf(t, principal(c))})
}
