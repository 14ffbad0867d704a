package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/labstack/echo/v4"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/doctor"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/httpd"
	"github.com/holdfast-ipfs/holdfast/internal/hint"
	"github.com/holdfast-ipfs/holdfast/internal/text"
	"github.com/holdfast-ipfs/holdfast/logtest"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/psa"
	"github.com/holdfast-ipfs/holdfast/rpc"
)

// testAPI is an API over a store of its own, without a node.
func testAPI(t *testing.T, lines *logtest.Lines, level slog.Level) *api {
	t.Helper()
	return testAPIWith(t, testConfig(), lines, level)
}

func testAPIWith(t testing.TB, cfg config.Config, lines *logtest.Lines, level slog.Level) *api {
	t.Helper()
	d := testDataDir(t)
	log := slog.New(slog.NewTextHandler(lines, &slog.HandlerOptions{Level: level}))
	c, err := openCore(t.Context(), d, holdLock(t, d), cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.store.Close() })
	pins := pin.NewOffline(c.store, quotas{c.auth})
	c.pins = pins
	pages := &dashboard{sessionTTL: time.Hour}
	t.Cleanup(pages.close)
	runs := admin.NewRuns()
	t.Cleanup(runs.Close) // before the store
	return &api{
		runs: runs, history: new(admin.History), self: fixedSelf{},
		cfg: config.Default().HTTP, web: pages, auth: c.auth, pins: pins, store: offlineStore(c, pins),
		delegates: func() []string {
			return []string{"/ip4/127.0.0.1/tcp/1/p2p/12D3KooWQmJC7C6yPaG5fCwRRctv7fK1doGrSMGpWqdx9rnRsUzi"}
		},
		content: content{
			blocks: c.store.Blockstore(), seen: seenIn(t.TempDir(), nil), above: c.store.DAGsAbove,
			upload: func(context.Context, string) (rpc.Upload, error) { return nil, pin.ErrUnsupported },
			node: func() rpc.Node {
				return rpc.Node{ID: "12D3KooWQmJC7C6yPaG5fCwRRctv7fK1doGrSMGpWqdx9rnRsUzi", Version: "v1.2.3-test"}
			},
			repo:      repo{store: c.store, quotas: quotas{c.auth}},
			providers: func(context.Context, cid.Cid) iter.Seq[peer.AddrInfo] { return func(func(peer.AddrInfo) bool) {} },
			conns:     func() []rpc.Connection { return nil },
		},
		probes: probes{
			healthy: c.healthy, storable: func(ctx context.Context) error { return c.store.Room(ctx, 0) }, blocked: func() bool { return false },
			writable: c.store.Writable, sound: c.store.Sound, openable: func() error { return nil },
			reachable: func() error { return nil }, draining: new(atomic.Bool), logged: new(loggedState), log: log,
		},
		log: log,
	}
}

