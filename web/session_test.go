package web

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/holdfast-ipfs/holdfast/auth"
)

func TestSignIn(t *testing.T) {
	r := newRig(t)
	b := r.browser()
	if a := b.get("/ui/pins?status=failed"); a.status != http.StatusSeeOther || a.to() != "/ui/signin?next="+url.QueryEscape("/ui/pins?status=failed") {
		t.Fatalf("without a session it answers %d %s", a.status, a.to())
	}
	b.get("/ui/signin?next=/ui/pins").must(t, http.StatusOK, `name="email"`, `autocomplete="current-password"`)
	// A wrong password keeps what was typed, apart from the password.
	a := b.post("/ui/signin", url.Values{"email": {ben}, "password": {"wrong"}, "next": {"/ui/pins?status=failed"}})
	a.must(t, http.StatusUnauthorized, `value="`+ben+`"`, `value="/ui/pins?status=failed"`, auth.ErrBadCredentials.Error(), `role="alert"`)
	if strings.Contains(a.body, "wrong\"") {
		t.Error("the page has the password that was typed")
	}
	a = b.post("/ui/signin", url.Values{"email": {ben}, "password": {password}, "next": {"/ui/pins?status=failed"}})
	if a.status != http.StatusSeeOther || a.to() != "/ui/pins?status=failed" {
		t.Fatalf("sign in answers %d %s", a.status, a.to())
	}
	cookie := a.header.Get("Set-Cookie")
	for _, part := range []string{"HttpOnly", "SameSite=Lax", "Path=/ui", "Max-Age=3600"} {
		if !strings.Contains(cookie, part) {
			t.Errorf("the cookie %q has no %s", cookie, part)
		}
	}
	if strings.Contains(cookie, "Secure") {
		t.Errorf("the cookie of plain HTTP would not be sent back: %q", cookie)
	}
	page := b.get("/ui/pins").must(t, http.StatusOK, ben)
	if strings.Contains(page.body, b.session()) {
		t.Error("the page has the token of the session")
	}
	// The session is listed like any other.
	all, err := r.auth.ListTokens(t.Context(), r.ids[ben])
	if err != nil || len(all) != 1 || all[0].Kind != auth.Session || all[0].Address != "127.0.0.1" {
		t.Errorf("the tokens are %+v, %v", all, err)
	}
}

// The cookie goes by TLS alone, if the browser speaks TLS to the server or to a proxy.
func TestCookieIsSecure(t *testing.T) {
	for name, tt := range map[string]struct {
		public string
		header []string
		want   bool
	}{
		"plain":                        {"", nil, false},
		"a proxy says so":              {"", []string{"X-Forwarded-Proto", "https"}, true},
		"the public URL":               {"https://pins.example.com", []string{"Host", "pins.example.com"}, true},
		"the public URL, and by an IP": {"https://pins.example.com", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.PublicURL = tt.public })
			a := r.browser().post("/ui/signin", url.Values{"email": {ben}, "password": {password}}, tt.header...)
			if got := strings.Contains(a.header.Get("Set-Cookie"), "; Secure"); a.status != http.StatusSeeOther || got != tt.want {
				t.Errorf("it answers %d, %q", a.status, a.header.Get("Set-Cookie"))
			}
			// Over TLS no host beside this one can set it.
			if got := strings.HasPrefix(a.header.Get("Set-Cookie"), hostPrefix+cookieName+"="); got != tt.want {
				t.Errorf("the cookie is %q", a.header.Get("Set-Cookie"))
			}
		})
	}
}

// Over TLS a cookie that another host of the domain could have set is none.
func TestCookieOfAnotherHost(t *testing.T) {
	r := newRig(t)
	b := r.as(ben)
	b.get("/ui/pins").must(t, http.StatusOK)
	if a := b.get("/ui/pins", "X-Forwarded-Proto", "https"); a.status != http.StatusSeeOther || !strings.HasPrefix(a.to(), signInPath) {
		t.Errorf("it answers %d, to %s", a.status, a.to())
	}
}

// A form that is too large is not read to its end, by whomever it is sent.
func TestLargeForms(t *testing.T) {
	r := newRig(t)
	for _, path := range []string{"/ui/signin", "/ui/setup", "/ui/join"} {
		sent := &countedReader{}
		sent.left.Store(16 << 20)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.server.URL+path,
			io.MultiReader(strings.NewReader("--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\n"), sent))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "multipart/form-data; boundary=x")
		res, err := http.DefaultClient.Do(req)
		if err == nil {
			res.Body.Close()
			if res.StatusCode < 400 {
				t.Errorf("%s answers %d", path, res.StatusCode)
			}
		}
		if left := sent.left.Load(); left < 8<<20 {
			t.Errorf("%s: %d bytes were left", path, left)
		}
	}
}

// countedReader gives so many bytes. The client may still read it when it has the answer.
type countedReader struct{ left atomic.Int64 }

func (c *countedReader) Read(b []byte) (int, error) {
	n := min(int64(len(b)), c.left.Load())
	if n == 0 {
		return 0, io.EOF
	}
	c.left.Add(-n)
	return int(n), nil
}

