package psa

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/internal/faults"
	"github.com/holdfast-ipfs/holdfast/pin"
)

var update = flag.Bool("update", false, "rewrite testdata/*.golden")

// goldenHeaders are the headers that are part of what the API promises.
var goldenHeaders = []string{
	"Content-Type", "Content-Length", "Allow", "Retry-After", "WWW-Authenticate", "Vary",
	"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Access-Control-Allow-Methods", "Access-Control-Allow-Headers",
	"Access-Control-Expose-Headers", "Access-Control-Max-Age",
}

// golden compares an answer with testdata/NAME.golden.
func (r response) golden(t *testing.T, name string) {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "%d\n", r.StatusCode)
	for _, h := range goldenHeaders {
		for _, v := range r.Header.Values(h) {
			fmt.Fprintf(&b, "%s: %s\n", h, v)
		}
	}
	fmt.Fprintf(&b, "\n%s", r.body)
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", file, b.String(), want)
	}
}

// Every answer that is a success.
func TestAnswers(t *testing.T) {
	second := view(pin.Pinned)
	second.ID = otherID
	ignoring := view(pin.Queued)
	ignoring.Origins = pin.BestOrigins([]string{"/ip4/203.0.113.1/udp/1/quic-v9/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N", "", "/dns4/nodes.example.com/tcp/4001", origin}, netip.Addr{})
	ignoring.Info = pin.InfoOf(ignoring.Request)
	full := `{"cid":"` + cidV0 + `","name":"n","meta":{"k":"v"},"origins":["` + origin + `"]}`
	for _, tt := range []struct {
		name               string
		view               pin.View
		page               pin.ViewPage
		method, path, body string
		status             int
	}{
		{name: "list", page: pin.ViewPage{Count: 25, Views: []pin.View{fullView(pin.Queued), second}},
			method: "GET", path: "/pins", status: 200},
		{name: "list-empty", method: "GET", path: "/pins", status: 200},
		{name: "list-head", page: pin.ViewPage{Count: 1, Views: []pin.View{second}},
			method: "HEAD", path: "/pins", status: 200},
		{name: "add", view: fullView(pin.Queued), method: "POST", path: "/pins", body: full, status: 202},
		{name: "add-origins", view: ignoring, method: "POST", path: "/pins", body: full, status: 202},
		{name: "add-least", view: view(pin.Queued), method: "POST", path: "/pins", body: pinBody(cidV0), status: 202},
		{name: "get-queued", view: fullView(pin.Queued), method: "GET", path: "/pins/" + someID, status: 200},
		{name: "get-pinning", view: fullView(pin.Pinning), method: "GET", path: "/pins/" + someID, status: 200},
		{name: "get-pinned", view: view(pin.Pinned), method: "GET", path: "/pins/" + someID, status: 200},
		{name: "get-failed", view: fullView(pin.Failed), method: "GET", path: "/pins/" + someID, status: 200},
		{name: "get-head", view: view(pin.Pinned), method: "HEAD", path: "/pins/" + someID, status: 200},
		{name: "replace", view: fullView(pin.Pinning), method: "POST", path: "/pins/" + otherID, body: full, status: 202},
		{name: "remove", method: "DELETE", path: "/pins/" + someID, status: 202},
		{name: "options-pins", method: "OPTIONS", path: "/pins", status: 204},
		{name: "options-pin", method: "OPTIONS", path: "/pins/" + someID, status: 204},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, &stub{view: tt.view, page: tt.page})
			r := s.call(tt.method, tt.path, tt.body)
			if r.StatusCode != tt.status {
				t.Errorf("status %d, want %d", r.StatusCode, tt.status)
			}
			r.golden(t, tt.name)
		})
	}
}