func (a *api) serve(t *testing.T, r *http.Request) *httptest.ResponseRecorder {
	t.Helper()
	h, err := a.handler()
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestCORS(t *testing.T) {
	const page = "https://app.example.com"
	for _, tt := range []struct {
		name    string
		origins []string
		allowed string
	}{
		{"any", []string{"*"}, page},
		{"this one", []string{"https://x.example.com", page}, page},
		{"another", []string{"https://x.example.com"}, ""},
		{"none", []string{}, ""},
		{"none, as an empty variable has it", nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := testAPI(t, new(logtest.Lines), slog.LevelInfo)
			a.cfg.CORSOrigins = tt.origins
			for _, path := range []string{"/api/auth/login", "/api/auth/refresh", "/api/psa/pins", "/api/psa/pins/x", "/api/v0/cat", "/api/v0/nothing"} {
				r := httptest.NewRequest(http.MethodOptions, path, nil)
				r.Header.Set("Origin", page)
				r.Header.Set("Access-Control-Request-Method", http.MethodPost)
				r.Header.Set("Access-Control-Request-Headers", "authorization")
				w := a.serve(t, r)
				if got := w.Header().Get("Access-Control-Allow-Origin"); got != tt.allowed {
					t.Errorf("preflight of %s allows the origin %q, want %q", path, got, tt.allowed)
				}
				if tt.allowed != "" && (w.Code != http.StatusNoContent || !strings.Contains(w.Header().Get("Access-Control-Allow-Methods"), http.MethodPost)) {
					t.Errorf("preflight of %s answers %d, %v", path, w.Code, w.Header())
				}
				if got := w.Header().Get("Access-Control-Max-Age"); (got == "7200") != (tt.allowed != "") {
					t.Errorf("preflight of %s may be remembered for %q seconds", path, got)
				}
				// An error can be read by the page too.
				r = httptest.NewRequest(http.MethodPost, path, strings.NewReader("{}"))
				r.Header.Set("Origin", page)
				w = a.serve(t, r)
				if got := w.Header().Get("Access-Control-Allow-Origin"); got != tt.allowed || w.Code < 400 {
					t.Errorf("POST %s answers %d and allows the origin %q, want %q", path, w.Code, got, tt.allowed)
				}
			}
			// Whatever is answered can be read, by a page that sends credentials too.
			for _, asked := range []string{
				"GET /healthz", "GET /readyz", "GET /api/openapi.yaml", "GET /nothing", "GET /api/auth/nothing",
				"PUT /api/auth/me", "PATCH /api/auth/login", "PUT /api/admin/accounts", "PATCH /api/psa/pins", "PUT /api/psa/pins/x",
			} {
				method, path, _ := strings.Cut(asked, " ")
				for _, preflight := range []bool{true, false} {
					r := httptest.NewRequest(method, path, nil)
					if preflight {
						r = httptest.NewRequest(http.MethodOptions, path, nil)
						r.Header.Set("Access-Control-Request-Method", method)
					}
					r.Header.Set("Origin", page)
					h := a.serve(t, r).Header()
					if got := h.Get("Access-Control-Allow-Origin"); got != tt.allowed {
						t.Errorf("%s, preflight %v, allows the origin %q, want %q", asked, preflight, got, tt.allowed)
					}
					if got := h.Get("Access-Control-Allow-Credentials"); (got == "true") != (tt.allowed != "") {
						t.Errorf("%s, preflight %v, allows credentials: %q", asked, preflight, got)
					}
					if preflight && tt.allowed != "" && !slices.Contains(strings.Split(h.Get("Access-Control-Allow-Methods"), ","), method) {
						t.Errorf("%s: its preflight allows %q", asked, h.Get("Access-Control-Allow-Methods"))
					}
				}
			}
		})
	}
}

func TestWhatNoHandlerAnswers(t *testing.T) {
	var lines logtest.Lines
	a := testAPI(t, &lines, slog.LevelInfo)
	a.probes.healthy = func(context.Context) error { panic("a secret") }
	for _, tt := range []struct {
		method, path string
		status       int
		reason       string
	}{
		{http.MethodGet, "/pins", http.StatusNotFound, "NOT_FOUND"}, // of the PSA, without its base path
		{http.MethodPost, "/pins", http.StatusNotFound, "NOT_FOUND"},
		{http.MethodPost, "/", http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED"},
		{http.MethodGet, "/server", http.StatusNotFound, "NOT_FOUND"}, // of the admin API
		{http.MethodDelete, "/healthz", http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED"},
		{http.MethodGet, "/healthz", http.StatusInternalServerError, "INTERNAL_SERVER_ERROR"},
	} {
		w := a.serve(t, httptest.NewRequest(tt.method, tt.path, nil))
		var f psa.Failure
		if err := json.Unmarshal(w.Body.Bytes(), &f); err != nil {
			t.Errorf("%s %s: %v in %q", tt.method, tt.path, err, w.Body)
		}
		if w.Code != tt.status || f.Error.Reason != tt.reason {
			t.Errorf("%s %s answers %d %+v, want %d %s", tt.method, tt.path, w.Code, f, tt.status, tt.reason)
		}
		if tt.status == http.StatusNotFound && !strings.Contains(f.Error.Details, PSAPath) {
			t.Errorf("%s %s does not say where the PSA is: %s", tt.method, tt.path, f.Error.Details)
		}
		if strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%s %s tells the cause: %s", tt.method, tt.path, w.Body)
		}
	}
	if n := strings.Count(lines.String(), "panic: a secret"); n != 1 {
		t.Errorf("the panic was logged %d times:\n%s", n, &lines)
	}
	if n := strings.Count(lines.String(), "\n"); n != 1 {
		t.Errorf("%d lines were logged:\n%s", n, &lines)
	}
}

// The address in the log can be opened in a browser.
func TestRootLeadsToTheDashboard(t *testing.T) {
	a := testAPI(t, new(logtest.Lines), slog.LevelInfo)
	w := a.serve(t, httptest.NewRequest(http.MethodGet, "/", nil))
	if w.Code != http.StatusTemporaryRedirect || w.Header().Get("Location") != "/ui/pins" {
		t.Errorf("GET / answers %d %v", w.Code, w.Header())
	}
}

// Without a dashboard a line says what is there, and nothing is left of the pages.
func TestRootSaysWhatThisIs(t *testing.T) {
	a := testAPI(t, new(logtest.Lines), slog.LevelInfo)
	a.web = nil
	for _, path := range []string{"/ui", "/ui/pins", "/ui/signin", "/ui/static/style.css"} {
		if w := a.serve(t, httptest.NewRequest(http.MethodGet, path, nil)); w.Code != http.StatusNotFound {
			t.Errorf("GET %s answers %d without a dashboard", path, w.Code)
		}
	}
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		w := a.serve(t, httptest.NewRequest(method, "/", nil))
		if w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
			t.Errorf("%s / answers %d %v", method, w.Code, w.Header())
		}
		for _, part := range []string{"Holdfast", PSAPath, openAPIPath, "https://"} {
			if method == http.MethodGet && !strings.Contains(w.Body.String(), part) {
				t.Errorf("it does not say %q:\n%s", part, w.Body)
			}
		}
	}
}

