package web

import (
	"crypto/subtle"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/holdfast-ipfs/holdfast/auth"
)

// setup makes the first account, for who has the link in the log.
type setup struct {
	mu   sync.Mutex // held while an account is made, so that there is one
	code string     // "" once it was used, or if there is none
}

// SetupPath is the path of the link by which the first account is made.
func SetupPath(code string) string { return setupPath + "?code=" + code }

// errSetupOver: the link was used, or is of an earlier start, or there is an account.
var errSetupOver = &failure{http.StatusGone, "this link does not work any more: it works once, until the first account is there or the server " +
	"starts again; the newest one is in the server's log"}

// setupForm is what the page keeps of what was typed.
type setupForm struct{ Code, Email string }

// good checks the code, under the lock.
func (s *setup) good(code string) error {
	if s.code == "" || subtle.ConstantTimeCompare([]byte(strings.ToUpper(code)), []byte(s.code)) != 1 {
		return errSetupOver
	}
	return nil
}

// setupOpen checks the code, and that there is no account of a person yet. The caller holds the lock.
func (u *UI) setupOpen(c *call, code string) error {
	if err := u.setup.good(code); err != nil {
		return err
	}
	all, err := u.Auth.ListAccounts(c.ctx)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(all, func(a auth.Account) bool { return a.Email != u.ServiceAccount }) {
		u.setup.code = ""
		return errSetupOver
	}
	return nil
}

func (u *UI) setupPage(c *call) error {
	code := c.QueryParam("code")
	u.setup.mu.Lock()
	defer u.setup.mu.Unlock()
	if err := u.setupOpen(c, code); err != nil {
		return err
	}
	return c.render("setup.html", "Set up", setupForm{Code: code})
}

func (u *UI) setUp(c *call) error {
	form := setupForm{Code: c.FormValue("code"), Email: c.field("email")}
	u.setup.mu.Lock()
	defer u.setup.mu.Unlock()
	if err := u.setupOpen(c, form.Code); err != nil {
		return err
	}
	password := c.FormValue("password")
	var err error
	if password != c.FormValue("again") {
		err = &auth.InvalidError{Field: "password", Msg: "was typed in two different ways; type the same twice"}
	} else {
		_, err = u.Auth.AddAccount(c.ctx, auth.NewAccount{Email: form.Email, Password: password, Admin: true})
	}
	if err != nil && !errors.Is(err, auth.ErrInDoubt) {
		if err := c.problem(err); err != nil {
			return err
		}
		return c.render("setup.html", "Set up", form)
	}
	u.setup.code = ""
	pair, err := u.Auth.Login(c.ctx, form.Email, password)
	if err != nil {
		return err
	}
	c.setCookie(pair.Access, u.SessionTTL)
	return c.seeOther(pinsPath)
}
