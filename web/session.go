package web

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/holdfast-ipfs/holdfast/auth"
)

// cookieName is the cookie with the access token of the session. Over TLS its name begins with
// hostPrefix: then browsers take it from this host alone, not from pages of a host beside it.
const (
	cookieName = "holdfast-session"
	hostPrefix = "__Host-"
)

// sessionCookie gives the name of the cookie, and its path, which the prefix needs to be "/".
func (c *call) sessionCookie() (name, path string) {
	if c.secure() {
		return hostPrefix + cookieName, "/"
	}
	return cookieName, Base
}

var (
	errSignedOut = fmt.Errorf("%w: sign in first", auth.ErrUnauthorized)
	// errSessionOver: the cookie has a token that does not count any more.
	errSessionOver = fmt.Errorf("%w: the session is over; sign in again", auth.ErrUnauthorized)
)

// crossOrigin refuses what pages of other origins ask to change. Behind a proxy that changes
// the Host header only public knows which origin is the server's own.
func crossOrigin(public string) (*http.CrossOriginProtection, error) {
	guard := http.NewCrossOriginProtection()
	if public == "" {
		return guard, nil
	}
	u, err := url.Parse(public)
	if err != nil {
		return nil, fmt.Errorf("read the public URL: %w", err)
	}
	if err := guard.AddTrustedOrigin(u.Scheme + "://" + u.Host); err != nil {
		return nil, fmt.Errorf("trust the public URL: %w", err)
	}
	return guard, nil
}

// secure reports whether the browser speaks TLS, to this server or to a proxy. A client that
// says so without a reason only keeps its own cookie from itself.
func (c *call) secure() bool {
	r := c.Request()
	if r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https") {
		return true
	}
	u, err := url.Parse(c.ui.PublicURL)
	return err == nil && u.Scheme == "https" && strings.EqualFold(u.Host, r.Host)
}

func (c *call) cookie() string {
	name, _ := c.sessionCookie()
	k, err := c.Cookie(name)
	if err != nil {
		return ""
	}
	return k.Value
}

func (c *call) setCookie(value string, ttl time.Duration) {
	name, path := c.sessionCookie()
	c.SetCookie(&http.Cookie{
		Name: name, Value: value, Path: path, MaxAge: int(ttl / time.Second),
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: c.secure(),
	})
}

func (c *call) clearCookie() { c.setCookie("", -time.Second) }

// signInForm is what the page of the sign-in keeps of what was typed.
type signInForm struct{ Email, Next string }

// ownPath gives a path of the dashboard to go to after the sign-in. Anything else, such as an
// address of another host, becomes the list of pins.
func ownPath(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || !strings.HasPrefix(u.Path, Base+"/") ||
		strings.ContainsAny(next, "\\\r\n") || strings.HasPrefix(u.Path, signInPath) || strings.Contains(u.Path, "..") {
		return pinsPath
	}
	return (&url.URL{Path: u.Path, RawQuery: u.RawQuery}).String()
}

func (u *UI) signInPage(c *call) error {
	next := ownPath(c.QueryParam("next"))
	if c.me.Account != "" {
		return c.seeOther(next)
	}
	return c.render("signin.html", "Sign in", signInForm{Next: next})
}

func (u *UI) signIn(c *call) error {
	form := signInForm{Email: c.field("email"), Next: ownPath(c.FormValue("next"))}
	pair, err := u.Auth.Login(c.ctx, form.Email, c.FormValue("password"))
	if err != nil {
		if err := c.problem(err); err != nil {
			return err
		}
		return c.render("signin.html", "Sign in", form)
	}
	c.setCookie(pair.Access, u.SessionTTL)
	return c.seeOther(form.Next)
}

// signOut ends the session of the cookie, and no token of another kind: a device token that
// somebody put into the cookie stays.
func (u *UI) signOut(c *call) error {
	c.clearCookie()
	if c.me.Kind == auth.Session {
		if err := u.Auth.Logout(auth.WithPrincipal(c.ctx, c.me), c.me); err != nil && !errors.Is(err, auth.ErrNoToken) {
			return err
		}
	}
	return c.seeOther(signInPath)
}
