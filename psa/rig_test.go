package psa

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/logtest"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
)

const (
	account  = "0197a1b2-0000-7000-8000-00000000000a"
	token    = "good-token"
	otherTok = "other-token"
	delegate = "/ip4/203.0.113.1/tcp/4040/p2p/12D3KooWGjMCwmf2JqsSg8JRLLoRNvTUfJkS8SYzN4jvTLNGHrWn"
	origin   = "/ip4/203.0.113.142/tcp/4001/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"
	cidV0    = "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG"
	cidV1    = "bafybeie5nqv6kd3qnfjupgvz34woh3oksc3iau6abmyajn7qvtf6d2ho34" // of the same DAG
	someID   = "0197a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b"
	otherID  = "0197a1b2-c3d5-7e5f-8a9b-0c1d2e3f4a5b"
)

// stub is a Service that answers with one view or one error, and keeps what it
// was last asked.
type stub struct {
	mu    sync.Mutex
	view  pin.View
	page  pin.ViewPage
	err   error
	calls int

	account, id string
	spec        pin.Spec
	query       pin.Query
}

func (s *stub) call(account, id string, spec pin.Spec, q pin.Query) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	s.account, s.id, s.spec, s.query = account, id, spec, q
	return s.err
}

func (s *stub) Add(_ context.Context, account string, spec pin.Spec) (pin.View, error) {
	err := s.call(account, "", spec, pin.Query{})
	return s.view, err
}

func (s *stub) Replace(_ context.Context, account, id string, spec pin.Spec) (pin.View, error) {
	err := s.call(account, id, spec, pin.Query{})
	return s.view, err
}

func (s *stub) Remove(_ context.Context, account, id string) error {
	return s.call(account, id, pin.Spec{}, pin.Query{})
}

func (s *stub) Get(_ context.Context, account, id string) (pin.View, error) {
	err := s.call(account, id, pin.Spec{}, pin.Query{})
	return s.view, err
}

func (s *stub) List(_ context.Context, account string, q pin.Query) (pin.ViewPage, error) {
	err := s.call(account, "", pin.Spec{}, q)
	return s.page, err
}

// inMemory is a Service over records in memory, in which every request stays
// as it was made.
type inMemory struct{ *pintest.Records }

func (m inMemory) Add(ctx context.Context, account string, s pin.Spec) (pin.View, error) {
	r, err := m.Records.Add(ctx, account, s)
	return pin.View{Request: r}, err
}

func (m inMemory) Replace(ctx context.Context, account, id string, s pin.Spec) (pin.View, error) {
	r, _, _, err := m.Records.Replace(ctx, account, id, s)
	return pin.View{Request: r}, err
}

func (m inMemory) Remove(ctx context.Context, account, id string) error {
	_, _, err := m.Records.Remove(ctx, account, id)
	return err
}

func (m inMemory) Get(ctx context.Context, account, id string) (pin.View, error) {
	r, err := m.Records.Get(ctx, account, id)
	return pin.View{Request: r}, err
}

func (m inMemory) List(ctx context.Context, account string, q pin.Query) (pin.ViewPage, error) {
	p, err := m.Records.List(ctx, account, q)
	v := pin.ViewPage{Count: p.Count}
	for _, r := range p.Requests {
		v.Views = append(v.Views, pin.View{Request: r})
	}
	return v, err
}

// bearer is an authentication middleware with two accounts.
func bearer(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		p := auth.Principal{Account: account}
		switch r.Header.Get(echo.HeaderAuthorization) {
		case "Bearer " + token:
		case "Bearer " + otherTok:
			p.Account = "0197a1b2-0000-7000-8000-00000000000b"
		case "Bearer wrong-use":
			return auth.ErrForbidden
		default:
			return auth.ErrUnauthorized
		}
		c.SetRequest(r.WithContext(auth.WithPrincipal(r.Context(), p)))
		return next(c)
	}
}

// server is the API under /api/psa on a real listener.
type server struct {
	*httptest.Server
	t   *testing.T
	log *logtest.Buffer
}

func newServer(t *testing.T, svc Service, change ...func(*Config)) *server {
	t.Helper()
	s := &server{t: t, log: &logtest.Buffer{}}
	cfg := Config{
		Service:   svc,
		Delegates: func() []string { return []string{delegate} },
		Auth:      bearer,
		Logger:    slog.New(slog.NewJSONHandler(s.log, nil)),
	}
	for _, f := range change {
		f(&cfg)
	}
	e := echo.New()
	e.HTTPErrorHandler = func(err error, c echo.Context) {
		t.Errorf("%s %s: the router's own error handler got %v", c.Request().Method, c.Request().URL, err)
		_ = c.NoContent(http.StatusTeapot)
	}
	if err := Register(e.Group("/api/psa"), cfg); err != nil {
		t.Fatal(err)
	}
	s.Server = httptest.NewServer(e)
	t.Cleanup(s.Close)
	return s
}

// request makes a request with a good token and, if it has a body, JSON's
// media type. Headers are pairs; an empty value takes a header away.
func (s *server) request(method, path, body string, headers ...string) *http.Request {
	s.t.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.URL+"/api/psa"+path, r)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i+1] == "" {
			req.Header.Del(headers[i])
		} else {
			req.Header.Set(headers[i], headers[i+1])
		}
	}
	return req
}

// response is an answer with its body read.
type response struct {
	*http.Response
	body string
}

func (s *server) do(req *http.Request) response {
	s.t.Helper()
	res, err := s.Client().Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return response{res, string(b)}
}

func (s *server) call(method, path, body string, headers ...string) response {
	s.t.Helper()
	return s.do(s.request(method, path, body, headers...))
}

// failure reads a Failure, and nothing but a Failure.
func (r response) failure(t *testing.T) FailureError {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(r.body))
	dec.DisallowUnknownFields()
	var f Failure
	if err := dec.Decode(&f); err != nil || f.Error.Reason == "" {
		t.Fatalf("status %d: %q is not a Failure: %v", r.StatusCode, r.body, err)
	}
	if ct := r.Header.Get("Content-Type"); ct != "application/json" {
		t.Errorf("Content-Type %q", ct)
	}
	return f.Error
}

// wantFailure checks status, reason and a part of the details.
func (r response) wantFailure(t *testing.T, status int, reason, details string) {
	t.Helper()
	if r.StatusCode != status {
		t.Fatalf("status %d, want %d: %s", r.StatusCode, status, r.body)
	}
	if f := r.failure(t); f.Reason != reason || !strings.Contains(f.Details, details) {
		t.Errorf("got %+v, want reason %s and details with %q", f, reason, details)
	}
}

// view is a request with nothing optional.
func view(status pin.Status) pin.View {
	return pin.View{Request: pin.Request{
		ID: someID, Account: account, Status: status,
		Spec:    pin.Spec{CID: cidV0, Root: cid.MustParse(cidV0)},
		Created: time.Date(2020, 7, 27, 17, 32, 28, 276_000_000, time.UTC),
	}}
}

// fullView is a request with all that a PinStatus can hold.
func fullView(status pin.Status) pin.View {
	v := view(status)
	v.Name = `<Precious & "Data">.pdf`
	v.Meta = map[string]string{"app_id": "99986338-1113-4706-8302-4420da6158aa", "empty": ""}
	v.Origins = []string{origin}
	v.Info = map[string]string{"status_details": "queue position 7 of 9", "blocks": "12"}
	return v
}

func pinBody(cid string) string { return `{"cid":"` + cid + `"}` }
