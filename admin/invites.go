package admin

import (
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/auth/authhttp"
)

func (h handlers) listInvites(c echo.Context) error {
	all, err := h.Auth.ListInvites(c.Request().Context())
	if err != nil {
		return err
	}
	out := struct {
		success
		Invites []InviteInfo `json:"invites"`
	}{ok, []InviteInfo{}}
	for _, i := range all {
		out.Invites = append(out.Invites, inviteInfoOf(i))
	}
	return c.JSON(http.StatusOK, out)
}

func (h handlers) addInvite(c echo.Context) error {
	var in newInvite
	if err := authhttp.ReadJSON(c, &in); err != nil {
		return err
	}
	ttl, err := authhttp.Seconds(in.ExpiresIn)
	if err != nil {
		return err
	}
	i, code, err := h.Auth.AddInvite(c.Request().Context(), auth.NewInvite{Quota: in.Quota, QuotaPins: in.MaxPins, TTL: ttl})
	if err != nil {
		return err
	}
	made := CreatedInvite{InviteInfo: inviteInfoOf(i), Code: code}
	if h.by == BySocket {
		made.Registration = h.Auth.Registration()
	}
	return c.JSON(http.StatusCreated, struct {
		success
		CreatedInvite
	}{ok, made})
}

func (h handlers) revokeInvite(c echo.Context) error {
	i, err := h.Auth.RevokeInvite(c.Request().Context(), c.Param("id"))
	if errors.Is(err, auth.ErrNoInvite) && h.by == ByToken {
		// For a client that registers it is 403, because the code does not let it in. Here
		// the path names an invitation by its id, as it names an account.
		return authhttp.NotFound("no such invitation: it may be used already, or expired")
	}
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, struct {
		success
		Invite InviteInfo `json:"invite"`
	}{ok, inviteInfoOf(i)})
}