// What a page leads to after the sign-in is always a page of this server.
func TestNextIsOurOwn(t *testing.T) {
	for next, want := range map[string]string{
		"/ui/pins?status=failed":   "/ui/pins?status=failed",
		"/ui/account":              "/ui/account",
		"":                         "/ui/pins",
		"https://evil.example.com": "/ui/pins",
		"//evil.example.com/ui/":   "/ui/pins",
		"/\\evil.example.com/ui/":  "/ui/pins",
		"/ui/\\evil.example.com":   "/ui/pins",
		"/ui/../api/auth/me":       "/ui/pins",
		"/ui/signin":               "/ui/pins",
		"javascript:alert(1)":      "/ui/pins",
		"/ui/x\r\nSet-Cookie: a=b": "/ui/pins",
	} {
		if got := ownPath(next); got != want {
			t.Errorf("%q leads to %q, want %q", next, got, want)
		}
	}
}

// A session ends as all do, and then its cookie is worth nothing.
func TestSessionEnds(t *testing.T) {
	r := newRig(t)
	for name, end := range map[string]func(t *testing.T, b *browser){
		"signed out": func(t *testing.T, b *browser) {
			if a := b.post("/ui/signout", nil); a.to() != "/ui/signin" {
				t.Errorf("it leads to %s", a.to())
			}
		},
		"logged out everywhere": func(t *testing.T, _ *browser) {
			if _, err := r.auth.LogoutAll(t.Context(), r.ids[ben]); err != nil {
				t.Error(err)
			}
		},
		"a new password": func(t *testing.T, _ *browser) {
			if _, err := r.auth.SetPassword(t.Context(), r.ids[ben], password, false); err != nil {
				t.Error(err)
			}
		},
		"disabled": func(t *testing.T, _ *browser) {
			if _, err := r.auth.Disable(t.Context(), r.ids[ben]); err != nil {
				t.Error(err)
			}
			if _, err := r.auth.Enable(t.Context(), r.ids[ben]); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := r.as(ben)
			stolen := r.withToken(b.session())
			stolen.get("/ui/pins").must(t, http.StatusOK)
			live := stolen.open("/ui/pins/live")
			defer live.Close()
			end(t, b)
			// A page that is open hears of it, so that it does not open its stream again.
			if said, err := io.ReadAll(live); err != nil || !strings.Contains(string(said), "event: over\ndata: "+errSessionOver.Error()) {
				t.Errorf("the open stream ends with %q, %v", said, err)
			}
			for who, b := range map[string]*browser{"the browser": b, "who stole the cookie": stolen} {
				if a := b.get("/ui/pins"); a.status != http.StatusSeeOther || !strings.HasPrefix(a.to(), "/ui/signin") {
					t.Errorf("%s gets %d %s", who, a.status, a.to())
				}
			}
			if a := stolen.get("/ui/pins/live", "Accept", "text/event-stream"); a.status != http.StatusUnauthorized && a.status != http.StatusSeeOther {
				t.Errorf("the stream answers %d", a.status)
			}
		})
	}
}

// A page of another origin cannot make a form of ours do anything, whatever the browser.
func TestCrossSitePosts(t *testing.T) {
	r := newRig(t, func(c *Config) { c.PublicURL = "https://pins.example.com" })
	b := r.as(ben)
	form := url.Values{"email": {ben}, "password": {password}}
	for name, tt := range map[string]struct {
		header []string
		ok     bool
	}{
		"another site":                   {[]string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example.com"}, false},
		"another port of this host":      {[]string{"Sec-Fetch-Site", "same-site", "Origin", "http://127.0.0.1:1"}, false},
		"an old browser":                 {[]string{"Origin", "https://evil.example.com"}, false},
		"a page without an origin":       {[]string{"Origin", "null"}, false},
		"ourselves":                      {[]string{"Sec-Fetch-Site", "same-origin"}, true},
		"ourselves, in an old browser":   {[]string{"Origin", r.server.URL}, true},
		"ourselves, and a proxy between": {[]string{"Origin", "https://pins.example.com"}, true},
		"no browser":                     {nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			want := http.StatusForbidden
			if tt.ok {
				want = http.StatusSeeOther
			}
			if a := b.post("/ui/signin", form, tt.header...); a.status != want {
				t.Errorf("it answers %d, want %d: %s", a.status, want, a.body)
			}
		})
	}
	if a := b.get("/ui/pins"); a.status != http.StatusOK {
		t.Errorf("the session ended: %d", a.status)
	}
	// With no referrer browsers would send "Origin: null" with our own forms.
	if got := b.get("/ui/pins").header.Get("Referrer-Policy"); got != "same-origin" {
		t.Errorf("the referrer policy is %q", got)
	}
}

// Every page forbids inline script and style, other hosts, and to be framed.
func TestPolicy(t *testing.T) {
	r := newRig(t)
	b := r.as(anna)
	for _, path := range []string{"/ui/signin", "/ui/pins", "/ui/nothing", "/ui/setup?code=x"} {
		h := b.get(path).header
		csp := h.Get("Content-Security-Policy")
		if strings.Contains(csp, "unsafe-") || strings.Contains(csp, "http") || strings.Contains(csp, "*") || strings.Contains(csp, "data:") {
			t.Errorf("%s: the policy is %q", path, csp)
		}
		for _, part := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"} {
			if !strings.Contains(csp, part) {
				t.Errorf("%s: the policy %q has no %s", path, csp, part)
			}
		}
		if h.Get("Cache-Control") != "no-store" {
			t.Errorf("%s may be kept: %q", path, h.Get("Cache-Control"))
		}
	}
}
