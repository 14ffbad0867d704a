package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ipfs/boxo/blockstore"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/labstack/echo/v4"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/auth/authhttp"
	"github.com/holdfast-ipfs/holdfast/auth/authtest"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/httpd"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/metrics"
	"github.com/holdfast-ipfs/holdfast/internal/faults"
	"github.com/holdfast-ipfs/holdfast/logtest"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/rpc"
	"github.com/holdfast-ipfs/holdfast/web"
)

// secretCause is the error of everything beneath the handlers.
const secretCause = "the disk is made of cheese"

// broken is beneath the handlers. Each call to it fails in the way that the test sets.
type broken struct {
	mu      sync.Mutex
	fail    func() error    // nil: nothing fails
	conn    context.Context // the connection's, of the request that is served
	reached chan struct{}   // gets something when a call hangs
}

func (b *broken) set(fail func() error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fail = fail
}

func (b *broken) call() error {
	b.mu.Lock()
	fail := b.fail
	b.mu.Unlock()
	if fail == nil {
		return nil
	}
	return fail()
}

// hang waits until the client is gone.
func (b *broken) hang() error {
	b.mu.Lock()
	ctx := b.conn
	b.mu.Unlock()
	select {
	case b.reached <- struct{}{}:
	default: // it is known
	}
	<-ctx.Done()
	return fmt.Errorf("wait: %w", ctx.Err())
}

func (b *broken) probe(context.Context) error { return b.call() }

type brokenPins struct{ *broken }

func (b brokenPins) Add(context.Context, string, pin.Spec) (pin.View, error) {
	return pin.View{}, b.call()
}
func (b brokenPins) Replace(context.Context, string, string, pin.Spec) (pin.View, error) {
	return pin.View{}, b.call()
}
func (b brokenPins) Get(context.Context, string, string) (pin.View, error) {
	return pin.View{}, b.call()
}
func (b brokenPins) Retry(context.Context, string, string) (pin.View, error) {
	return pin.View{}, b.call()
}
func (b brokenPins) List(context.Context, string, pin.Query) (pin.ViewPage, error) {
	return pin.ViewPage{}, b.call()
}
func (b brokenPins) Remove(context.Context, string, string) error { return b.call() }
func (b brokenPins) RemoveAll(context.Context, string) (int, error) {
	return 0, b.call()
}

type brokenStore struct{ *broken }

func (b brokenStore) Accounts(context.Context, pin.Status) ([]string, error) { return nil, b.call() }
func (b brokenStore) Stats(context.Context) (admin.StoreStats, error) {
	return admin.StoreStats{}, b.call()
}
func (b brokenStore) Reclaim(context.Context, func(admin.StoreProgress)) (admin.Reclaimed, error) {
	return admin.Reclaimed{}, b.call()
}
func (b brokenStore) Verify(context.Context, bool, admin.VerifyWatch) (admin.VerifyReport, error) {
	return admin.VerifyReport{}, b.call()
}
func (b brokenStore) Backup(context.Context, admin.NewBackup, func(admin.StoreProgress)) (admin.Backup, error) {
	return admin.Backup{}, b.call()
}
func (b brokenStore) Condition(context.Context) (admin.Condition, error) {
	return admin.Condition{}, b.call()
}
func (b brokenStore) Support(context.Context) (admin.Support, error) {
	return admin.Support{}, b.call()
}
func (b brokenStore) Restore(context.Context, admin.NewRestore, func(admin.StoreProgress)) (admin.Restored, error) {
	return admin.Restored{}, b.call()
}
func (b brokenStore) Adopt(context.Context, string, string) (adopted, left int, err error) {
	return 0, 0, b.call()
}

type brokenBlocks struct {
	blockstore.Blockstore
	*broken
}

// brokenRepo is an rpc.Repo.
type brokenRepo struct{ *broken }

