package auth_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/auth/authhttp"
)

// serve answers one request with the endpoints of s.
func serve(s *auth.Service, r *http.Request) *httptest.ResponseRecorder {
	return serveLogged(s, nil, r)
}

// serveLogged is serve with a log; nil is none.
func serveLogged(s *auth.Service, log *slog.Logger, r *http.Request) *httptest.ResponseRecorder {
	e := echo.New()
	authhttp.Register(e, s, authhttp.Config{Log: log})
	(&admin.Server{Auth: s, Log: log}).Register(e)
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	return w
}

func post(path, media, body string) *http.Request {
	r := httptest.NewRequest("POST", path, strings.NewReader(body))
	if media != "" {
		r.Header.Set("Content-Type", media)
	}
	return r
}

const (
	mediaJSON = "application/json"
	mediaForm = "application/x-www-form-urlencoded"
	annsLogin = `{"email":"ann@example.com","password":"correct horse battery"}`
)

// masked replaces random parts by names.
var masked = regexp.MustCompile(`[\w-]+\.[\w-]+\.[\w-]{43}`)

func TestLoginGolden(t *testing.T) {
	f := newFixture(t)
	const want = `{"access_token":"JWT","refresh_token":"JWT","status":"success"}` + "\n"
	var multi bytes.Buffer
	m := multipart.NewWriter(&multi)
	f.ok(m.WriteField("email", f.ann.Email))
	f.ok(m.WriteField("password", goodPassword))
	f.ok(m.Close())
	for name, r := range map[string]*http.Request{
		"JSON":               post("/api/auth/login", mediaJSON, annsLogin),
		"trailing slash":     post("/api/auth/login/", mediaJSON, annsLogin),
		"charset":            post("/api/auth/login", "Application/JSON; charset=utf-8", annsLogin+"\n"),
		"unknown fields":     post("/api/auth/login", mediaJSON, `{"x":[{}],"password":"correct horse battery","email":" ANN@example.com"}`),
		"JSON of no type":    post("/api/auth/login", "", "\n "+annsLogin),
		"JSON called a form": post("/api/auth/login", mediaForm, annsLogin), // curl -d
		"form":               post("/api/auth/login", mediaForm, url.Values{"email": {f.ann.Email}, "password": {goodPassword}, "x": {"y"}}.Encode()),
		"multipart form":     post("/api/auth/login", m.FormDataContentType(), multi.String()),
		"query passed over":  post("/api/auth/login?email=x&password=y", mediaForm, url.Values{"email": {f.ann.Email}, "password": {goodPassword}}.Encode()),
	} {
		w := serve(f.Service, r)
		if got := masked.ReplaceAllString(w.Body.String(), "JWT"); w.Code != 200 || got != want {
			t.Errorf("%s: %d %s, want 200 %s", name, w.Code, got, want)
			continue
		}
		if ct, cc := w.Header().Get("Content-Type"), w.Header().Get("Cache-Control"); ct != "application/json" || cc != "no-store" {
			t.Errorf("%s: Content-Type %q, Cache-Control %q", name, ct, cc)
		}
		var got map[string]string
		f.ok(json.Unmarshal(w.Body.Bytes(), &got))
		f.counts(got["access_token"])
		_, err := f.Refresh(t.Context(), got["refresh_token"])
		f.ok(err)
	}
}

func TestRefreshGolden(t *testing.T) {
	f := newFixture(t)
	pair := f.login()
	for range 2 {
		w := serve(f.Service, post("/api/auth/refresh", mediaJSON, fmt.Sprintf(`{"refresh_token":%q}`, pair.Refresh)))
		const want = `{"access_token":"JWT","refresh_token":"JWT","status":"success"}` + "\n"
		if got := masked.ReplaceAllString(w.Body.String(), "JWT"); w.Code != 200 || got != want {
			t.Fatalf("%d %s, want 200 %s", w.Code, got, want)
		}
		var got map[string]string
		f.ok(json.Unmarshal(w.Body.Bytes(), &got))
		f.counts(got["access_token"])
		f.counts(pair.Access)
		pair = auth.Pair{Access: got["access_token"], Refresh: got["refresh_token"]}
	}
}

