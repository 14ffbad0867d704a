package admin

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/auth/authhttp"
)

func (h handlers) setPassword(c echo.Context) error {
	var in NewPassword
	if err := authhttp.ReadJSON(c, &in); err != nil {
		return err
	}
	if h.by == ByToken {
		if err := h.proveAdmin(c, in.OwnPassword); err != nil {
			return err
		}
	}
	id, err := h.accountID(c)
	if err != nil {
		return err
	}
	ended, err := h.Auth.SetPassword(c.Request().Context(), id, in.Password, in.RevokeTokens)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, struct {
		success
		Ended
	}{ok, Ended(ended)})
}

// proveAdmin checks the own password of an admin who sets the password of another account.
func (h handlers) proveAdmin(c echo.Context, own string) error {
	p, _ := auth.PrincipalFrom(c.Request().Context())
	switch {
	case c.Param("id") == p.Account:
		return invalid("id", "is your own account: POST /api/auth/password changes its password")
	case own == "":
		return invalid("own_password", "is missing: it is your own present password")
	}
	return h.Auth.ProvePassword(c.Request().Context(), p.Account, "own_password", own)
}

func (h handlers) listTokens(c echo.Context) error {
	id, err := h.accountID(c)
	if err != nil {
		return err
	}
	all, err := h.Auth.ListTokens(c.Request().Context(), id)
	if err != nil {
		return err
	}
	out := struct {
		success
		Tokens []TokenInfo `json:"tokens"`
	}{ok, []TokenInfo{}}
	for _, t := range all {
		out.Tokens = append(out.Tokens, authhttp.TokenOf(t))
	}
	return c.JSON(http.StatusOK, out)
}

func (h handlers) createToken(c echo.Context) error {
	var in newToken
	if err := authhttp.ReadJSON(c, &in); err != nil {
		return err
	}
	ttl, err := authhttp.Seconds(in.ExpiresIn)
	if err != nil {
		return err
	}
	id, err := h.accountID(c)
	if err != nil {
		return err
	}
	t, raw, err := h.Auth.AddDevice(c.Request().Context(), id, auth.NewDevice{Name: in.Name, Scope: in.Scope, TTL: ttl})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, struct {
		success
		CreatedToken
	}{ok, CreatedToken{authhttp.TokenOf(t), raw, h.Endpoint()}})
}

func (h handlers) revokeToken(c echo.Context) error {
	t, err := h.Auth.RevokeToken(c.Request().Context(), c.Param("id"))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, struct {
		success
		Token TokenInfo `json:"token"`
	}{ok, authhttp.TokenOf(t)})
}

func (h handlers) rotateKeys(c echo.Context) error {
	var in newKeys
	if err := authhttp.ReadJSON(c, &in); err != nil {
		return err
	}
	keys, err := h.Auth.RotateKeys(c.Request().Context(), in.EndTokens)
	if err != nil {
		return err
	}
	out := struct {
		success
		Keys []KeyInfo `json:"keys"`
	}{ok, []KeyInfo{}}
	for _, k := range keys {
		out.Keys = append(out.Keys, KeyInfo(k))
	}
	return c.JSON(http.StatusOK, out)
}
