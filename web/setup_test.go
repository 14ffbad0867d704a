package web

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

const setupCode = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

func TestSetupLink(t *testing.T) {
	r := newEmptyRig(t, func(c *Config) { c.SetupCode = setupCode })
	b := r.browser()
	b.get("/ui/setup?code=WRONG").must(t, http.StatusGone, "newest one is in the server")
	b.get("/ui/setup").must(t, http.StatusGone)
	b.get(SetupPath(setupCode)).must(t, http.StatusOK, `name="again"`)
	form := func(email, one, two string) url.Values {
		return url.Values{"code": {setupCode}, "email": {email}, "password": {one}, "again": {two}}
	}
	b.post("/ui/setup", form(anna, password, "another")).must(t, http.StatusBadRequest, "two different ways", `value="`+anna+`"`)
	b.post("/ui/setup", form("nobody", password, password)).must(t, http.StatusBadRequest, `value="nobody"`)
	b.post("/ui/setup", form(anna, "short", "short")).must(t, http.StatusBadRequest, `value="`+anna+`"`)
	wrong := form(anna, password, password)
	wrong.Set("code", "WRONG")
	b.post("/ui/setup", wrong).must(t, http.StatusGone)

	// Of several who have the link at once, one makes the account.
	var made atomic.Int32
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() {
			if a := r.browser().post("/ui/setup", form(anna, password, password)); a.status == http.StatusSeeOther && a.to() == "/ui/pins" {
				made.Add(1)
			}
		})
	}
	all.Wait()
	if made.Load() != 1 {
		t.Fatalf("%d of five made the account", made.Load())
	}
	accounts, err := r.auth.ListAccounts(t.Context())
	if err != nil || len(accounts) != 1 || !accounts[0].Admin {
		t.Fatalf("the accounts are %+v, %v", accounts, err)
	}
	r.as(anna).get("/ui/pins").must(t, http.StatusOK)
	b.get(SetupPath(setupCode)).must(t, http.StatusGone)
	if strings.Contains(r.lines.String(), password) {
		t.Error("the log has the password")
	}
}

// The link is worth nothing once somebody has made an account by other means.
func TestSetupLinkAfterAnAccount(t *testing.T) {
	r := newRig(t, func(c *Config) { c.SetupCode = setupCode })
	r.browser().get(SetupPath(setupCode)).must(t, http.StatusGone)
	r.browser().post("/ui/setup", url.Values{"code": {setupCode}, "email": {"new@example.org"}, "password": {password}, "again": {password}}).must(t, http.StatusGone)
}
