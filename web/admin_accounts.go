package web

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/auth"
)

// accountsBody is what the page of all accounts shows.
type accountsBody struct {
	Accounts []admin.Account
	Invites  []admin.InviteInfo
	Total    auth.Usage // of all accounts whose use is known
	New      accountForm
	Invite   limitsForm
	Made     *madeInvite // nil: none was made just now
	Closed   bool        // nobody can use an invitation
}

// accountForm is what the page keeps of an account that is typed in.
type accountForm struct {
	Email string
	Admin bool
	limitsForm
}

// limitsForm are limits as a person types them. "" is no limit.
type limitsForm struct{ Quota, Pins string }

// limitFields are the fields of a limitsForm, with ids that are theirs alone on the page.
type limitFields struct {
	limitsForm
	Prefix string
}

// For gives the fields, whose ids begin with a prefix.
func (f limitsForm) For(prefix string) limitFields { return limitFields{f, prefix + "-"} }

// Limits are the limits of the form.
func (f limitsForm) Limits() limitFields { return limitFields{limitsForm: f} }

// madeInvite is a new invitation. It is shown once.
type madeInvite struct{ Code, Link string }

func (f limitsForm) parse() (quota, pins uint64, err error) {
	if f.Quota != "" {
		if quota, err = humanize.ParseBytes(f.Quota); err != nil {
			return 0, 0, &auth.InvalidError{Field: "quota", Msg: `must be a size such as "10 GiB", or empty for no limit`}
		}
		if quota == 0 { // to the API that is no limit, and whoever types it means the contrary
			return 0, 0, &auth.InvalidError{Field: "quota", Msg: `must be a size above 0, or empty for no limit; with "1 B" nothing new can be pinned`}
		}
	}
	if f.Pins != "" {
		if pins, err = strconv.ParseUint(strings.ReplaceAll(f.Pins, ",", ""), 10, 64); err != nil {
			return 0, 0, &auth.InvalidError{Field: "pins", Msg: "must be a number, or empty for no limit"}
		}
		if pins == 0 {
			return 0, 0, &auth.InvalidError{Field: "pins", Msg: `must be a number above 0, or empty for no limit; with "1 B" of space nothing new can be pinned`}
		}
	}
	return quota, pins, nil
}

func (c *call) limits() limitsForm { return limitsForm{c.field("quota"), c.field("pins")} }

func (u *UI) accountsPage(c *call) error { return u.showAccounts(c, accountsBody{}) }

func (u *UI) showAccounts(c *call, body accountsBody) error {
	var all struct{ Accounts []admin.Account }
	if err := c.api(http.MethodGet, admin.AccountsPath, nil, &all); err != nil {
		return err
	}
	var invites struct{ Invites []admin.InviteInfo }
	if err := c.api(http.MethodGet, admin.InvitesPath, nil, &invites); err != nil {
		return err
	}
	slices.SortFunc(all.Accounts, func(a, b admin.Account) int { return strings.Compare(a.Email, b.Email) })
	body.Accounts, body.Invites = all.Accounts, invites.Invites
	body.Closed = u.Auth.Registration() == auth.RegistrationClosed
	for _, a := range all.Accounts {
		if a.Usage != nil {
			body.Total.Bytes += a.Usage.Bytes
			body.Total.Pins += a.Usage.Pins
		}
	}
	return c.render("accounts.html", "Accounts", body)
}

func (u *UI) addAccount(c *call) error {
	form := accountForm{Email: c.field("email"), Admin: c.FormValue("admin") != "", limitsForm: c.limits()}
	quota, pins, err := form.parse()
	if err == nil {
		err = c.api(http.MethodPost, admin.AccountsPath, admin.NewAccount{
			Email: form.Email, Password: c.FormValue("password"), Admin: form.Admin, Quota: quota, MaxPins: pins,
		}, nil)
	}
	if err != nil {
		if err := c.problem(err); err != nil {
			return err
		}
		return u.showAccounts(c, accountsBody{New: form})
	}
	return c.done("account-added", accountsPath)
}

func (u *UI) invite(c *call) error {
	form := c.limits()
	quota, pins, err := form.parse()
	var made admin.CreatedInvite
	if err == nil {
		err = c.api(http.MethodPost, admin.InvitesPath, map[string]any{"quota": quota, "max_pins": pins}, &made)
	}
	if err != nil {
		if err := c.problem(err); err != nil {
			return err
		}
		return u.showAccounts(c, accountsBody{Invite: form})
	}
	link := joinPath + "?" + url.Values{"code": {made.Code}}.Encode()
	return u.showAccounts(c, accountsBody{Made: &madeInvite{made.Code, u.baseURL(c) + link}})
}

func (u *UI) revokeInvite(c *call) error {
	if err := c.api(http.MethodDelete, admin.InvitesPath+"/"+url.PathEscape(c.Param("id")), nil, nil); err != nil {
		return err
	}
	return c.done("invite-revoked", accountsPath)
}

// oneAccountBody is what the page of one account shows.
type oneAccountBody struct {
	Account admin.Account
	Typed   limitsForm
	Own     bool // it is that of the admin who looks
}

// Path is that of the account's page.
func (b oneAccountBody) Path() string { return accountsPath + "/" + url.PathEscape(b.Account.ID) }