func (b brokenRepo) Account(context.Context, string) (pin.Usage, pin.Quota, error) {
	return pin.Usage{}, pin.Quota{}, b.call()
}
func (b brokenRepo) Storage(context.Context) (rpc.Storage, error) { return rpc.Storage{}, b.call() }
func (b brokenRepo) Blocks(context.Context) (uint64, error)       { return 0, b.call() }

func (b brokenBlocks) Has(context.Context, cid.Cid) (bool, error)         { return true, b.call() }
func (b brokenBlocks) GetSize(context.Context, cid.Cid) (int, error)      { return 1, b.call() }
func (b brokenBlocks) Get(context.Context, cid.Cid) (blocks.Block, error) { return nil, b.call() }

// faultRig serves every router over TCP, as the program does, over broken parts.
type faultRig struct {
	*broken
	lines    *logtest.Lines
	accounts *authtest.Accounts
	access   string
	logged   *loggedState // by the probes
	samples  map[string]map[string]sample
	routes   map[string][]string // of each router, "METHOD pattern"
	servers  map[string]*httptest.Server
	statuses chan int
}

func newFaultRig(t *testing.T) *faultRig {
	t.Helper()
	const email = "root@example.org"
	b := &broken{reached: make(chan struct{}, 1)}
	r := &faultRig{
		broken: b, lines: new(logtest.Lines), accounts: authtest.NewAccounts(),
		routes: map[string][]string{}, servers: map[string]*httptest.Server{}, statuses: make(chan int, 1),
	}
	log := slog.New(slog.NewTextHandler(r.lines, nil))
	keys, err := auth.OpenKeys(filepath.Join(t.TempDir(), "keys"))
	if err != nil {
		t.Fatal(err)
	}
	no := auth.Rate{Burst: -1}
	service, err := auth.New(auth.Config{
		HashCost: auth.HashCost{Memory: 8, Iterations: 1}, Registration: auth.RegistrationOpen, Log: log,
		Limits: auth.Limits{Address: no, Account: no, Register: no, Refresh: no, Changes: no, Token: no},
		Usage:  func(context.Context, string) (auth.Usage, error) { return auth.Usage{}, b.call() },
	}, r.accounts, keys)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := service.AddAccount(t.Context(), auth.NewAccount{Email: email, Password: samplePass, Admin: true}); err != nil {
		t.Fatal(err)
	}
	pair, err := service.Login(t.Context(), email, samplePass)
	if err != nil {
		t.Fatal(err)
	}
	r.access, r.samples = pair.Access, samples(pair.Refresh, email)

	p := &Program{Config: testConfig(), Log: log, metrics: metrics.New("v1.2.3-test")}
	probes := probes{
		healthy: b.probe, storable: b.probe, writable: b.probe, sound: b.call, openable: b.call,
		blocked: func() bool { return false }, reachable: func() error { return nil },
		draining: new(atomic.Bool), logged: new(loggedState), log: log,
	}
	r.logged = probes.logged
	pages := &dashboard{sessionTTL: time.Hour}
	t.Cleanup(pages.close)
	served := content{
		blocks:    brokenBlocks{broken: b},
		seen:      seenIn(t.TempDir(), nil),
		above:     func(context.Context, cid.Cid, int) ([]pin.DAG, bool, error) { return nil, true, b.call() },
		node:      func() rpc.Node { return rpc.Node{} },
		repo:      brokenRepo{b},
		providers: func(context.Context, cid.Cid) iter.Seq[peer.AddrInfo] { return func(func(peer.AddrInfo) bool) {} },
		conns:     func() []rpc.Connection { return nil },
		upload:    func(context.Context, string) (rpc.Upload, error) { return nil, b.call() },
	}
	runs := admin.NewRuns()
	t.Cleanup(runs.Close)
	api, err := (&api{
		cfg: config.Default().HTTP, web: pages, auth: service, pins: brokenPins{b}, store: brokenStore{b}, probes: probes, requests: p.metrics.Requests, log: log,
		runs: runs, history: new(admin.History), self: brokenStore{b},
		delegates: func() []string {
			return []string{"/ip4/127.0.0.1/tcp/1/p2p/12D3KooWQmJC7C6yPaG5fCwRRctv7fK1doGrSMGpWqdx9rnRsUzi"}
		},
		content: served,
	}).router()
	if err != nil {
		t.Fatal(err)
	}
	operator, err := (&admin.Server{
		Auth: service, Pins: brokenPins{b}, Running: true, Endpoint: func() string { return "" }, Log: log,
		Store: brokenStore{b}, Backups: brokenStore{b}, Self: brokenStore{b}, Runs: runs, History: new(admin.History),
	}).Handler()
	if err != nil {
		t.Fatal(err)
	}
	gateway, err := p.gatewayRouter(served)
	if err != nil {
		t.Fatal(err)
	}
	p.metrics.Registry.MustRegister(metrics.NewCollector(func(context.Context) (*metrics.Reading, error) {
		return nil, b.call()
	}))
	for name, e := range map[string]*echo.Echo{"api": api, "admin": operator, "gateway": gateway} {
		for _, route := range e.Routes() {
			r.routes[name] = append(r.routes[name], route.Method+" "+route.Path)
		}
		r.serve(t, name, e)
	}
	for route := range monitorRoutes(p.metrics, probes, log) {
		r.routes["metrics"] = append(r.routes["metrics"], route)
	}
	r.serve(t, "metrics", monitorHandler(p.metrics, probes, log))
	return r
}

