package psa

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// Every operation answers on every spelling of its path.
func TestSlashes(t *testing.T) {
	svc := &stub{view: view(pin.Pinned)}
	s := newServer(t, svc)
	for _, base := range []string{"", "/"} {
		for _, end := range []string{"", "/"} {
			pins, one := base+"/pins"+end, base+"/pins/"+someID+end
			for _, tt := range []struct {
				method, path, body string
				status             int
				id                 string
			}{
				{"GET", pins, "", 200, ""},
				{"HEAD", pins, "", 200, ""},
				{"POST", pins, pinBody(cidV0), 202, ""},
				{"GET", one, "", 200, someID},
				{"HEAD", one, "", 200, someID},
				{"POST", one, pinBody(cidV0), 202, someID},
				{"DELETE", one, "", 202, someID},
				{"GET", pins + "?limit=3", "", 200, ""},
			} {
				svc.id = "none"
				r := s.call(tt.method, tt.path, tt.body)
				if r.StatusCode != tt.status || svc.id != tt.id || svc.account != account {
					t.Errorf("%s %s: %d, id %q: %s", tt.method, tt.path, r.StatusCode, svc.id, r.body)
				}
			}
			for path, allow := range map[string]string{pins: "OPTIONS, GET, HEAD, POST", one: "OPTIONS, GET, HEAD, POST, DELETE"} {
				for _, method := range []string{"PUT", "PATCH", "TRACE", "PROPFIND", "REPORT", "BREW"} {
					r := s.call(method, path, "")
					r.wantFailure(t, 405, "METHOD_NOT_ALLOWED", method)
					if got := r.Header.Get("Allow"); got != allow {
						t.Errorf("%s %s: Allow %q, want %q", method, path, got, allow)
					}
				}
				if r := s.call("OPTIONS", path, ""); r.StatusCode != 204 || r.Header.Get("Allow") != allow || r.body != "" {
					t.Errorf("OPTIONS %s: %d %v %q", path, r.StatusCode, r.Header, r.body)
				}
			}
			s.call("DELETE", pins, "").wantFailure(t, 405, "METHOD_NOT_ALLOWED", "DELETE")
		}
	}
}

// An unknown path gets a Failure too, with a token or without, and never reaches the service.
func TestUnknownPaths(t *testing.T) {
	svc := &stub{}
	s := newServer(t, svc)
	for _, path := range []string{
		"", "/", "/pin", "/pinss", "/Pins", "/pins/" + someID + "/x", "/pins/" + someID + "//", "//", "///pins", "/pins//",
		"/pins/x", "/pins/" + strings.ToUpper(someID), "/pins/%7B" + someID + "%7D", "/pins/urn:uuid:" + someID,
		"/pins/" + someID + "%00", "/pins/" + someID + "%2F", "/pins/" + strings.Repeat("9", 10_000), "/pins/%ff", "/pins/..%2f" + someID,
		"/pins/00000000000000000000000000000000",
	} {
		for _, method := range []string{"GET", "POST", "DELETE"} {
			body := ""
			if method == "POST" {
				body = pinBody(cidV0)
			}
			r := s.call(method, path, body)
			if method == "GET" || r.StatusCode != 405 {
				r.wantFailure(t, 404, "NOT_FOUND", "there is no")
			}
		}
	}
	s.call("GET", "/x", "", "Authorization", "").wantFailure(t, 404, "NOT_FOUND", "/pins/{requestid}")
	if svc.calls != 0 {
		t.Errorf("the service was called %d times, last for %q", svc.calls, svc.id)
	}
}

