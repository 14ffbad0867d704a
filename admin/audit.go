package admin

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/auth"
)

func (s *Server) listInvites(c echo.Context) error {
	all, err := s.Auth.ListInvites(c.Request().Context())
	if err != nil {
		return err
	}
	infos := make([]InviteInfo, len(all))
	for i, v := range all {
		infos[i] = inviteInfoOf(v)
	}
	return c.JSON(http.StatusOK, infos)
}

func (s *Server) addInvite(c echo.Context) error {
	var in NewInvite
	if err := c.Bind(&in); err != nil {
		return err
	}
	i, code, err := s.Auth.AddInvite(c.Request().Context(), auth.NewInvite{
		Quota: in.Quota, QuotaPins: in.MaxPins, TTL: in.Expires,
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, CreatedInvite{inviteInfoOf(i), code, s.Auth.Registration()})
}

func (s *Server) revokeInvite(c echo.Context) error {
	i, err := s.Auth.RevokeInvite(c.Request().Context(), c.QueryParam("id"))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, inviteInfoOf(i))
}

func (s *Server) rotateKeys(c echo.Context) error {
	var in NewKeys
	if err := c.Bind(&in); err != nil {
		return err
	}
	keys, err := s.Auth.RotateKeys(c.Request().Context(), in.EndTokens)
	if err != nil {
		return err
	}
	infos := make([]KeyInfo, len(keys))
	for i, k := range keys {
		infos[i] = KeyInfo(k)
	}
	return c.JSON(http.StatusOK, infos)
}

// audit gives one page of the audit record.
func (s *Server) audit(c echo.Context) error {
	q := auth.EventQuery{Account: c.QueryParam("account"), Before: c.QueryParam("before")}
	if email := c.QueryParam("email"); email != "" {
		a, err := s.account(c)
		if err != nil {
			return err
		}
		q.Account = a.ID
	}
	var err error
	if from := c.QueryParam("from"); from != "" {
		if q.From, err = time.Parse(time.RFC3339, from); err != nil {
			return &auth.InvalidError{Field: "from", Msg: "must be a time such as 2026-05-04T03:02:01Z"}
		}
	}
	if limit := c.QueryParam("limit"); limit != "" {
		if q.Limit, err = strconv.Atoi(limit); err != nil {
			return &auth.InvalidError{Field: "limit", Msg: "must be a number"}
		}
	}
	page, err := s.Auth.Events(c.Request().Context(), q)
	if err != nil {
		return err
	}
	infos := make([]Event, len(page))
	for i, e := range page {
		infos[i] = Event(e)
	}
	return c.JSON(http.StatusOK, infos)
}

// IsAccountID tells an account's ID from its address. Of an account that was
// removed, the record knows only that.
func IsAccountID(s string) bool { return uuid.Validate(s) == nil }

// auditPage is how many events are asked for at once.
const auditPage = 1000

// Events reads the newest events that match, at most limit; 0 is all.
func (c *Client) Events(ctx context.Context, query url.Values, limit int) ([]Event, error) {
	all := []Event{}
	for {
		n := auditPage
		if limit > 0 {
			n = min(n, limit-len(all))
		}
		query.Set("limit", strconv.Itoa(n))
		var page []Event
		if err := c.Do(ctx, http.MethodGet, "/audit", query, nil, nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page...)
		if len(page) < n || len(all) == limit {
			return all, nil
		}
		query.Set("before", page[len(page)-1].ID)
	}
}