// No redirect turns a POST into a GET: after that Kubo would print success for a pin that it
// never asked for.
func TestNoRedirectTurnsPostIntoGet(t *testing.T) {
	a := testAPI(t, new(logtest.Lines), slog.LevelInfo)
	h, err := a.handler()
	if err != nil {
		t.Fatal(err)
	}
	plain, secure := httptest.NewServer(h), httptest.NewTLSServer(h)
	defer plain.Close()
	defer secure.Close()
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for _, base := range []string{plain.URL, "http://" + secure.Listener.Addr().String()} {
		for _, path := range []string{
			"", "/", "//", "/pins", "/pins/", "/api", "/api/", "/api/psa", "/api/psa/", "/api/psa//", "/api/psa/pins", "/api/psa/pins/",
			"/api/psa//pins", "//api/psa/pins", "/api//psa/pins", "/api/psa/./pins", "/api/psa/../psa/pins", "/api/psa/pins/x/",
			"/api/auth/login/", "/api/auth//login", "/api/admin", "/healthz/",
		} {
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				r, err := http.NewRequest(method, base+path, strings.NewReader("{}"))
				if err != nil {
					t.Fatal(err)
				}
				answer, err := client.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				answer.Body.Close()
				switch code := answer.StatusCode; {
				case code == http.StatusTemporaryRedirect, code == http.StatusPermanentRedirect: // the method stays
				case code >= 300 && code < 400:
					t.Errorf("%s %s%s is redirected by %s", method, base, path, answer.Status)
				}
			}
		}
	}
}

func TestRequestsAreLoggedAtDebugOnly(t *testing.T) {
	for level, want := range map[slog.Level]int{slog.LevelInfo: 0, slog.LevelDebug: 1} {
		var lines logtest.Lines
		a := testAPI(t, &lines, level)
		r := httptest.NewRequest(http.MethodGet, "/api/psa/pins?name=x", nil)
		r.Header.Set("Authorization", "Bearer not-a-token")
		if w := a.serve(t, r); w.Code != http.StatusUnauthorized {
			t.Errorf("it answers %d", w.Code)
		}
		if n := strings.Count(lines.String(), "msg=request method=GET path=/api/psa/pins status=401 client=192.0.2.1"); n != want {
			t.Errorf("at %v it is logged %d times, want %d:\n%s", level, n, want, &lines)
		}
		if strings.Contains(lines.String(), "not-a-token") {
			t.Errorf("the token was logged:\n%s", &lines)
		}
	}
}

func TestClientIP(t *testing.T) {
	for _, tt := range []struct {
		name      string
		proxies   []string
		from, xff string
		want      string
	}{
		{"nobody is trusted", nil, "10.0.0.7:1", "1.2.3.4", "10.0.0.7"},
		{"a trusted proxy", []string{"10.0.0.0/8"}, "10.0.0.7:1", "1.2.3.4", "1.2.3.4"},
		{"a proxy before another", []string{"10.0.0.0/8"}, "10.0.0.7:1", "9.9.9.9, 1.2.3.4, 10.0.0.8", "1.2.3.4"},
		{"private, and not trusted", []string{"10.0.0.7"}, "192.168.0.1:1", "1.2.3.4", "192.168.0.1"},
		{"loopback, and not trusted", []string{"10.0.0.7"}, "127.0.0.1:1", "1.2.3.4", "127.0.0.1"},
		{"by IPv6", []string{"2001:db8::1"}, "[2001:db8::1]:1", "1.2.3.4", "1.2.3.4"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.RemoteAddr = tt.from
			r.Header.Set(echo.HeaderXForwardedFor, tt.xff)
			if got := httpd.ClientIP(tt.proxies)(r); got != tt.want {
				t.Errorf("the client is %s, want %s", got, tt.want)
			}
		})
	}
}