// Limits are the fields of the form.
func (b oneAccountBody) Limits() limitFields { return b.Typed.Limits() }

// apiAccount is the path of the account in the operator's API.
func (c *call) apiAccount() string { return admin.AccountsPath + "/" + url.PathEscape(c.Param("id")) }

// account reads the account that the path of the page names.
func (c *call) account() (body oneAccountBody, err error) {
	var one struct{ Account admin.Account }
	if err := c.api(http.MethodGet, c.apiAccount(), nil, &one); err != nil {
		return body, err
	}
	body = oneAccountBody{Account: one.Account, Own: one.Account.ID == c.me.Account}
	if one.Account.Quota > 0 {
		body.Typed.Quota = exactSize(one.Account.Quota)
	}
	if one.Account.MaxPins > 0 {
		body.Typed.Pins = strconv.FormatUint(one.Account.MaxPins, 10)
	}
	return body, nil
}

// exactSize is a size that limitsForm reads as the same number.
func exactSize(n uint64) string {
	if s := humanize.IBytes(n); s != "" {
		if back, err := humanize.ParseBytes(s); err == nil && back == n {
			return s
		}
	}
	return strconv.FormatUint(n, 10) + " B"
}

func (u *UI) oneAccountPage(c *call) error {
	body, err := c.account()
	if err != nil {
		return err
	}
	return c.render("one_account.html", body.Account.Email, body)
}

// again shows the page of an account with what is wrong.
func (u *UI) again(c *call, err error, typed limitsForm) error {
	if err := c.problem(err); err != nil {
		return err
	}
	body, err := c.account()
	if err != nil {
		return err
	}
	if typed != (limitsForm{}) {
		body.Typed = typed
	}
	return c.render("one_account.html", body.Account.Email, body)
}

func (u *UI) setQuota(c *call) error {
	form := c.limits()
	quota, pins, err := form.parse()
	if err == nil {
		err = c.api(http.MethodPost, c.apiAccount()+"/quota", admin.NewQuota{Bytes: &quota, Pins: &pins}, nil)
	}
	if err != nil {
		return u.again(c, err, form)
	}
	return c.done("quota-set", accountsPath+"/"+url.PathEscape(c.Param("id")))
}

func (u *UI) setPassword(c *call) error {
	err := error(&auth.InvalidError{Field: "password", Msg: "was typed in two different ways; type the same twice"})
	if password := c.FormValue("password"); password == c.FormValue("again") {
		err = c.api(http.MethodPost, c.apiAccount()+"/password", admin.NewPassword{
			Password: password, OwnPassword: c.FormValue("own_password"), RevokeTokens: c.FormValue("tokens") != "",
		}, nil)
	}
	if err != nil {
		return u.again(c, err, limitsForm{})
	}
	return c.done("password-set", accountsPath+"/"+url.PathEscape(c.Param("id")))
}

// changeAccount does what has a button on the page of an account.
func (u *UI) changeAccount(c *call) error {
	yes, no := true, false
	var in any
	what := c.Param("what")
	switch what {
	case "disable", "enable":
	case "make-admin":
		what, in = "role", admin.NewRole{Admin: &yes}
	case "make-user":
		what, in = "role", admin.NewRole{Admin: &no}
	default:
		return errNoPage
	}
	if err := c.api(http.MethodPost, c.apiAccount()+"/"+what, in, nil); err != nil {
		return u.again(c, err, limitsForm{})
	}
	return c.done("account-changed", accountsPath+"/"+url.PathEscape(c.Param("id")))
}

func (u *UI) removeAccountPage(c *call) error {
	body, err := c.account()
	if err != nil {
		return err
	}
	if c.isPart() {
		return c.part("account_remove.html", "question", body)
	}
	return c.render("account_remove.html", "Remove an account", body)
}

func (u *UI) removeAccount(c *call) error {
	pins := c.FormValue("pins")
	if pins != "keep" && pins != "remove" {
		return &auth.InvalidError{Field: "pins", Msg: "must be keep or remove"}
	}
	if err := c.api(http.MethodDelete, c.apiAccount()+"?pins="+pins, nil, nil); err != nil {
		return err
	}
	return c.done("account-removed", accountsPath)
}

// joinForm is what the page for an invitation keeps of what was typed.
type joinForm struct{ Code, Email string }

// joinPage is where an invitation leads.
func (u *UI) joinPage(c *call) error {
	if c.me.Account != "" {
		return c.seeOther(pinsPath)
	}
	return c.render("join.html", "Make your account", joinForm{Code: c.QueryParam("code")})
}

func (u *UI) join(c *call) error {
	form := joinForm{Code: c.field("code"), Email: c.field("email")}
	password := c.FormValue("password")
	var pair auth.Pair
	err := error(&auth.InvalidError{Field: "password", Msg: "was typed in two different ways; type the same twice"})
	if password == c.FormValue("again") {
		pair, err = u.Auth.Register(c.ctx, auth.NewRegistration{Email: form.Email, Password: password, Invite: form.Code})
	}
	if err != nil {
		if err := c.problem(err); err != nil {
			return err
		}
		return c.render("join.html", "Make your account", form)
	}
	c.setCookie(pair.Access, u.SessionTTL)
	return c.seeOther(pinsPath)
}
