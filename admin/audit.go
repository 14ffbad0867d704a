package admin

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/auth"
)

// audit answers with one page of the audit record.
func (h handlers) audit(c echo.Context) error {
	if err := onlyParams(c, "account", "event", "pin", "before", "from", "to", "limit"); err != nil {
		return err
	}
	q := auth.EventQuery{
		Account: c.QueryParam("account"), Kind: auth.EventKind(c.QueryParam("event")), Pin: c.QueryParam("pin"), Before: c.QueryParam("before"),
	}
	kinds := slices.Concat([]auth.EventKind{"", auth.EventsOfAccounts, auth.EventsOfPins}, auth.EventKinds)
	if !slices.Contains(kinds, q.Kind) {
		return invalid("event", "must be one of %v", kinds[1:])
	}
	if h.by == BySocket && q.Account != "" && !isAccountID(q.Account) {
		a, err := h.Auth.AccountByEmail(c.Request().Context(), q.Account)
		if err != nil {
			return err
		}
		q.Account = a.ID
	}
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
	page, err := h.Auth.Events(c.Request().Context(), q)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	out := struct {
		success
		Events []Event `json:"events"`
	}{ok, []Event{}}
	for _, e := range page {
		out.Events = append(out.Events, Event(e))
	}
	return c.JSON(http.StatusOK, out)
}
