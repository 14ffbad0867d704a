package web

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/internal/faults"
)

// policy is the Content-Security-Policy of every page. Nothing inline runs or styles, and
// nothing comes from elsewhere.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// maxForm is how many bytes the form of a page may have. Forms are read before it is known who sends
// them.
const maxForm = 1 << 20

// call is one request for a page, and who made it.
type call struct {
	echo.Context
	ui     *UI
	ctx    context.Context // ends with the session, or when the client is gone
	conn   context.Context // ends only when the client is gone
	me     auth.Principal  // zero on pages that need no session
	token  string          // the session's access token; it never goes into a page
	status int             // of what render sends
	said   string          // what is wrong with a form, for its page
}

// serve wraps a handler: who may call it, and what becomes of its errors.
func (u *UI) serve(r route) echo.HandlerFunc {
	return func(ec echo.Context) (err error) {
		req := ec.Request()
		h := ec.Response().Header()
		h.Set("Content-Security-Policy", policy)
		// With no referrer at all browsers send "Origin: null" with a form, and over plain HTTP
		// nothing else says where it came from.
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set(echo.HeaderCacheControl, "no-store") // pages are for this person, and only now
		if !r.upload {
			req.Body = http.MaxBytesReader(ec.Response(), req.Body, maxForm)
		}
		c := &call{Context: ec, ui: u, conn: req.Context(), status: http.StatusOK}
		c.ctx = auth.WithAddress(c.conn, ec.RealIP())
		defer func() {
			if p := faults.Recovered(recover()); p != nil {
				err = p
			}
			if err != nil {
				err = c.fail(err)
			}
		}()
		if err := u.guard.Check(req); err != nil {
			return errCrossOrigin
		}
		if r.open {
			c.known()
			return r.handler(u, c)
		}
		done, err := c.authenticate()
		if err != nil {
			return err
		}
		defer done()
		if err := c.allowed(r); err != nil {
			u.Auth.CountRefusal(err)
			return err
		}
		return r.handler(u, c)
	}
}

// allowed reports whether a session is good for a route.
func (c *call) allowed(r route) error {
	if r.admin {
		if err := c.me.RequireAdmin(); err != nil {
			return err
		}
	}
	if err := c.me.Require(r.scope); err != nil {
		return err
	}
	if r.changes {
		return c.ui.Auth.TakeChange(c.me.Account)
	}
	return nil
}

// authenticate finds the session of the cookie. The caller calls done after the request.
func (c *call) authenticate() (done func(), err error) {
	raw := c.cookie()
	if raw == "" {
		return nil, errSignedOut
	}
	ctx, p, done, err := c.ui.Auth.Admit(c.ctx, raw)
	if err != nil {
		c.ui.Auth.CountRefusal(err)
		if errors.Is(err, auth.ErrUnauthorized) {
			c.clearCookie()
			return nil, errSessionOver
		}
		return nil, err
	}
	c.me, c.token, c.ctx = p, raw, auth.WithPrincipal(ctx, p)
	return done, nil
}

// known notes whose session it is, if there is one, on a page that needs none.
func (c *call) known() {
	if raw := c.cookie(); raw != "" {
		if p, err := c.ui.Auth.Verify(c.ctx, raw); err == nil {
			c.me, c.token = p, raw
		}
	}
}

// isPart reports whether htmx asks for a part of a page.
func (c *call) isPart() bool { return c.Request().Header.Get("HX-Request") == "true" }

// page is what every template gets. Body is the page's own.
type page struct {
	Title  string
	Path   string // of the request
	Me     auth.Principal
	Menu   []menuItem
	Notice string // of what was just done; "" is none
	Error  string // what is wrong with what was asked; "" is nothing
	// Leaving are removals that can still be undone.
	Leaving []leaving
	Body    any
}

// May reports whether the session may do what needs a scope: "read", "pin" or "admin".
func (p page) May(scope auth.Scope) bool { return p.Me.Require(scope) == nil }