// Every row of the table of errors, as a page in a browser gets it.
func TestErrorTable(t *testing.T) {
	const requestID = "0197a1b2-ffff-7e5f-8a9b-0c1d2e3f4a5b"
	large := `{"cid":"` + cidV0 + `","unknown":"` + strings.Repeat("x", maxBody) + `"}`
	for _, tt := range []struct {
		name               string
		err                error // of the service
		method, path, body string
		headers            []string
		status             int
		reason             string
	}{
		{name: "body", method: "POST", path: "/pins", body: `{"cid":`, status: 400, reason: "BAD_REQUEST"},
		{name: "query", method: "GET", path: "/pins?limit=1001", status: 400, reason: "BAD_REQUEST"},
		{name: "query-filter", method: "GET", path: "/pins?cids=" + cidV0, status: 400, reason: "BAD_REQUEST"},
		{name: "query-brackets", method: "GET", path: "/pins?filter%5Bstatus%5D=failed", status: 400, reason: "BAD_REQUEST"},
		{name: "cid", method: "POST", path: "/pins", body: pinBody("nonsense"), status: 400, reason: "BAD_REQUEST"},
		{name: "codec", method: "POST", path: "/pins", body: pinBody(carCID), status: 400, reason: "BAD_REQUEST"},
		{name: "hash", method: "POST", path: "/pins", body: pinBody(murmurCID), status: 400, reason: "BAD_REQUEST"},
		{name: "origin", method: "POST", path: "/pins", body: `{"cid":"` + cidV0 + `","origins":["` + origin + `",1]}`, status: 400, reason: "BAD_REQUEST"},
		{name: "name", method: "POST", path: "/pins", body: `{"cid":"` + cidV0 + `","name":"` + strings.Repeat("é", 256) + `"}`, status: 400, reason: "BAD_REQUEST"},
		{name: "invalid-to-service", err: fmt.Errorf("add: %w", &pin.InvalidError{Field: "origins", Msg: "is no good"}), method: "POST", path: "/pins", body: pinBody(cidV0), status: 400, reason: "BAD_REQUEST"},
		{name: "not-failed", err: pin.ErrNotFailed, method: "GET", path: "/pins/" + someID, status: 400, reason: "BAD_REQUEST"},
		{name: "unauthorized", method: "GET", path: "/pins", headers: []string{"Authorization", "Bearer revoked"}, status: 401, reason: "UNAUTHORIZED"},
		{name: "no-token", method: "DELETE", path: "/pins/" + someID, headers: []string{"Authorization", ""}, status: 401, reason: "UNAUTHORIZED"},
		{name: "forbidden", method: "GET", path: "/pins", headers: []string{"Authorization", "Bearer wrong-use"}, status: 403, reason: "FORBIDDEN"},
		{name: "not-found", err: fmt.Errorf("load: %w", pin.ErrNotFound), method: "GET", path: "/pins/" + someID, status: 404, reason: "NOT_FOUND"},
		{name: "replace-not-found", err: pin.ErrNotFound, method: "POST", path: "/pins/" + someID, body: pinBody(cidV0), status: 404, reason: "NOT_FOUND"},
		{name: "remove-not-found", err: pin.ErrNotFound, method: "DELETE", path: "/pins/" + someID, status: 404, reason: "NOT_FOUND"},
		{name: "no-such-path", method: "GET", path: "/pinz", status: 404, reason: "NOT_FOUND"},
		{name: "quota", err: fmt.Errorf("add: %w", pin.ErrQuota), method: "POST", path: "/pins", body: pinBody(cidV0), status: 409, reason: "INSUFFICIENT_FUNDS"},
		{name: "quota-pins", err: fmt.Errorf("add: %w", &pin.QuotaError{Pins: true, Used: 10, Limit: 10}), method: "POST", path: "/pins", body: pinBody(cidV0), status: 409, reason: "INSUFFICIENT_FUNDS"},
		{name: "quota-bytes", err: fmt.Errorf("add: %w", &pin.QuotaError{Used: 1000, Limit: 1000}), method: "POST", path: "/pins", body: pinBody(cidV0), status: 409, reason: "INSUFFICIENT_FUNDS"},
		{name: "quota-bytes-asked", err: fmt.Errorf("replace: %w", &pin.QuotaError{Used: 900, Asked: 101, Limit: 1000}), method: "POST", path: "/pins/" + someID, body: pinBody(cidV0), status: 409, reason: "INSUFFICIENT_FUNDS"},
		{name: "key", method: "POST", path: "/pins", body: pinBody(cidV0), headers: []string{"Idempotency-Key", `"one", "two"`}, status: 400, reason: "BAD_REQUEST"},
		{name: "key-reused", err: fmt.Errorf("add: %w", pin.ErrKeyReused), method: "POST", path: "/pins", body: pinBody(cidV0), status: 422, reason: "UNPROCESSABLE_ENTITY"},
		{name: "key-gone", err: fmt.Errorf("replace: %w", pin.ErrKeyGone), method: "POST", path: "/pins/" + someID, body: pinBody(cidV0), status: 410, reason: "GONE"},
		{name: "method", method: "PUT", path: "/pins/" + someID, body: pinBody(cidV0), status: 405, reason: "METHOD_NOT_ALLOWED"},
		{name: "body-size", method: "POST", path: "/pins", body: large, status: 413, reason: "REQUEST_ENTITY_TOO_LARGE"},
		{name: "media-type", method: "POST", path: "/pins", body: "cid=" + cidV0, headers: []string{"Content-Type", "application/x-www-form-urlencoded"}, status: 415, reason: "UNSUPPORTED_MEDIA_TYPE"},
		{name: "too-fast", err: fmt.Errorf("add: %w", pin.ErrTooFast), method: "POST", path: "/pins", body: pinBody(cidV0), status: 429, reason: "TOO_MANY_REQUESTS"},
		{name: "unknown", err: errors.New("SECRET: open /data/x: permission denied"), method: "GET", path: "/pins", status: 500, reason: "INTERNAL_SERVER_ERROR"},
		{name: "unreadable", err: fmt.Errorf("load: %w: SECRET key", pin.ErrUnreadable), method: "GET", path: "/pins/" + someID, status: 500, reason: "INTERNAL_SERVER_ERROR"},
		{name: "closed", err: fmt.Errorf("list: %w", pin.ErrClosed), method: "GET", path: "/pins", status: 503, reason: "SERVICE_UNAVAILABLE"},
		{name: "accounts-unavailable", err: auth.ErrUnavailable, method: "GET", path: "/pins", status: 503, reason: "SERVICE_UNAVAILABLE"},
		{name: "disk-full", err: fmt.Errorf("add: %w", pin.ErrDiskFull), method: "POST", path: "/pins", body: pinBody(cidV0), status: 507, reason: "INSUFFICIENT_STORAGE"},
		{name: "remove-disk-full", err: fmt.Errorf("commit: %w", pin.ErrDiskFull), method: "DELETE", path: "/pins/" + someID, status: 507, reason: "INSUFFICIENT_STORAGE"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, &stub{err: tt.err}, func(c *Config) {
				inner := c.Auth
				c.Auth = func(next echo.HandlerFunc) echo.HandlerFunc {
					return func(c echo.Context) error {
						c.Response().Header().Set(echo.HeaderXRequestID, requestID)
						return inner(next)(c)
					}
				}
			})
			r := s.call(tt.method, tt.path, tt.body, append(tt.headers, "Origin", "https://app.example.com")...)
			r.wantFailure(t, tt.status, tt.reason, "")
			r.golden(t, "error-"+tt.name)
			if logged := strings.Count(s.log.String(), "\n"); (tt.status == 500) != (logged == 1) || logged > 1 {
				t.Errorf("logged %d lines: %s", logged, s.log)
			}
			if strings.Contains(r.body, "SECRET") {
				t.Error("the cause was sent")
			}
		})
	}
}