// serve serves a router, and notes what it answers and to which connection.
func (r *faultRig) serve(t *testing.T, name string, h http.Handler) {
	s := httptest.NewServer(httpd.Secure(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		r.conn = req.Context()
		r.mu.Unlock()
		// net/http notices that a client hung up once its body was read.
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Errorf("read the body: %v", err)
		}
		req.Body = io.NopCloser(bytes.NewReader(body))
		seen := &statusWriter{ResponseWriter: w}
		defer func() { r.statuses <- seen.status }()
		h.ServeHTTP(seen, req)
	})))
	t.Cleanup(s.Close)
	r.servers[name] = s
}

// statusWriter sees the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
func (w *statusWriter) Flush()                      { _ = http.NewResponseController(w.ResponseWriter).Flush() }

// request makes the request of a sample.
func (r *faultRig) request(t *testing.T, ctx context.Context, router, route string, s sample) *http.Request {
	t.Helper()
	method, path, _ := strings.Cut(route, " ")
	if method == echo.RouteNotFound {
		method = http.MethodGet
	}
	path = strings.NewReplacer(":requestid", sampleID, ":id", sampleID, ":what", "disable", "/*", "/nothing/here").Replace(path)
	if router == "gateway" {
		path = "/ipfs/" + sampleCID
	}
	req, err := http.NewRequestWithContext(ctx, method, r.servers[router].URL+path+"?"+s.query, strings.NewReader(s.body))
	if err != nil {
		t.Fatal(err)
	}
	isPage := strings.HasPrefix(path, web.Base)
	switch {
	case s.form:
		req.Header.Set("Content-Type", "multipart/form-data; boundary=x")
	case s.body != "" && isPage:
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	case s.body != "":
		req.Header.Set("Content-Type", "application/json")
	}
	if isPage && !s.open {
		req.AddCookie(&http.Cookie{Name: "holdfast-session", Value: r.access})
	}
	if router == "api" && !isPage {
		req.Header.Set("Authorization", "Bearer "+r.access)
	}
	return req
}

// ask sends a request, while everything beneath fails with fail.
func (r *faultRig) ask(t *testing.T, req *http.Request, fail func() error) (*http.Response, []byte, error) {
	t.Helper()
	// The token is known already, so that the handler fails and not the authentication.
	if req.Header.Get("Authorization") != "" || req.Header.Get("Cookie") != "" {
		warm, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.servers["api"].URL+authhttp.MePath, nil)
		if err != nil {
			t.Fatal(err)
		}
		warm.Header.Set("Authorization", "Bearer "+r.access)
		answer, err := http.DefaultClient.Do(warm)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if <-r.statuses; answer.StatusCode != http.StatusOK {
			t.Fatalf("the token is answered %d", answer.StatusCode)
		}
	}
	r.set(fail)
	r.accounts.SetFault(func(string) error { return r.call() })
	defer func() {
		r.set(nil)
		r.accounts.SetFault(nil)
	}()
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return answer, body, err
}

