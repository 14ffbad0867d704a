package web

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/holdfast-ipfs/holdfast/auth"
)

func TestConnect(t *testing.T) {
	r := newRig(t)
	b := r.as(ben)
	b.get("/ui/connect").must(t, http.StatusOK, "There is none yet")
	b.post("/ui/connect", url.Values{"name": {""}, "scope": {"pin"}}).must(t, http.StatusBadRequest, "name the program")
	b.post("/ui/connect", url.Values{"name": {"typed"}, "scope": {"root"}}).must(t, http.StatusBadRequest, `value="typed"`)
	a := b.post("/ui/connect", url.Values{"name": {"<my> kubo"}, "scope": {"pin"}, "days": {"30"}}, "Host", "pins.example.com:5050").must(t, http.StatusOK,
		"&lt;my&gt; kubo", "ipfs pin remote service add holdfast http://pins.example.com:5050/api/psa/ ", "curl -H", "await fetch",
		"ipfs --api /dns/pins.example.com/tcp/5050/http --api-auth bearer:")
	raw := regexp.MustCompile(`service add holdfast http://[^ ]+ ([A-Za-z0-9_.-]+)`).FindStringSubmatch(a.body)[1]
	p, err := r.auth.Verify(t.Context(), raw)
	if err != nil || p.Scope != auth.ScopePin || p.Account != r.ids[ben] {
		t.Fatalf("the token is for %+v, %v", p, err)
	}
	list := b.get("/ui/connect").must(t, http.StatusOK, "&lt;my&gt; kubo", "Revoke")
	if strings.Contains(list.body, raw) {
		t.Error("the token is shown again")
	}
	path := "/ui/tokens/" + p.TokenID + "/revoke"
	b.get(path).must(t, http.StatusOK, "Revoke “&lt;my&gt; kubo”?")
	if a := b.post(path, nil); a.to() != "/ui/connect" {
		t.Errorf("it leads to %s", a.to())
	}
	if _, err := r.auth.Verify(t.Context(), raw); err == nil {
		t.Error("the token still counts")
	}
	// A host that a shell would read otherwise is in no command line.
	a = b.post("/ui/connect", url.Values{"name": {"x"}, "scope": {"read"}}, "Host", "a$(id)b")
	if strings.Contains(a.body, "$(id)") {
		t.Error("a command line has the host as it came")
	}
}

func TestAddressesForKubo(t *testing.T) {
	for base, want := range map[string]string{
		"http://127.0.0.1:5050":         "/ip4/127.0.0.1/tcp/5050/http",
		"https://pins.example.com":      "/dns/pins.example.com/tcp/443/https",
		"http://[::1]:5050":             "/ip6/::1/tcp/5050/http",
		"https://example.com/holdfast":  "",
		"http://pins.example.com:8080/": "/dns/pins.example.com/tcp/8080/http",
	} {
		if got := multiaddrOf(base); got != want {
			t.Errorf("%s is %q, want %q", base, got, want)
		}
	}
}

func TestAccount(t *testing.T) {
	r := newRig(t)
	quota, pins := uint64(6<<20), uint64(10)
	if _, err := r.auth.SetQuota(t.Context(), r.ids[ben], auth.NewQuota{Bytes: &quota, Pins: &pins}); err != nil {
		t.Fatal(err)
	}
	r.pinned(ben, site(r), "site")
	b, other := r.as(ben), r.as(ben)
	b.get("/ui/account").must(t, http.StatusOK, "3.0 MiB of 6.0 MiB", `value="50"`, "1 of 10", "this one", "127.0.0.1")
	const next = "another good password"
	form := func(present, one, two string) url.Values {
		return url.Values{"password": {present}, "new_password": {one}, "again": {two}}
	}
	b.post("/ui/account/password", form("wrong", next, next)).must(t, http.StatusBadRequest, "is not the present one", `role="alert"`)
	b.post("/ui/account/password", form(password, next, "x")).must(t, http.StatusBadRequest, "two different ways")
	b.post("/ui/account/password", form(password, "short", "short")).must(t, http.StatusBadRequest, "new_password")
	b.post("/ui/account/password", form(password, next, next)).must(t, http.StatusSeeOther)
	b.get("/ui/account").must(t, http.StatusOK, "The password is changed")
	other.get("/ui/account").must(t, http.StatusSeeOther)

	third := r.browser()
	third.post("/ui/signin", url.Values{"email": {ben}, "password": {next}}).must(t, http.StatusSeeOther)
	p, err := r.auth.Verify(t.Context(), third.session())
	if err != nil {
		t.Fatal(err)
	}
	if a := b.post("/ui/tokens/"+p.TokenID+"/revoke", nil); a.to() != "/ui/account" {
		t.Errorf("it leads to %s", a.to())
	}
	third.get("/ui/pins").must(t, http.StatusSeeOther)
	b.get("/ui/account").must(t, http.StatusOK, "The session is ended")
	if a := b.post("/ui/account/signout-all", nil); a.to() != "/ui/signin" {
		t.Errorf("it leads to %s", a.to())
	}
	b.get("/ui/account").must(t, http.StatusSeeOther)
}