// The cause of a 500 is in the log, under the id that the client got.
func TestUnknownErrorIsLoggedOnce(t *testing.T) {
	s := newServer(t, &stub{err: errors.New("SECRET cause")})
	f := s.call("GET", "/pins/"+someID, "").failure(t)
	id := f.Details[strings.LastIndexByte(f.Details, ' ')+1:]
	if len(id) != 36 {
		t.Fatalf("no request id in %q", f.Details)
	}
	log := s.log.String()
	for _, want := range []string{id, "SECRET cause", account, "/api/psa/pins/" + someID, `"GET"`} {
		if strings.Count(log, want) == 0 {
			t.Errorf("the log lacks %s: %s", want, log)
		}
	}
	if strings.Count(log, "\n") != 1 || strings.Contains(log, token) {
		t.Errorf("log: %s", log)
	}
}

func TestPanicIs500(t *testing.T) {
	s := newServer(t, &stub{}, func(c *Config) {
		c.Delegates = func() []string { panic("SECRET panic") }
	})
	r := s.call("GET", "/pins", "", "Origin", "https://app.example.com")
	r.wantFailure(t, 500, "INTERNAL_SERVER_ERROR", "request id")
	if strings.Contains(r.body, "SECRET") || r.Header.Get("Access-Control-Allow-Origin") != "https://app.example.com" {
		t.Errorf("%v %s", r.Header, r.body)
	}
	if log := s.log.String(); strings.Count(log, "SECRET panic") != 1 || !strings.Contains(log, "golden_test.go") {
		t.Errorf("the log has neither panic nor stack, or more than one: %s", log)
	}
	if s.call("GET", "/nothing", "").StatusCode != 404 {
		t.Error("the server did not go on")
	}
}

// http.ErrAbortHandler goes on to net/http, which it is for.
func TestAbortIsNotAnswered(t *testing.T) {
	s := newServer(t, &stub{}, func(c *Config) {
		c.Delegates = func() []string { panic(http.ErrAbortHandler) }
	})
	if res, err := s.Client().Do(s.request("GET", "/pins", "")); err == nil {
		res.Body.Close()
		t.Errorf("answered %d", res.StatusCode)
	}
	if s.log.String() != "" {
		t.Errorf("logged %s", s.log)
	}
}

// waiting is a Service whose List waits for the request's end.
type waiting struct {
	stub
	entered, left chan struct{}
}

func (w *waiting) List(ctx context.Context, _ string, _ pin.Query) (pin.ViewPage, error) {
	close(w.entered)
	<-ctx.Done()
	return pin.ViewPage{}, fmt.Errorf("scan: %w", ctx.Err())
}