// sampleOf finds the sample of a route; routes that differ by slashes share one, and
// HEAD has that of GET.
func (r *faultRig) sampleOf(t *testing.T, router, route string) (s sample, head bool) {
	t.Helper()
	method, path, _ := strings.Cut(route, " ")
	if head = method == http.MethodHead; head {
		method = http.MethodGet
	}
	key := method + " " + strings.ReplaceAll(path, "//", "/")
	if s, ok := r.samples[router][key]; ok {
		return s, head
	}
	s, ok := r.samples[router][strings.TrimSuffix(key, "/")]
	if !ok {
		t.Errorf("%s: nobody knows how the route %q fails: give it a sample", router, route)
		s.static = true
	}
	return s, head
}

// Every route of every router answers a fault of the server with a status, the error body of
// its API, and a request id. The log has the cause under this id, once. A client that hung up
// is not a fault.
func TestEveryFaultIsTold(t *testing.T) {
	r := newFaultRig(t)
	modes := map[string]func() error{
		"error": func() error { return errors.New(secretCause) },
		"panic": func() error { panic(secretCause) },
		// An internal deadline or cancellation is not the client's doing.
		"cancelled": func() error { return fmt.Errorf("%s: %w", secretCause, context.Canceled) },
	}
	for router, routes := range r.routes {
		if len(routes) == 0 {
			t.Errorf("%s has no routes", router)
		}
		slices.Sort(routes)
		for _, route := range slices.Compact(routes) {
			s, head := r.sampleOf(t, router, route)
			if s.endless {
				if !head {
					t.Run(fmt.Sprintf("%s %s", router, route), func(t *testing.T) { r.expectEndless(t, router, route, s) })
				}
				continue
			}
			for mode, fail := range modes {
				t.Run(fmt.Sprintf("%s %s %s", router, route, mode), func(t *testing.T) {
					r.expectFault(t, router, route, s, head, fail)
				})
			}
			if !s.static && !s.bare {
				t.Run(fmt.Sprintf("%s %s hung up", router, route), func(t *testing.T) { r.expectHungUp(t, router, route, s) })
			}
		}
	}
}

func (r *faultRig) expectFault(t *testing.T, router, route string, s sample, head bool, fail func() error) {
	r.logged.update(slog.New(slog.DiscardHandler), "", nil)
	from := len(r.lines.String())
	answer, body, err := r.ask(t, r.request(t, t.Context(), router, route, s), fail)
	if err != nil {
		t.Fatal(err)
	}
	<-r.statuses
	logged := ownLines(r.lines.String()[from:])
	if s.static {
		if answer.StatusCode >= 500 || strings.Contains(logged, "level=ERROR") {
			t.Errorf("it answers %d %q and logs %s", answer.StatusCode, body, logged)
		}
		return
	}
	if strings.Contains(string(body), secretCause) && router != "admin" {
		t.Errorf("the answer has the cause: %s", body)
	}
	want := http.StatusInternalServerError
	id := answer.Header.Get("X-Request-Id")
	switch {
	case s.faultIs != 0 && id == "": // a panic of a probe is 500 all the same
		want = s.faultIs
	case s.lines:
		want = http.StatusOK
		if !strings.Contains(string(body), `"failure"`) && !strings.Contains(logged, "panic") {
			t.Errorf("the last line is no failure: %s", body)
		}
	}
	if answer.StatusCode != want {
		t.Fatalf("it answers %d %q, want %d", answer.StatusCode, body, want)
	}
	if n := strings.Count(logged, secretCause); n != 1 {
		t.Errorf("the log has the cause %d times, want once: %s", n, logged)
	}
	if want != http.StatusInternalServerError {
		return
	}
	if id == "" || !strings.Contains(logged, "request="+id) || !head && !strings.Contains(string(body), id) {
		t.Errorf("the request id %q is not in answer and log: %q, %s", id, body, logged)
	}
	if !head {
		expectBody(t, router, route, body)
	}
}

