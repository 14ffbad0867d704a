package web

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/internal/text"
)

// connectBody is what the page with the tokens shows.
type connectBody struct {
	Name   string // as it was typed
	Scope  auth.Scope
	Days   string
	Scopes []scopeChoice
	Expiry []expiryChoice
	Tokens []auth.Token
	Made   *madeToken // nil: none was made just now
}

type scopeChoice struct {
	Scope auth.Scope
	Label string
}

type expiryChoice struct{ Days, Label string }

// madeToken is a new token. It is shown once.
type madeToken struct {
	Name, Secret string
	Lines        []codeLine
}

var scopeChoices = []scopeChoice{
	{auth.ScopePin, "pin: look, add, change and remove pins"},
	{auth.ScopeRead, "read: only look"},
	{auth.ScopeAdmin, "admin: whatever this account may, as when you sign in"},
}

var expiryChoices = []expiryChoice{{"", "never, until it is revoked"}, {"7", "in a week"}, {"30", "in 30 days"}, {"365", "in a year"}}

func (u *UI) connectPage(c *call) error {
	return u.showTokens(c, connectBody{Scope: auth.ScopePin})
}

func (u *UI) showTokens(c *call, body connectBody) error {
	tokens, err := u.tokens(c, auth.Device)
	if err != nil {
		return err
	}
	body.Tokens, body.Scopes, body.Expiry = tokens, scopeChoices, expiryChoices
	return c.render("connect.html", "Connect", body)
}

// tokens lists the account's tokens of a kind, the newest first, and those that cannot be read
// among the device tokens.
func (u *UI) tokens(c *call, kind auth.Kind) ([]auth.Token, error) {
	all, err := u.Auth.ListTokens(c.ctx, c.me.Account)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(t auth.Token) bool { return t.Kind != kind && (!t.Damaged || kind != auth.Device) })
	slices.Reverse(all)
	return all, nil
}

func (u *UI) makeToken(c *call) error {
	body := connectBody{Name: c.field("name"), Scope: auth.Scope(c.FormValue("scope")), Days: c.FormValue("days")}
	days, err := strconv.Atoi(body.Days)
	if body.Days == "" {
		days, err = 0, nil
	}
	if err != nil || days < 0 || days > 36500 {
		err = &auth.InvalidError{Field: "days", Msg: "must be a number of days"}
	}
	var raw string
	if err == nil {
		_, raw, err = u.Auth.AddDevice(c.ctx, c.me.Account, auth.NewDevice{
			Name: body.Name, Scope: body.Scope, TTL: time.Duration(days) * 24 * time.Hour,
		})
	}
	if err != nil {
		if err := c.problem(err); err != nil {
			return err
		}
		return u.showTokens(c, body)
	}
	made := &madeToken{Name: body.Name, Secret: raw, Lines: u.tokenLines(c, body.Scope, raw)}
	return u.showTokens(c, connectBody{Scope: auth.ScopePin, Made: made})
}

// tokenLines are what to do with a new token, ready to be copied.
func (u *UI) tokenLines(c *call, scope auth.Scope, raw string) (lines []codeLine) {
	base := u.baseURL(c)
	if base == "" {
		return nil
	}
	service := base + "/api/psa/"
	if scope.Includes(auth.ScopePin) {
		lines = append(lines,
			codeLine{"line-kubo", "Kubo: add this server as a pinning service", fmt.Sprintf("ipfs pin remote service add holdfast %s %s", service, raw)},
			codeLine{"line-kubo-pin", "Kubo: from then on pin with it, with a name and a CID of yours in place of NAME and CID", "ipfs pin remote add --service=holdfast --name=NAME CID"})
	}
	lines = append(lines,
		codeLine{"line-curl", "curl: list what is pinned", fmt.Sprintf("curl -H 'Authorization: Bearer %s' '%spins?status=pinned'", raw, service)},
		codeLine{"line-js", "JavaScript", fmt.Sprintf(
			"const answer = await fetch('%spins', {\n  method: 'POST',\n  headers: { Authorization: 'Bearer %s', 'Content-Type': 'application/json' },\n  body: JSON.stringify({ cid: 'CID', name: 'NAME' }),\n});\nconsole.log(await answer.json());", service, raw)},
	)
	if !scope.Includes(auth.ScopePin) { // they are the curl line and this one
		lines[1].Text = fmt.Sprintf("const answer = await fetch('%spins?status=pinned', {\n  headers: { Authorization: 'Bearer %s' },\n});\nconsole.log(await answer.json());", service, raw)
	}
	if at := multiaddrOf(base); at != "" {
		lines = append(lines, codeLine{"line-rpc", "Kubo’s commands, on this server", fmt.Sprintf("ipfs --api %s --api-auth bearer:%s cat CID", text.ShellQuote(at), raw)})
	}
	return lines
}

// baseURL is the server's URL for this browser, without a slash at its end; "" if it is not known.
func (u *UI) baseURL(c *call) string {
	if u.PublicURL != "" {
		return strings.TrimSuffix(u.PublicURL, "/")
	}
	// The host becomes a part of command lines for a shell.
	host := c.Request().Host
	if host == "" || strings.Trim(strings.ToLower(host), "abcdefghijklmnopqrstuvwxyz0123456789-.:[]") != "" {
		return ""
	}
	if c.secure() {
		return "https://" + host
	}
	return "http://" + host
}

// multiaddrOf is how Kubo's command line writes the address of a server; "" if it has a path.
func multiaddrOf(base string) string {
	at, err := url.Parse(base)
	if err != nil || strings.Trim(at.Path, "/") != "" {
		return ""
	}
	port := at.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[at.Scheme]
	}
	kind := "dns"
	switch host := at.Hostname(); {
	case strings.Contains(host, ":"):
		kind = "ip6"
	case strings.Trim(host, "0123456789.") == "":
		kind = "ip4"
	}
	m := "/" + kind + "/" + at.Hostname() + "/tcp/" + port
	if at.Scheme == "https" {
		m += "/https"
	} else {
		m += "/http"
	}
	return m
}

// revokeForm asks before a token is revoked.
type revokeForm struct {
	Token   auth.Token
	Session bool
	Back    string
}

// ownToken finds a token of the account.
func (u *UI) ownToken(c *call) (auth.Token, error) {
	all, err := u.Auth.ListTokens(c.ctx, c.me.Account)
	if err != nil {
		return auth.Token{}, err
	}
	for _, t := range all {
		if t.ID == c.Param("id") {
			return t, nil
		}
	}
	return auth.Token{}, auth.ErrNoToken
}

func (u *UI) revokePage(c *call) error {
	t, err := u.ownToken(c)
	if err != nil {
		return err
	}
	form := revokeForm{Token: t, Session: t.Kind == auth.Session, Back: connectPath}
	if form.Session {
		form.Back = accountPath
	}
	if c.isPart() {
		return c.part("revoke.html", "question", form)
	}
	return c.render("revoke.html", "Revoke", form)
}

func (u *UI) revoke(c *call) error {
	t, err := u.Auth.RevokeTokenOf(c.ctx, c.me.Account, c.Param("id"))
	switch {
	case err != nil:
		return err
	case t.ID == c.me.TokenID:
		c.clearCookie()
		return c.seeOther(signInPath)
	case t.Kind == auth.Session:
		return c.done("session-ended", accountPath)
	}
	return c.done("revoked", connectPath)
}