func TestFailuresGolden(t *testing.T) {
	f := newFixture(t)
	bob, err := f.AddAccount(t.Context(), auth.NewAccount{Email: "bob@example.com", Password: goodPassword})
	f.ok(err)
	_, err = f.Disable(t.Context(), bob.ID)
	f.ok(err)
	old := f.login().Refresh
	_, err = f.Refresh(t.Context(), old)
	f.ok(err)
	f.clock.add(time.Minute)

	const (
		wrong   = `401 UNAUTHORIZED the e-mail address or the password is wrong`
		notJSON = `400 BAD_REQUEST the body is not one JSON object`
		media   = `415 UNSUPPORTED_MEDIA_TYPE send JSON with Content-Type: application/json, or a form`
		tooBig  = `413 REQUEST_ENTITY_TOO_LARGE the body is larger than 8 KiB`
		method  = `405 METHOD_NOT_ALLOWED use POST`
		login   = "/api/auth/login"
	)
	request := func(method, path string) *http.Request { return httptest.NewRequest(method, path, nil) }
	torn := httptest.NewRequest("POST", login, iotest.ErrReader(errors.New("torn")))
	torn.Header.Set("Content-Type", mediaJSON)
	for name, c := range map[string]struct {
		r    *http.Request
		want string
	}{
		"wrong password":   {post(login, mediaJSON, `{"email":"ann@example.com","password":"Correct horse battery"}`), wrong},
		"unknown account":  {post(login, mediaJSON, `{"email":"eve@example.com","password":"correct horse battery"}`), wrong},
		"no address":       {post(login, mediaJSON, `{"email":"eve","password":"correct horse battery"}`), wrong},
		"disabled":         {post(login, mediaJSON, `{"email":"bob@example.com","password":"correct horse battery"}`), `403 FORBIDDEN the account is disabled`},
		"password missing": {post(login, mediaJSON, `{"email":"ann@example.com"}`), `400 BAD_REQUEST password: is missing`},
		"password null":    {post(login, mediaJSON, `{"email":"ann@example.com","password":null}`), `400 BAD_REQUEST password: is missing`},
		"email empty":      {post(login, mediaJSON, `{"email":"","password":"x"}`), `400 BAD_REQUEST email: is missing`},
		"password a number": {post(login, mediaJSON, `{"email":"ann@example.com","password":123456789012}`),
			`400 BAD_REQUEST password: must be a string`},
		"empty body":             {post(login, mediaJSON, ""), notJSON},
		"null":                   {post(login, mediaJSON, "null"), notJSON},
		"array":                  {post(login, mediaJSON, "["+annsLogin+"]"), notJSON},
		"trailing garbage":       {post(login, mediaJSON, annsLogin+"x"), notJSON},
		"two objects":            {post(login, mediaJSON, annsLogin+annsLogin), notJSON},
		"cut":                    {post(login, mediaJSON, annsLogin[:20]), notJSON},
		"torn":                   {torn, `400 BAD_REQUEST the body could not be read to its end`},
		"a form of no type":      {post(login, "", "email=ann@example.com&password=x"), media},
		"nothing of no type":     {post(login, "", ""), media},
		"text":                   {post(login, "text/plain", annsLogin), media},
		"broken media type":      {post(login, ";;", annsLogin), media},
		"cut, sent as a form":    {post(login, mediaForm, annsLogin[:20]), notJSON},
		"broken form":            {post(login, mediaForm, "email=%zz"), `400 BAD_REQUEST the body is not a form`},
		"form field twice":       {post(login, mediaForm, "email=a@b&email=c@d&password=x"), `400 BAD_REQUEST email: is given more than once`},
		"broken multipart":       {post(login, "multipart/form-data; boundary=x", "--y"), `400 BAD_REQUEST the body is not a multipart form`},
		"multipart, no boundary": {post(login, "multipart/form-data", "--y"), `400 BAD_REQUEST the body is not a multipart form`},
		"too big":                {post(login, mediaJSON, `{"email":"`+strings.Repeat("a", 8<<10)+`"}`), tooBig},
		"10 MB":                  {post(login, mediaForm, "email="+strings.Repeat("a", 10<<20)), tooBig},
		"GET":                    {request("GET", login), method},
		"HEAD":                   {request("HEAD", login), method},
		"PUT, slash":             {request("PUT", login+"/"), method},
		"OPTIONS":                {request("OPTIONS", login), method},
		"a method of its own":    {request("BREW", login), method},
		"GET refresh":            {request("GET", "/api/auth/refresh"), method},
		"no such endpoint":       {post("/api/auth/nothing", mediaJSON, "{}"), `404 NOT_FOUND there is nothing at this path`},
		"refresh missing":        {post("/api/auth/refresh", mediaJSON, "{}"), `400 BAD_REQUEST refresh_token: is missing`},
		"refresh with rubbish": {post("/api/auth/refresh", mediaJSON, `{"refresh_token":"rubbish"}`),
			`401 UNAUTHORIZED not authorized: the token is not one of this server`},
		"refresh twice": {post("/api/auth/refresh", mediaJSON, `{"refresh_token":"`+old+`"}`),
			`401 UNAUTHORIZED not authorized: the refresh token was used already, so its session was ended; log in again`},
	} {
		w := serve(f.Service, c.r)
		if got := readFailure(t, w); got != c.want {
			t.Errorf("%s: %s\nwant %s", name, got, c.want)
		}
		if (w.Code == 401) != (w.Header().Get("WWW-Authenticate") == auth.Challenge) {
			t.Errorf("%s: %d with WWW-Authenticate %q", name, w.Code, w.Header().Get("WWW-Authenticate"))
		}
		if (w.Code == 405) != (w.Header().Get("Allow") == "POST") {
			t.Errorf("%s: %d with Allow %q", name, w.Code, w.Header().Get("Allow"))
		}
	}
}

