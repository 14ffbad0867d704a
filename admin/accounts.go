package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/auth/authhttp"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// oneAccount is the answer with one account.
type oneAccount struct {
	success
	Account Account `json:"account"`
}

func (h handlers) listAccounts(c echo.Context) error {
	all, err := h.Auth.ListAccounts(c.Request().Context())
	if err != nil {
		return err
	}
	out := struct {
		success
		Accounts []Account `json:"accounts"`
	}{ok, []Account{}}
	for _, a := range all {
		one, err := h.accountWithUsage(c.Request().Context(), a)
		if err != nil && c.Request().Context().Err() != nil {
			return err
		}
		if err != nil { // the list is useful without it
			h.Log.Warn("cannot read what an account uses", "account", a.ID, "err", err)
		}
		out.Accounts = append(out.Accounts, one)
	}
	return c.JSON(http.StatusOK, out)
}

func (h handlers) addAccount(c echo.Context) error {
	var in NewAccount
	if err := authhttp.ReadJSON(c, &in); err != nil {
		return err
	}
	a, err := h.Auth.AddAccount(c.Request().Context(), auth.NewAccount{
		Email: in.Email, Password: in.Password, Admin: in.Admin, Quota: in.Quota, QuotaPins: in.MaxPins,
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, oneAccount{ok, authhttp.AccountOf(a)})
}

func (h handlers) getAccount(c echo.Context) error {
	a, err := h.account(c)
	if err != nil {
		return err
	}
	one, err := h.accountWithUsage(c.Request().Context(), a)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, oneAccount{ok, one})
}

// accountWithUsage is [authhttp.AccountOf] with what the account's pins take up.
func (h handlers) accountWithUsage(ctx context.Context, a auth.Account) (one Account, err error) {
	one = authhttp.AccountOf(a)
	one.Usage, err = h.Auth.UsageOf(ctx, a.ID)
	return one, err
}

func (h handlers) setRole(c echo.Context) error {
	if err := notOwn(c); err != nil {
		return err
	}
	var in NewRole
	if err := authhttp.ReadJSON(c, &in); err != nil {
		return err
	}
	if in.Admin == nil {
		return invalid("admin", "is missing: true makes it an admin's account, false one of a user")
	}
	id, err := h.accountID(c)
	if err != nil {
		return err
	}
	a, err := h.Auth.SetAdmin(c.Request().Context(), id, *in.Admin)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, oneAccount{ok, authhttp.AccountOf(a)})
}

func (h handlers) setQuota(c echo.Context) error {
	var in NewQuota
	if err := authhttp.ReadJSON(c, &in); err != nil {
		return err
	}
	if in.Replication != nil {
		if _, err := pin.ParseReplication(*in.Replication); err != nil {
			return &auth.InvalidError{Field: "replication", Msg: err.Error()}
		}
	}
	id, err := h.accountID(c)
	if err != nil {
		return err
	}
	a, err := h.Auth.SetQuota(c.Request().Context(), id, auth.NewQuota(in))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, oneAccount{ok, authhttp.AccountOf(a)})
}

// account returns the account that the path names: by its id, or, on the socket, also by its
// address. If the account cannot be read, it returns the error with what is known of it.
func (h handlers) account(c echo.Context) (auth.Account, error) {
	name := c.Param("id")
	if h.by == ByToken {
		return h.Auth.AccountByID(c.Request().Context(), name)
	}
	if c.Request().URL.RawPath != "" { // then Echo has not unescaped it
		var err error
		if name, err = url.PathUnescape(name); err != nil {
			return auth.Account{}, invalid("id", "is not escaped as a path is")
		}
	}
	return h.named(c.Request().Context(), name)
}

// accountID returns the id of the account that the path names. Over TCP it does not check
// whether the account exists.
func (h handlers) accountID(c echo.Context) (string, error) {
	if h.by == ByToken {
		return c.Param("id"), nil
	}
	a, err := h.account(c)
	return a.ID, err
}

// isAccountID tells an account's ID from its address. The audit record knows a removed
// account only by its ID.
func isAccountID(s string) bool { return uuid.Validate(s) == nil }

func invalid(field, format string, a ...any) error {
	return &auth.InvalidError{Field: field, Msg: fmt.Sprintf(format, a...)}
}

// onlyParams refuses a query that has another parameter, or one twice. If it were ignored, more could be
// removed than was meant, or more shown.
func onlyParams(c echo.Context, names ...string) error {
	query, err := url.ParseQuery(c.Request().URL.RawQuery)
	if err != nil {
		return invalid("query", "cannot be read")
	}
	for name, given := range query {
		if !slices.Contains(names, name) {
			return invalid("query", "has %.50q, which is no parameter here: there is %s", name, strings.Join(names, ", "))
		}
		if len(given) > 1 {
			return invalid(name, "is given more than once")
		}
	}
	return nil
}

// notOwn refuses what would lock an admin out of the own account.
func notOwn(c echo.Context) error {
	if p, _ := auth.PrincipalFrom(c.Request().Context()); c.Param("id") == p.Account {
		return invalid("id", "is your own account; another admin can do this, or the command line")
	}
	return nil
}

func (h handlers) disable(c echo.Context) error {
	if err := notOwn(c); err != nil {
		return err
	}
	id, err := h.accountID(c)
	if err != nil {
		return err
	}
	a, err := h.Auth.Disable(c.Request().Context(), id)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, oneAccount{ok, authhttp.AccountOf(a)})
}

func (h handlers) enable(c echo.Context) error {
	id, err := h.accountID(c)
	if err != nil {
		return err
	}
	a, err := h.Auth.Enable(c.Request().Context(), id)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, oneAccount{ok, authhttp.AccountOf(a)})
}

func (h handlers) removeAccount(c echo.Context) error {
	if err := notOwn(c); err != nil {
		return err
	}
	if err := onlyParams(c, "pins"); err != nil {
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
	id := c.Param("id")
	if h.by == BySocket {
		a, err := h.account(c)
		if err != nil && !a.Damaged { // an account that cannot be read can be removed
			return err
		}
		id = a.ID
	}
	a, n, err := h.Auth.RemoveAccountAndPins(c.Request().Context(), id, keep)
	if err != nil {
		return err
	}
	a.ID = id // also if the account could not be read
	return c.JSON(http.StatusOK, struct {
		success
		RemovedAccount
	}{ok, RemovedAccount{authhttp.AccountOf(a), n}})
}
