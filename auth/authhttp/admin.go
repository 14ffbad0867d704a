package authhttp

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/auth"
)

// oneAccount is the answer that tells of one account.
type oneAccount struct {
	success
	Account accountJSON `json:"account"`
}

func (h handler) listAccounts(c echo.Context) error {
	all, err := h.s.ListAccounts(c.Request().Context())
	if err != nil {
		return err
	}
	out := struct {
		success
		Accounts []accountJSON `json:"accounts"`
	}{ok, []accountJSON{}}
	for _, a := range all {
		out.Accounts = append(out.Accounts, accountJSONOf(a))
	}
	return c.JSON(http.StatusOK, out)
}

func (h handler) addAccount(c echo.Context) error {
	var in struct {
		Email     string `json:"email"`
		Password  string `json:"password"`
		Admin     bool   `json:"admin"`
		Quota     uint64 `json:"quota"`
		QuotaPins uint64 `json:"max_pins"`
	}
	if err := readJSON(c, &in); err != nil {
		return err
	}
	a, err := h.s.AddAccount(c.Request().Context(), auth.NewAccount(in))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, oneAccount{ok, accountJSONOf(a)})
}

func (h handler) getAccount(c echo.Context) error {
	a, err := h.s.AccountByID(c.Request().Context(), c.Param("id"))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, oneAccount{ok, accountJSONOf(a)})
}

func (h handler) setQuota(c echo.Context) error {
	var in struct {
		Bytes *uint64 `json:"quota"`
		Pins  *uint64 `json:"max_pins"`
	}
	if err := readJSON(c, &in); err != nil {
		return err
	}
	a, err := h.s.SetQuota(c.Request().Context(), c.Param("id"), auth.NewQuota(in))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, oneAccount{ok, accountJSONOf(a)})
}

// notOwn keeps admins from locking themselves out.
func notOwn(c echo.Context) error {
	if c.Param("id") == principal(c).Account {
		return invalid("id", "is your own account; another admin can do this, or the command line")
	}
	return nil
}

func (h handler) disable(c echo.Context) error {
	if err := notOwn(c); err != nil {
		return err
	}
	a, err := h.s.Disable(c.Request().Context(), c.Param("id"))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, oneAccount{ok, accountJSONOf(a)})
}

func (h handler) enable(c echo.Context) error {
	a, err := h.s.Enable(c.Request().Context(), c.Param("id"))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, oneAccount{ok, accountJSONOf(a)})
}

func (h handler) removeAccount(c echo.Context) error {
	if err := notOwn(c); err != nil {
		return err
	}
	keep := false
	switch c.QueryParam("pins") {
	case "", "remove":
	case "keep":
		keep = true
	default:
		return invalid("pins", `must be "remove" or "keep"`)
	}
	a, n, err := h.s.RemoveAccountAndPins(c.Request().Context(), c.Param("id"), keep)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, struct {
		oneAccount
		Pins int `json:"pins"` // requests that were removed with it
	}{oneAccount{ok, accountJSONOf(a)}, n})
}

type inviteJSON struct {
	ID        string    `json:"id"`
	By        string    `json:"by,omitempty"` // the account's id; left out: the host's operator
	Created   time.Time `json:"created"`
	Expires   time.Time `json:"expires"`
	Quota     uint64    `json:"quota"`    // bytes; 0 is no limit
	QuotaPins uint64    `json:"max_pins"` // 0 is no limit
}

func inviteJSONOf(i auth.Invite) inviteJSON {
	return inviteJSON(i)
}

func (h handler) listInvites(c echo.Context) error {
	all, err := h.s.ListInvites(c.Request().Context())
	if err != nil {
		return err
	}
	out := struct {
		success
		Invites []inviteJSON `json:"invites"`
	}{ok, []inviteJSON{}}
	for _, i := range all {
		out.Invites = append(out.Invites, inviteJSONOf(i))
	}
	return c.JSON(http.StatusOK, out)
}

func (h handler) addInvite(c echo.Context) error {
	var in struct {
		Quota     uint64 `json:"quota"`
		MaxPins   uint64 `json:"max_pins"`
		ExpiresIn int64  `json:"expires_in"`
	}
	if err := readJSON(c, &in); err != nil {
		return err
	}
	ttl, err := secondsOf(in.ExpiresIn)
	if err != nil {
		return err
	}
	i, code, err := h.s.AddInvite(c.Request().Context(), auth.NewInvite{Quota: in.Quota, QuotaPins: in.MaxPins, TTL: ttl})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, struct {
		success
		inviteJSON
		Code string `json:"invite"` // shown only now
	}{ok, inviteJSONOf(i), code})
}

func (h handler) revokeInvite(c echo.Context) error {
	i, err := h.s.RevokeInvite(c.Request().Context(), c.Param("id"))
	if errors.Is(err, auth.ErrNoInvite) {
		// To who registers it is 403: the code does not let them in. Here an
		// invitation is asked for by its id, as an account is.
		return &httpError{http.StatusNotFound, "no such invitation: it may be used already, or expired"}
	}
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, struct {
		success
		Invite inviteJSON `json:"invite"`
	}{ok, inviteJSONOf(i)})
}

type eventJSON struct {
	ID      string         `json:"id"`
	Time    time.Time      `json:"time"`
	Kind    auth.EventKind `json:"event"`
	Account string         `json:"account,omitempty"`
	Email   string         `json:"email,omitempty"`
	Actor   string         `json:"actor,omitempty"`
	Address string         `json:"address,omitempty"`
	Token   string         `json:"token,omitempty"`
	Detail  string         `json:"detail,omitempty"`
	Count   int            `json:"count"`
}

func (h handler) audit(c echo.Context) error {
	q := auth.EventQuery{Account: c.QueryParam("account"), Before: c.QueryParam("before")}
	for name, at := range map[string]*time.Time{"from": &q.From, "to": &q.To} {
		s := c.QueryParam(name)
		if s == "" {
			continue
		}
		var err error
		if *at, err = time.Parse(time.RFC3339, s); err != nil {
			return invalid(name, "must be a time such as 2026-05-04T03:02:01Z")
		}
	}
	if s := c.QueryParam("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return invalid("limit", "must be from 1 to %d", auth.MaxEvents)
		}
		q.Limit = n
	}
	page, err := h.s.Events(c.Request().Context(), q)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	out := struct {
		success
		Events []eventJSON `json:"events"`
	}{ok, []eventJSON{}}
	for _, e := range page {
		out.Events = append(out.Events, eventJSON(e))
	}
	return c.JSON(http.StatusOK, out)
}