// HEAD answers as GET without the body, for errors too.
func TestHead(t *testing.T) {
	for _, err := range []error{nil, pin.ErrNotFound, pin.ErrClosed} {
		s := newServer(t, &stub{view: view(pin.Pinned), err: err})
		for _, path := range []string{"/pins", "/pins/" + someID, "/pins?limit=0", "/nothing"} {
			get, head := s.call("GET", path, ""), s.call("HEAD", path, "")
			if head.StatusCode != get.StatusCode || head.body != "" {
				t.Errorf("%s: HEAD %d %q, GET %d", path, head.StatusCode, head.body, get.StatusCode)
			}
			for _, h := range goldenHeaders {
				if a, b := fmt.Sprint(head.Header.Values(h)), fmt.Sprint(get.Header.Values(h)); a != b {
					t.Errorf("%s: HEAD has %s %s, GET %s", path, h, a, b)
				}
			}
		}
	}
}

func preflight(method string) []string {
	return []string{
		"Authorization", "", "Origin", "https://app.example.com",
		"Access-Control-Request-Method", method,
		"Access-Control-Request-Headers", "authorization,content-type",
	}
}

// A preflight carries no token, and is answered nevertheless.
func TestPreflight(t *testing.T) {
	svc := &stub{}
	s := newServer(t, svc)
	r := s.call("OPTIONS", "/pins", "", preflight("POST")...)
	r.golden(t, "preflight")
	if r.StatusCode != 204 {
		t.Errorf("status %d", r.StatusCode)
	}
	for _, path := range []string{"/pins/", "//pins", "/pins/" + someID, "/pins/" + someID + "/", "/nothing"} {
		r := s.call("OPTIONS", path, "", preflight("DELETE")...)
		h := r.Header
		if r.StatusCode != 204 || h.Get("Access-Control-Allow-Origin") != "https://app.example.com" ||
			h.Get("Access-Control-Allow-Credentials") != "true" ||
			!strings.Contains(h.Get("Access-Control-Allow-Methods"), "DELETE,PUT,PATCH") ||
			h.Get("Access-Control-Allow-Headers") != "authorization,content-type" {
			t.Errorf("%s: %d %v", path, r.StatusCode, h)
		}
	}
	if svc.calls != 0 {
		t.Error("the service was called")
	}
}

// All answers carry the CORS headers.
func TestCORSOnEveryAnswer(t *testing.T) {
	s := newServer(t, &stub{view: view(pin.Pinned)})
	for _, r := range []response{
		s.call("GET", "/pins", "", "Origin", "https://app.example.com"),
		s.call("DELETE", "/pins/"+someID, "", "Origin", "https://app.example.com"),
		s.call("POST", "/pins", "x", "Origin", "https://app.example.com"),
		s.call("GET", "/pins", "", "Origin", "https://app.example.com", "Authorization", ""),
		s.call("PUT", "/pins", "", "Origin", "https://app.example.com"),
		s.call("PATCH", "/pins/"+someID, "", "Origin", "https://app.example.com"),
		s.call("GET", "/nothing", "", "Origin", "https://app.example.com"),
	} {
		if r.Header.Get("Access-Control-Allow-Origin") != "https://app.example.com" ||
			r.Header.Get("Access-Control-Allow-Credentials") != "true" {
			t.Errorf("%d: %v", r.StatusCode, r.Header)
		}
		if got := r.Header.Get("Access-Control-Expose-Headers"); got != "Retry-After,WWW-Authenticate" {
			t.Errorf("%d exposes %q", r.StatusCode, got)
		}
	}
}