// ownLines leaves out what runs in the background log, which another sample began.
func ownLines(logged string) string {
	var own strings.Builder
	for line := range strings.Lines(logged) {
		if !strings.Contains(line, `msg="work on the store `) {
			own.WriteString(line)
		}
	}
	return own.String()
}

// expectBody compares an answer of 500 with the error body of the API.
func expectBody(t *testing.T, router, route string, body []byte) {
	t.Helper()
	var f struct {
		Status string
		Error  struct{ Reason, Details string }

		Message, Type string // of Kubo's
	}
	_, path, _ := strings.Cut(route, " ")
	if strings.HasPrefix(path, RPCPath) {
		if err := json.Unmarshal(body, &f); err != nil || f.Message == "" || f.Type != "error" {
			t.Errorf("the body is %q, %v", body, err)
		}
		return
	}
	if strings.HasPrefix(path, web.Base) {
		if !bytes.Contains(body, []byte("<main")) || !bytes.Contains(body, []byte("something went wrong on the server")) {
			t.Errorf("the page is %q", body)
		}
		return
	}
	switch isAuth := strings.HasPrefix(path, "/api/auth") || strings.HasPrefix(path, "/api/admin"); {
	case router == "gateway", router == "metrics":
		if !strings.HasPrefix(string(body), "something went wrong on the server") {
			t.Errorf("the text is %q", body)
		}
	default:
		if err := json.Unmarshal(body, &f); err != nil || f.Error.Reason != "INTERNAL_SERVER_ERROR" || f.Error.Details == "" ||
			isAuth != (f.Status == "error") && router != "admin" { // where who is meant comes before the PSA
			t.Errorf("the body is %q, %v", body, err)
		}
	}
}

// expectEndless: an answer begins, and ends without a fault when the client hangs up.
func (r *faultRig) expectEndless(t *testing.T, router, route string, s sample) {
	from := len(r.lines.String())
	ctx, hangUp := context.WithCancel(t.Context())
	defer hangUp()
	answer, err := http.DefaultClient.Do(r.request(t, ctx, router, route, s))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if _, err := answer.Body.Read(make([]byte, 1)); err != nil || answer.StatusCode != http.StatusOK {
		t.Errorf("it answers %d, %v", answer.StatusCode, err)
	}
	hangUp()
	<-r.statuses
	if logged := r.lines.String()[from:]; strings.Contains(logged, "level=ERROR") {
		t.Errorf("it logs %s", logged)
	}
}

func (r *faultRig) expectHungUp(t *testing.T, router, route string, s sample) {
	from := len(r.lines.String())
	ctx, hangUp := context.WithCancel(t.Context())
	defer hangUp()
	var hung sync.WaitGroup
	answered := make(chan struct{})
	hung.Go(func() {
		select {
		case <-r.reached:
			hangUp()
		case <-answered: // which the test tells of
		}
	})
	defer func() {
		close(answered)
		hung.Wait()
		select {
		case <-r.reached: // there was more than one call
		default:
		}
	}()
	if _, _, err := r.ask(t, r.request(t, ctx, router, route, s), r.hang); err == nil && !s.lines {
		t.Error("the request was answered")
	}
	want := faults.StatusClientGone
	if s.lines {
		want = http.StatusOK
	}
	if status := <-r.statuses; status != want {
		t.Errorf("its status is %d, want %d", status, want)
	}
	if logged := r.lines.String()[from:]; strings.Contains(logged, "level=ERROR") || strings.Contains(logged, "level=WARN") {
		t.Errorf("a client that hung up is logged as a fault: %s", logged)
	}
}
