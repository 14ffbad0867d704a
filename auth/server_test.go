package auth_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/auth/authhttp"
	"github.com/holdfast-ipfs/holdfast/logtest"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
	"github.com/holdfast-ipfs/holdfast/psa"
)

const (
	someCID  = "bafybeie5nqv6kd3qnfjupgvz34woh3oksc3iau6abmyajn7qvtf6d2ho34"
	delegate = "/ip4/203.0.113.1/tcp/4040/p2p/12D3KooWGjMCwmf2JqsSg8JRLLoRNvTUfJkS8SYzN4jvTLNGHrWn"
)

// memoryPins is a psa.Service over records in memory.
type memoryPins struct {
	*pintest.Records
	mu   sync.Mutex
	hold func(ctx context.Context, method string) error
}

// onCall makes each method call f first.
func (m *memoryPins) onCall(f func(ctx context.Context, method string) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hold = f
}

func (m *memoryPins) begin(ctx context.Context, method string) error {
	m.mu.Lock()
	hold := m.hold
	m.mu.Unlock()
	if hold == nil {
		return nil
	}
	return hold(ctx, method)
}

func (m *memoryPins) Add(ctx context.Context, account string, s pin.Spec) (pin.View, error) {
	if err := m.begin(ctx, "Add"); err != nil {
		return pin.View{}, err
	}
	r, err := m.Records.Add(ctx, account, s)
	return pin.View{Request: r}, err
}

func (m *memoryPins) Replace(ctx context.Context, account, id string, s pin.Spec) (pin.View, error) {
	r, _, _, err := m.Records.Replace(ctx, account, id, s)
	return pin.View{Request: r}, err
}

func (m *memoryPins) Remove(ctx context.Context, account, id string) error {
	_, _, err := m.Records.Remove(ctx, account, id)
	return err
}

func (m *memoryPins) Get(ctx context.Context, account, id string) (pin.View, error) {
	r, err := m.Records.Get(ctx, account, id)
	return pin.View{Request: r}, err
}

func (m *memoryPins) List(ctx context.Context, account string, q pin.Query) (pin.ViewPage, error) {
	if err := m.begin(ctx, "List"); err != nil {
		return pin.ViewPage{}, err
	}
	p, err := m.Records.List(ctx, account, q)
	v := pin.ViewPage{Count: p.Count}
	for _, r := range p.Requests {
		v.Views = append(v.Views, pin.View{Request: r})
	}
	return v, err
}

// all lists every request of an account.
func (m *memoryPins) all(ctx context.Context, account string) ([]pin.Request, error) {
	p, err := m.Records.List(ctx, account, pin.Query{Statuses: pin.Statuses(), Limit: 1000})
	return p.Requests, err
}

// server is the whole API on a real listener, behind a trusted proxy on loopback.
type server struct {
	*fixture
	url  string
	pins *memoryPins
	log  *logtest.Buffer
}

func newServer(t testing.TB, change ...func(*auth.Config)) *server {
	t.Helper()
	return newServerAt(t, nil, change...)
}

// newServerAt is a server that knows where clients find it.
func newServerAt(t testing.TB, endpoint func() string, change ...func(*auth.Config)) *server {
	t.Helper()
	s := &server{pins: &memoryPins{Records: pintest.NewRecords(time.Now)}, log: &logtest.Buffer{}}
	log := slog.New(slog.NewJSONHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	settings := func(c *auth.Config) {
		c.Log = log
		c.Usage = func(ctx context.Context, account string) (auth.Usage, error) {
			all, err := s.pins.all(ctx, account)
			return auth.Usage{Bytes: uint64(len(all)) << 10, Pins: len(all)}, err
		}
		c.RemovePins = func(ctx context.Context, account string) (int, error) {
			all, err := s.pins.all(ctx, account)
			for _, r := range all {
				if err == nil {
					err = s.pins.Remove(ctx, account, r.ID)
				}
			}
			return len(all), err
		}
	}
	s.fixture = newFixture(t, append([]func(*auth.Config){settings}, change...)...)
	e := echo.New()
	_, loopback, err := net.ParseCIDR("127.0.0.0/8")
	s.ok(err)
	e.IPExtractor = echo.ExtractIPFromXFFHeader(echo.TrustLoopback(false), echo.TrustLinkLocal(false),
		echo.TrustPrivateNet(false), echo.TrustIPRange(loopback))
	authhttp.Register(e, s.Service, authhttp.Config{Endpoint: endpoint, Log: log})
	(&admin.Server{Auth: s.Service, Log: log}).Register(e)
	s.ok(psa.Register(e.Group("/api/psa"), psa.Config{
		Service: s.pins, Delegates: func() []string { return []string{delegate} },
		Auth:   authhttp.Middleware(s.Service, func(_ echo.Context, err error) error { return err }),
		Logger: slog.New(slog.NewJSONHandler(s.log, nil)),
	}))
	web := httptest.NewServer(e)
	t.Cleanup(web.Close)
	s.url = web.URL
	return s
}

// response is an answer, read.
type response struct {
	status int
	header http.Header
	body   string
	json   map[string]any // nil if the body is no object
}

// reason is the failure's, "" for a success.
func (r response) reason() string {
	e, _ := r.json["error"].(map[string]any)
	reason, _ := e["reason"].(string)
	return reason
}

func (r response) text(name string) string {
	s, _ := r.json[name].(string)
	return s
}

// from is a header that makes a request come from an address.
func from(address string) http.Header { return http.Header{"X-Forwarded-For": {address}} }

// call makes a request. body is text or becomes JSON; token may be "".
func (s *server) call(method, path, token string, body any, headers ...http.Header) response {
	s.Helper()
	var r io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		r = strings.NewReader(b)
	default:
		data, err := json.Marshal(b)
		s.ok(err)
		r = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(s.Context(), method, s.url+path, r)
	s.ok(err)
	if r != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for _, h := range headers {
		for name, values := range h {
			req.Header[name] = values
		}
	}
	res, err := http.DefaultClient.Do(req)
	s.ok(err)
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	s.ok(err)
	out := response{status: res.StatusCode, header: res.Header, body: string(data)}
	_ = json.Unmarshal(data, &out.json) // a body that is no object has none
	return out
}

// wants checks the status and, for a failure, the reason.
func (s *server) wants(r response, status int, reason string) response {
	s.Helper()
	if r.status != status || r.reason() != reason {
		s.Fatalf("%d %s, want %d %s: %s", r.status, r.reason(), status, reason, r.body)
	}
	if (status == 429 || status == 503) && r.header.Get("Retry-After") == "" {
		s.Fatalf("%d without Retry-After", status)
	}
	return r
}

// logIn logs in over HTTP.
func (s *server) logIn(email, password string, headers ...http.Header) auth.Pair {
	s.Helper()
	r := s.wants(s.call("POST", "/api/auth/login", "", map[string]string{"email": email, "password": password}, headers...), 200, "")
	return auth.Pair{Access: r.text("access_token"), Refresh: r.text("refresh_token")}
}

// admin makes the account of an admin, and returns it with an access token.
func (s *server) admin() (auth.Account, string) {
	s.Helper()
	a, err := s.AddAccount(s.Context(), auth.NewAccount{Email: "root@example.com", Password: goodPassword, Admin: true})
	s.ok(err)
	return a, s.logIn(a.Email, goodPassword).Access
}

func addPin(name string) map[string]any { return map[string]any{"cid": someCID, "name": name} }