func TestCORSOrigins(t *testing.T) {
	for _, tt := range []struct {
		origins []string
		from    string
		want    string
	}{
		{nil, "https://any.example", "https://any.example"},
		{[]string{"*"}, "https://any.example", "https://any.example"},
		{[]string{"*"}, "null", "null"}, // a page from a file
		{[]string{}, "https://any.example", ""},
		{[]string{"https://app.example.com"}, "https://app.example.com", "https://app.example.com"},
		{[]string{"https://app.example.com"}, "http://app.example.com", ""},
		{[]string{"https://app.example.com"}, "https://app.example.com.evil.example", ""},
		{[]string{"https://app.example.com"}, "https://appxexample.com", ""},
		{[]string{"https://app.example.com"}, "null", ""},
		{[]string{"https://a.example", "https://*.b.example"}, "https://x.b.example", "https://x.b.example"},
		{[]string{"http://localhost:*"}, "http://localhost:3000", "http://localhost:3000"},
	} {
		s := newServer(t, &stub{}, func(c *Config) { c.CORSOrigins = tt.origins })
		for _, r := range []response{
			s.call("GET", "/pins", "", "Origin", tt.from),
			s.call("OPTIONS", "/pins", "", append(preflight("POST"), "Origin", tt.from)...),
		} {
			if got := r.Header.Get("Access-Control-Allow-Origin"); got != tt.want {
				t.Errorf("%q from %s: got %q, want %q", tt.origins, tt.from, got, tt.want)
			}
			if got := r.Header.Get("Access-Control-Allow-Credentials"); (got == "true") != (tt.want != "") {
				t.Errorf("%q from %s: credentials %q", tt.origins, tt.from, got)
			}
			if !slices.Contains(r.Header.Values("Vary"), "Origin") {
				t.Errorf("%q from %s: it is kept for other origins: %v", tt.origins, tt.from, r.Header)
			}
		}
	}
}

func TestRegisterRefusesConfig(t *testing.T) {
	good := Config{Service: &stub{}, Delegates: func() []string { return nil }, Auth: bearer}
	if err := Register(echo.New().Group("/api/psa"), good); err != nil {
		t.Errorf("the least there can be: %v", err)
	}
	for name, spoil := range map[string]func(*Config){
		"service":   func(c *Config) { c.Service = nil },
		"delegates": func(c *Config) { c.Delegates = nil },
		"auth":      func(c *Config) { c.Auth = nil },
	} {
		c := good
		spoil(&c)
		if err := Register(echo.New().Group("/api/psa"), c); err == nil {
			t.Errorf("taken without %s", name)
		}
	}
	for _, o := range []string{"", "example.com", "https://", "https://app.example.com/", "https://a.example,https://b.example", "null", "://x"} {
		c := good
		c.CORSOrigins = []string{"*", o}
		if err := Register(echo.New().Group("/api/psa"), c); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", o)) {
			t.Errorf("origin %q: %v", o, err)
		}
	}
}

// The API answers only for paths below its base path. It can be there twice, each time with
// its own authentication.
func TestMounts(t *testing.T) {
	cfg := Config{Service: &stub{}, Delegates: func() []string { return []string{delegate} }, Auth: bearer}
	e := echo.New()
	e.HTTPErrorHandler = func(err error, c echo.Context) { _ = c.String(http.StatusTeapot, err.Error()) }
	e.GET("/api/auth/me", func(echo.Context) error { return echo.ErrForbidden })
	if err := Register(e.Group("/api/psa"), cfg); err != nil {
		t.Fatal(err)
	}
	outer := 0
	cfg.Auth = func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(echo.Context) error { return &failure{status: 403, details: "the second"} }
	}
	g := e.Group("/other", func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error { outer++; return next(c) }
	})
	if err := Register(g, cfg); err != nil {
		t.Fatal(err)
	}
	get := func(path string) response {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", path, nil)
		r.Header.Set("Authorization", "Bearer "+token)
		e.ServeHTTP(w, r)
		return response{w.Result(), w.Body.String()}
	}
	for _, path := range []string{"/api/auth/me", "/api/auth/x", "/api/psax", "/api", "/"} {
		if r := get(path); r.StatusCode != http.StatusTeapot {
			t.Errorf("%s was answered by the API: %d %s", path, r.StatusCode, r.body)
		}
	}
	if r := get("/api/psa/pins"); r.StatusCode != 200 {
		t.Errorf("the first: %d %s", r.StatusCode, r.body)
	}
	get("/api/psa/x").wantFailure(t, 404, "NOT_FOUND", "")
	get("/other/pins").wantFailure(t, 403, "FORBIDDEN", "the second")
	get("/other").wantFailure(t, 404, "NOT_FOUND", "")
	if outer != 2 {
		t.Errorf("the group's own middleware ran %d times of 2", outer)
	}
}
