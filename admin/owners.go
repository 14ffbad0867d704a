package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/psa"
)

// errNoPins: the account does not exist and has no pins.
var errNoPins = errors.New("no account with this id has pins")

// adoptedSome is the error of an adoption that exceeds the quota of the account.
type adoptedSome struct {
	adopted int
	cause   *pin.QuotaError
}

func (e *adoptedSome) Error() string {
	return fmt.Sprintf("pins adopted: %d; the others stay where they were: %v", e.adopted, e.cause)
}

func (e *adoptedSome) Unwrap() error { return e.cause }

// named finds an account by its address or its id. If the account cannot be read, or no
// account has the id, it returns the error with what is known of the account.
func (s *Server) named(ctx context.Context, name string) (auth.Account, error) {
	if !isAccountID(name) {
		return s.Auth.AccountByEmail(ctx, name)
	}
	a, err := s.Auth.AccountByID(ctx, name)
	if errors.Is(err, auth.ErrNoAccount) {
		a.ID = name
	}
	return a, err
}

// mayTidy reports whether a request is allowed although its account is gone or cannot be
// read: the pins that are left can be read and removed.
func (s *Server) mayTidy(r *http.Request, a auth.Account, err error) bool {
	if a.ID == "" || !errors.Is(err, auth.ErrNoAccount) && !errors.Is(err, auth.ErrDamaged) {
		return false
	}
	if r.Method != http.MethodGet && r.Method != http.MethodDelete {
		return false
	}
	owned, err := s.hasPins(r.Context(), a.ID)
	return err == nil && (owned || a.Damaged)
}

func (s *Server) hasPins(ctx context.Context, account string) (bool, error) {
	page, err := s.Pins.List(ctx, account, pin.Query{Statuses: pin.Statuses()})
	return page.Count > 0, err
}

// listOwners lists the accounts that have pins, in the order of their addresses. Accounts
// that are gone come last.
func (h handlers) listOwners(c echo.Context) error {
	ctx := c.Request().Context()
	ids := map[string]bool{}
	for _, status := range pin.Statuses() {
		some, err := h.Store.Accounts(ctx, status)
		if err != nil {
			return err
		}
		for _, id := range some {
			ids[id] = true
		}
	}
	all, err := h.Auth.ListAccounts(ctx)
	if err != nil {
		return err
	}
	owners := []Owner{}
	for _, a := range all {
		if ids[a.ID] {
			owners = append(owners, Owner{ID: a.ID, Email: a.Email})
			delete(ids, a.ID)
		}
	}
	known := len(owners)
	for id := range ids {
		owners = append(owners, Owner{ID: id, Gone: true})
	}
	slices.SortFunc(owners[known:], func(x, y Owner) int { return cmp.Compare(x.ID, y.ID) })
	return c.JSON(http.StatusOK, struct {
		success
		Owners []Owner `json:"owners"`
	}{ok, owners})
}

// maxListed is the maximum of pins in one answer, because each may have 16 KiB of metadata.
const maxListed = 100

// listPins lists the pins of one account, which may be gone. The query is that of the PSA's
// list, except that a query without a status gets all pins.
func (h handlers) listPins(c echo.Context) error {
	ctx := c.Request().Context()
	id, err := h.accountID(c)
	if err != nil && id == "" {
		return err
	}
	q, err := psa.ParseQuery(c.Request().URL.RawQuery)
	if bad, ok := errors.AsType[*pin.InvalidError](err); ok {
		return invalid(bad.Field, "%s", bad.Msg)
	}
	if err != nil {
		return err
	}
	if q.Limit > maxListed {
		return invalid("limit", "must be a whole number from 1 to %d", maxListed)
	}
	if len(q.Statuses) == 0 {
		q.Statuses = pin.Statuses()
	}
	page, err := h.Pins.List(ctx, id, q)
	if err != nil {
		return fmt.Errorf("list the pins of account %s: %w", id, err)
	}
	if page.Count == 0 {
		if _, err := h.Auth.AccountByID(ctx, id); err != nil {
			return err
		}
	}
	out := struct {
		success
		pinPage
	}{ok, pinPage{page.Count, []Pin{}}}
	for _, p := range psa.NewPinResults(page, nil).Results {
		out.Results = append(out.Results, Pin{p.RequestID, p.Status, p.Created, p.Pin, p.Info, nil})
	}
	return c.JSON(http.StatusOK, out)
}

// adoptPins gives the pins of an account that is gone to another.
func (h handlers) adoptPins(c echo.Context) error {
	ctx := c.Request().Context()
	from := c.QueryParam("from")
	if !isAccountID(from) {
		return &auth.InvalidError{Field: "from", Msg: "must be the id of an account, as `holdfast pin ls --all` shows it"}
	}
	to, err := h.named(ctx, c.QueryParam("to"))
	if err != nil {
		return err
	}
	switch old, err := h.Auth.AccountByID(ctx, from); {
	case err == nil:
		return &auth.InvalidError{Field: "from", Msg: "is the id of " + old.Email + ", which exists: " +
			"only pins of an account that is gone can be adopted; `holdfast user rm --keep-pins` removes one and leaves its pins"}
	case !errors.Is(err, auth.ErrNoAccount):
		return err
	}
	if owned, err := h.hasPins(ctx, from); err != nil {
		return err
	} else if !owned {
		return errNoPins
	}
	adopted, left, err := h.Store.Adopt(ctx, from, to.ID)
	if adopted > 0 {
		if err := h.Auth.NoteAdopted(ctx, from, to, adopted); err != nil {
			h.Log.Warn("the adoption of pins is not in the audit record", "account", to.ID, "err", err)
		}
	}
	if quota, ok := errors.AsType[*pin.QuotaError](err); ok {
		return &adoptedSome{adopted, quota}
	}
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, struct {
		success
		AdoptedPins
	}{ok, AdoptedPins{adopted, left}})
}

// removePins removes all pins of an account. The account may be gone.
func (h handlers) removePins(c echo.Context) error {
	ctx := c.Request().Context()
	a, err := h.named(ctx, c.QueryParam("account"))
	if err != nil && a.ID == "" {
		return err
	}
	n, err := h.Pins.RemoveAll(ctx, a.ID)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, struct {
		success
		RemovedPins
	}{ok, RemovedPins{n}})
}