// A client that hangs up is no fault of the server.
func TestHangUpIsNotLogged(t *testing.T) {
	w := &waiting{entered: make(chan struct{}), left: make(chan struct{})}
	var status int
	s := newServer(t, w, func(c *Config) {
		c.Delegates = func() []string { return []string{delegate} }
	})
	s.Config.Handler = recordStatus(s.Config.Handler, &status, w.left)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		res, err := s.Client().Do(s.request("GET", "/pins", "").WithContext(ctx))
		if err == nil {
			res.Body.Close()
		}
		done <- err
	}()
	<-w.entered
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatalf("client got %v", err)
	}
	<-w.left
	if status != faults.StatusClientGone || s.log.String() != "" {
		t.Errorf("status %d, log %s", status, s.log)
	}
}

// recordStatus keeps the status of the next answer, and closes done after it.
func recordStatus(h http.Handler, status *int, done chan struct{}) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(done)
		h.ServeHTTP(&statusWriter{w, status}, r)
	})
}

type statusWriter struct {
	http.ResponseWriter
	status *int
}

func (w *statusWriter) WriteHeader(code int) {
	*w.status = code
	w.ResponseWriter.WriteHeader(code)
}

// A request whose deadline an outer middleware set may be tried again.
func TestDeadlineIs503(t *testing.T) {
	s := newServer(t, &stub{err: context.DeadlineExceeded}, func(c *Config) {
		inner := c.Auth
		c.Auth = func(next echo.HandlerFunc) echo.HandlerFunc {
			return func(c echo.Context) error {
				ctx, cancel := context.WithTimeout(c.Request().Context(), 0)
				defer cancel()
				c.SetRequest(c.Request().WithContext(ctx))
				return inner(next)(c)
			}
		}
	})
	r := s.call("GET", "/pins", "")
	r.wantFailure(t, 503, "SERVICE_UNAVAILABLE", "in time")
	if r.Header.Get("Retry-After") == "" || s.log.String() != "" {
		t.Errorf("%v %s", r.Header, s.log)
	}
}

// While the node has no address, nothing changes, and no answer breaks the spec.
func TestNoDelegatesIs503(t *testing.T) {
	svc := &stub{}
	s := newServer(t, svc, func(c *Config) { c.Delegates = func() []string { return nil } })
	for _, r := range []response{
		s.call("POST", "/pins", pinBody(cidV0)),
		s.call("POST", "/pins/"+someID, pinBody(cidV0)),
		s.call("GET", "/pins", ""),
		s.call("GET", "/pins/"+someID, ""),
	} {
		r.wantFailure(t, 503, "SERVICE_UNAVAILABLE", "no address")
		if r.Header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	}
	if svc.calls != 0 {
		t.Errorf("the service was called %d times", svc.calls)
	}
	if r := s.call("DELETE", "/pins/"+someID, ""); r.StatusCode != 202 {
		t.Errorf("remove, which names no delegates: %d", r.StatusCode)
	}
}

// The spec allows at most 20 delegates.
func TestDelegatesAreBounded(t *testing.T) {
	many := make([]string, 30)
	for i := range many {
		many[i] = fmt.Sprint(i)
	}
	if got := NewPinStatus(view(pin.Pinned), many).Delegates; len(got) != 20 || got[0] != "0" {
		t.Errorf("got %v", got)
	}
}

// An error of another package's middleware keeps its status and loses its message.
func TestForeignErrors(t *testing.T) {
	s := newServer(t, &stub{err: echo.NewHTTPError(http.StatusTooManyRequests, "SECRET")})
	r := s.call("GET", "/pins", "")
	r.wantFailure(t, 429, "TOO_MANY_REQUESTS", "Too Many Requests")
	s = newServer(t, &stub{err: echo.NewHTTPError(http.StatusBadGateway, "SECRET")})
	r = s.call("GET", "/pins", "")
	r.wantFailure(t, 500, "INTERNAL_SERVER_ERROR", "request id")
	if strings.Contains(r.body, "SECRET") {
		t.Error(r.body)
	}
}

// An authentication that puts no account into the context lets nobody in.
func TestNoPrincipalIs401(t *testing.T) {
	svc := &stub{}
	s := newServer(t, svc, func(c *Config) {
		c.Auth = func(next echo.HandlerFunc) echo.HandlerFunc { return next }
	})
	for _, r := range []response{
		s.call("POST", "/pins", pinBody(cidV0)),
		s.call("POST", "/pins/"+someID, pinBody(cidV0)),
		s.call("GET", "/pins", ""),
		s.call("GET", "/pins/"+someID, ""),
		s.call("DELETE", "/pins/"+someID, ""),
	} {
		r.wantFailure(t, 401, "UNAUTHORIZED", "")
	}
	if svc.calls != 0 {
		t.Errorf("the service was called %d times", svc.calls)
	}
}