// At reports whether the page is the one of the menu, or below it.
func (p page) At(path string) bool { return p.Path == path || strings.HasPrefix(p.Path, path+"/") }

// render sends a page.
func (c *call) render(name, title string, body any) error {
	p := page{Title: title, Path: c.Request().URL.Path, Me: c.me, Error: c.said, Body: body, Notice: c.notice()}
	for _, m := range slices.Concat(menu, adminMenu) {
		if c.me.Require(m.scope) == nil && (!m.admin || c.me.RequireAdmin() == nil) {
			p.Menu = append(p.Menu, m)
		}
	}
	if c.me.Account != "" {
		p.Leaving = c.ui.removed.of(c.me.Account)
	}
	return c.send(name, "layout", p)
}

// part sends one part of a template alone, for htmx.
func (c *call) part(name, define string, body any) error {
	return c.send(name, define, page{Path: c.Request().URL.Path, Me: c.me, Error: c.said, Body: body})
}

func (c *call) send(name, define string, p page) error {
	var buf bytes.Buffer
	if err := c.ui.pages.execute(&buf, name, define, p); err != nil {
		return err
	}
	c.Response().Header().Add(echo.HeaderVary, "HX-Request")
	return c.HTMLBlob(c.status, buf.Bytes())
}

// problem makes the page that is rendered next say what is wrong, under the status of the
// error. It returns an error that is not for people: that one ends the request.
func (c *call) problem(err error) error {
	f := failureOf(c.conn, c.ctx, err)
	if f == nil || f.status >= 500 && f.status != http.StatusInsufficientStorage && f.status != http.StatusServiceUnavailable {
		return err
	}
	c.status, c.said = f.status, f.text
	return nil
}

// seeOther ends a change: the browser gets another page.
func (c *call) seeOther(path string) error {
	if c.isPart() {
		c.Response().Header().Set("HX-Redirect", path)
		return c.NoContent(http.StatusNoContent)
	}
	return c.Redirect(http.StatusSeeOther, path)
}

// Notices live in a cookie until the page that shows them.
const noticeCookie = "holdfast-notice"

// notices are the sentences that a change may leave for the next page. The cookie has only
// which: nobody can make a page say something else.
var notices = map[string]string{
	"added":           "The pin is asked for. It is fetched now.",
	"uploaded":        "It is uploaded and pinned.",
	"changed":         "The pin is changed. It has a new ID.",
	"undone":          "Nothing was removed.",
	"retried":         "What had failed is tried again.",
	"nothing-failed":  "Nothing of this has failed, so there is nothing to try again.",
	"revoked":         "The token is revoked. Whatever used it cannot do so any more.",
	"password":        "The password is changed, and every other session is ended.",
	"session-ended":   "The session is ended.",
	"account-added":   "The account is made.",
	"account-changed": "The account is changed.",
	"account-removed": "The account is removed.",
	"quota-set":       "The limits are set.",
	"password-set":    "The account has the new password, and its sessions are ended.",
	"invite-revoked":  "The invitation is revoked.",
	"run-begun":       "It is begun.",
	"run-ended":       "It is asked to stop.",
}

// done ends a change with a notice on the next page.
func (c *call) done(notice, path string) error {
	c.SetCookie(&http.Cookie{Name: noticeCookie, Value: notice, Path: Base, MaxAge: 60, HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: c.secure()})
	return c.seeOther(path)
}

// notice takes the notice that a change left.
func (c *call) notice() string {
	k, err := c.Cookie(noticeCookie)
	if err != nil {
		return ""
	}
	c.SetCookie(&http.Cookie{Name: noticeCookie, Path: Base, MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: c.secure()})
	return notices[k.Value]
}

// field is a value of a form or of the query, without white space around it.
func (c *call) field(name string) string { return strings.TrimSpace(c.FormValue(name)) }

// now is the time by the clock of the pages.
func (c *call) now() time.Time { return c.ui.now() }
