package web

import (
	"github.com/holdfast-ipfs/holdfast/auth"
)

// accountBody is what the page of the account shows.
type accountBody struct {
	Account  auth.Account
	Usage    *auth.Usage // nil: it is not known
	Sessions []auth.Token
	Current  string // the ID of this session
}

func (u *UI) accountPage(c *call) error {
	a, err := u.Auth.AccountByID(c.ctx, c.me.Account)
	if err != nil {
		return err
	}
	body := accountBody{Account: a, Current: c.me.TokenID}
	if body.Usage, err = u.Auth.UsageOf(c.ctx, a.ID); err != nil {
		return err
	}
	if c.me.Require(auth.ScopeAdmin) == nil {
		if body.Sessions, err = u.tokens(c, auth.Session); err != nil {
			return err
		}
	}
	return c.render("account.html", "Account", body)
}

// newPassword changes the password. That ends every session, so this browser gets a new one.
func (u *UI) newPassword(c *call) error {
	password := c.FormValue("new_password")
	err := error(&auth.InvalidError{Field: "new_password", Msg: "was typed in two different ways; type the same twice"})
	if password == c.FormValue("again") {
		_, err = u.Auth.ChangePassword(c.ctx, c.me.Account, c.FormValue("password"), password, c.FormValue("tokens") != "")
	}
	if err != nil {
		if err := c.problem(err); err != nil {
			return err
		}
		return u.accountPage(c)
	}
	// The session of this request is over, and so is its context.
	pair, err := u.Auth.Login(auth.WithAddress(c.conn, c.RealIP()), c.me.Email, password)
	if err != nil {
		c.clearCookie()
		return c.seeOther(signInPath)
	}
	c.setCookie(pair.Access, u.SessionTTL)
	return c.done("password", accountPath)
}

// signOutAll ends every session of the account, this one too.
func (u *UI) signOutAll(c *call) error {
	if _, err := u.Auth.LogoutAll(c.ctx, c.me.Account); err != nil {
		return err
	}
	c.clearCookie()
	return c.seeOther(signInPath)
}