// readFailure returns the status, the reason and the details of an answer, which must have
// nothing else.
func readFailure(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	var f struct {
		Status string
		Error  struct{ Reason, Details string }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &f); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	quoted := func(s string) string {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		if err := enc.Encode(s); err != nil {
			t.Fatal(err)
		}
		return strings.TrimSuffix(b.String(), "\n")
	}
	want := fmt.Sprintf(`{"status":"error","error":{"reason":%s,"details":%s}}`+"\n", quoted(f.Error.Reason), quoted(f.Error.Details))
	if w.Body.String() != want {
		t.Fatalf("the failure is\n%s\nwant\n%s", w.Body, want)
	}
	return fmt.Sprint(w.Code, " ", f.Error.Reason, " ", f.Error.Details)
}

func TestBusyAnswer(t *testing.T) {
	f := newFixture(t, func(c *auth.Config) { c.HashesAtOnce = 1; c.HashWait = 1 })
	inside, hold := make(chan struct{}), make(chan struct{})
	auth.HoldHashes(f.Service, func() { close(inside); <-hold })
	first := make(chan int)
	go func() { first <- serve(f.Service, post("/api/auth/login", mediaJSON, annsLogin)).Code }()
	<-inside
	w := serve(f.Service, post("/api/auth/login", mediaJSON, annsLogin))
	if got, want := readFailure(t, w), "503 SERVICE_UNAVAILABLE too many passwords are being checked; try again"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if w.Header().Get("Retry-After") != "5" {
		t.Errorf("Retry-After %q", w.Header().Get("Retry-After"))
	}
	close(hold)
	if code := <-first; code != 200 {
		t.Errorf("the login that had its turn: %d", code)
	}
}

// TestFaultAnswer: the cause of a fault is in the log and not in the answer.
func TestFaultAnswer(t *testing.T) {
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	f := newFixture(t, func(c *auth.Config) { c.Log = logger })
	for cause, want := range map[error]string{
		errors.New("secret cause"):                          "500 INTERNAL_SERVER_ERROR something went wrong",
		fmt.Errorf("%w: secret cause", auth.ErrUnavailable): "503 SERVICE_UNAVAILABLE accounts are not available now",
		fmt.Errorf("%w: secret cause", auth.ErrDiskFull):    "507 INSUFFICIENT_STORAGE the server's disk is too full to write to",
		fmt.Errorf("%w: secret cause", auth.ErrUnwritable):  "500 INTERNAL_SERVER_ERROR the server cannot write to its disk now, and nothing was changed",
		fmt.Errorf("%w: secret cause", auth.ErrInDoubt):     "500 INTERNAL_SERVER_ERROR the server's disk failed, and it is not known whether this was done",
	} {
		log.Reset()
		f.accounts.SetFault(func(string) error { return cause })
		w := serveLogged(f.Service, logger, post("/api/auth/login", mediaJSON, annsLogin))
		got := readFailure(t, w)
		if !strings.HasPrefix(got, want) || strings.Contains(got, "secret cause") {
			t.Errorf("%s, want %s", got, want)
		}
		if n := strings.Count(log.String(), "secret cause"); n != 1 {
			t.Errorf("the cause is in the log %d times: %s", n, &log)
		}
		if strings.Contains(log.String(), goodPassword) {
			t.Errorf("the password is in the log: %s", &log)
		}
		id := w.Header().Get("X-Request-Id")
		if w.Code == 500 && (id == "" || !strings.Contains(got, id) || !strings.Contains(log.String(), id)) {
			t.Errorf("the request id %q is not in answer and log: %s, %s", id, got, &log)
		}
	}
}