func TestAdminErrors(t *testing.T) {
	var lines logtest.Lines
	a := testAPI(t, &lines, slog.LevelInfo)
	s := &admin.Server{Auth: a.auth, Pins: a.pins, Endpoint: func() string { return "" }, Log: a.log}
	h, err := s.Handler()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		method, path, body string
		status             int
		details            string
	}{
		{http.MethodPost, "/api/admin/accounts", "{", http.StatusBadRequest, ""},
		{http.MethodPost, "/api/admin/accounts", `{"email":"x"}`, http.StatusBadRequest, "email: "},
		{http.MethodPost, "/api/admin/accounts/a@example.org/disable", "", http.StatusNotFound, "no such account"},
		{http.MethodDelete, "/api/admin/tokens/x", "", http.StatusNotFound, "no such token"},
		{http.MethodGet, "/nothing", "", http.StatusNotFound, ""},
		{http.MethodGet, "/api/psa/pins", "", http.StatusNotFound, "no such account"},
	} {
		r := httptest.NewRequest(tt.method, tt.path, strings.NewReader(tt.body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		var f admin.Failure
		if err := json.Unmarshal(w.Body.Bytes(), &f); err != nil {
			t.Errorf("%s %s: %v in %q", tt.method, tt.path, err, w.Body)
		}
		if w.Code != tt.status || f.Error.Details == "" || !strings.Contains(f.Error.Details, tt.details) {
			t.Errorf("%s %s answers %d %+v, want %d with %q", tt.method, tt.path, w.Code, f, tt.status, tt.details)
		}
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain":         "plain",
		"größe 漢字 🙂":    "größe 漢字 🙂",
		"a\nb\tc":       `a\nb\tc`,
		"\x1b[31mred":   `\x1b[31mred`,
		"right\u202eto": `right\u202eto`,
		"bad\xff":       "bad\ufffd",
	} {
		if got := text.Printable(in); got != want {
			t.Errorf("%q is printed as %q, want %q", in, got, want)
		}
	}
}

// An account that an admin removes over HTTP takes its pins with it.
func TestAdminRemovesPinsToo(t *testing.T) {
	a := testAPI(t, new(logtest.Lines), slog.LevelInfo)
	const password = "correct horse battery"
	add := func(n auth.NewAccount) string {
		n.Password = password
		made, err := a.auth.AddAccount(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		return made.ID
	}
	add(auth.NewAccount{Email: "admin@example.org", Admin: true})
	gone := add(auth.NewAccount{Email: "gone@example.org"})
	root := cid.MustParse("bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy")
	if _, err := a.pins.Add(t.Context(), gone, pin.Spec{CID: root.String(), Root: root}); err != nil {
		t.Fatal(err)
	}
	pair, err := a.auth.Login(t.Context(), "admin@example.org", password)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodDelete, admin.AccountsPath+"/"+gone, nil)
	r.Header.Set("Authorization", "Bearer "+pair.Access)
	if w := a.serve(t, r); w.Code != http.StatusOK {
		t.Fatalf("it answers %d %s", w.Code, w.Body)
	}
	left, err := a.pins.List(t.Context(), gone, pin.Query{Statuses: pin.Statuses(), Limit: 10})
	if err != nil || left.Count != 0 {
		t.Errorf("%d pins are left (%v)", left.Count, err)
	}
}

// fixedSelf is a server that is well.
type fixedSelf struct{ admin.Self }

func (fixedSelf) Condition(context.Context) (admin.Condition, error) {
	return admin.Condition{PID: 1, Version: "v1.2.3-test", Network: admin.NetworkCondition{Addresses: []string{}}}, nil
}

// A port that may not be taken says what the service needs.
func TestLowPortHint(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{&net.OpError{Op: "listen", Net: "tcp", Err: os.NewSyscallError("bind", syscall.EACCES)}, doctor.LowPortHint + "; set another"},
		{&net.OpError{Op: "listen", Net: "tcp", Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}, "set another"},
	} {
		h, ok := errors.AsType[*hint.Error](hintListen(fmt.Errorf("serve HTTP: %w", c.err), "set another"))
		if !ok || h.Hint != c.want {
			t.Errorf("%v: the hint is %+v, want %q", c.err, h, c.want)
		}
	}
}