func TestMiddleware(t *testing.T) {
	f := newFixture(t)
	tok, raw := f.device()
	gone, revoked := f.device()
	_, err := f.RevokeToken(t.Context(), gone.ID)
	f.ok(err)

	var failed error
	e := echo.New()
	e.Use(authhttp.Middleware(f.Service, func(c echo.Context, err error) error {
		failed = err
		return c.NoContent(http.StatusTeapot)
	}))
	var who auth.Principal
	e.GET("/", func(c echo.Context) error {
		var ok bool
		if who, ok = auth.PrincipalFrom(c.Request().Context()); !ok {
			t.Error("no principal in the context")
		}
		return c.NoContent(http.StatusOK)
	})
	call := func(headers ...string) int {
		failed, who = nil, auth.Principal{}
		r := httptest.NewRequest("GET", "/", nil)
		for _, h := range headers {
			r.Header.Add("Authorization", h)
		}
		w := httptest.NewRecorder()
		e.ServeHTTP(w, r)
		return w.Code
	}
	for _, h := range []string{"Bearer " + raw, "bearer " + raw, "BEARER   " + raw + " "} {
		want := auth.Principal{Account: f.ann.ID, Email: f.ann.Email, Scope: auth.ScopePin, Kind: auth.Device, TokenID: tok.ID}
		if code := call(h); code != 200 || who != want {
			t.Errorf("%.10s...: %d, %+v", h, code, who)
		}
	}
	for name, hs := range map[string][]string{
		"none":         nil,
		"empty":        {""},
		"scheme alone": {"Bearer"},
		"no token":     {"Bearer "},
		"basic":        {"Basic " + raw},
		"token alone":  {raw},
		"glued":        {"Bearer" + raw},
		"tab":          {"Bearer\t" + raw},
		"two words":    {"Bearer " + raw + " " + raw},
		"two headers":  {"Bearer " + raw, "Bearer " + raw},
		"list":         {"Bearer " + raw + ", Bearer " + raw},
		"quoted":       {`Bearer "` + raw + `"`},
		"revoked":      {"Bearer " + revoked},
		"1 MB":         {"Bearer " + strings.Repeat("a", 1<<20)},
	} {
		if code := call(hs...); code != http.StatusTeapot || !errors.Is(failed, auth.ErrUnauthorized) || who != (auth.Principal{}) {
			t.Errorf("%s: %d, %v; want %v", name, code, failed, auth.ErrUnauthorized)
		}
	}
	broken := errors.New("broken")
	f.accounts.SetFault(func(string) error { return broken })
	auth.ForgetSeen(f.Service)
	if code := call("Bearer " + raw); code != http.StatusTeapot || !errors.Is(failed, broken) || errors.Is(failed, auth.ErrUnauthorized) {
		t.Errorf("a fault: %d, %v", code, failed)
	}
}

func TestRequire(t *testing.T) {
	for _, c := range []struct {
		p                auth.Principal
		read, pin, admin bool
	}{
		{auth.Principal{}, false, false, false},
		{auth.Principal{Admin: true}, false, false, false},
		{auth.Principal{Admin: true, Scope: "all"}, false, false, false},
		{auth.Principal{Admin: true, Scope: auth.ScopeRead}, true, false, false},
		{auth.Principal{Admin: true, Scope: auth.ScopePin}, true, true, false},
		{auth.Principal{Admin: true, Scope: auth.ScopeAdmin}, true, true, true},
		{auth.Principal{Scope: auth.ScopeAdmin}, true, true, false},
	} {
		for what, is := range map[string]struct {
			err error
			ok  bool
		}{
			"read": {c.p.Require(auth.ScopeRead), c.read}, "pin": {c.p.Require(auth.ScopePin), c.pin},
			"admin": {c.p.RequireAdmin(), c.admin}, "unknown": {c.p.Require("all"), false},
		} {
			if (is.err == nil) != is.ok || is.err != nil && !errors.Is(is.err, auth.ErrForbidden) {
				t.Errorf("%+v, %s: %v", c.p, what, is.err)
			}
		}
	}
}
