package daemon

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
	"github.com/labstack/echo/v4"

	adminapi "github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/auth/authhttp"
	"github.com/holdfast-ipfs/holdfast/logtest"
	"github.com/holdfast-ipfs/holdfast/web"
)

func loadOpenAPI(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(openAPI)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return doc
}

// described lists the operations of a document, such as "GET /api/psa/pins".
func described(doc *openapi3.T) map[string]bool {
	all := map[string]bool{}
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			all[method+" "+path] = true
		}
	}
	return all
}

// operationOf names a route of the router as the document does; "" is one that
// answers for no operation: HEAD goes with GET, and a path with a slash at its
// end, or twice in its middle, with the one without.
func operationOf(r *echo.Route) string {
	path := r.Path
	switch {
	case r.Method == http.MethodHead, r.Method == echo.RouteNotFound:
		return ""
	case strings.HasSuffix(path, "/"), strings.Contains(path, "//"):
		return ""
	case strings.HasPrefix(path, RPCPath+"/"): // Kubo's own documentation has these
		return ""
	case path == web.Base, strings.HasPrefix(path, web.Base+"/"): // pages for people
		return ""
	}
	parts := strings.Split(path, "/")
	for i, p := range parts {
		if name, ok := strings.CutPrefix(p, ":"); ok {
			parts[i] = "{" + name + "}"
		}
	}
	return r.Method + " " + strings.Join(parts, "/")
}

// Every route is described, and everything that is described is there.
func TestOpenAPIHasTheRoutes(t *testing.T) {
	e, err := testAPI(t, new(logtest.Lines), slog.LevelInfo).router()
	if err != nil {
		t.Fatal(err)
	}
	doc := described(loadOpenAPI(t))
	routes := map[string]bool{}
	for _, r := range e.Routes() {
		if op := operationOf(r); op != "" {
			routes[op] = true
			if !doc[op] {
				t.Errorf("%s is not described", op)
			}
		}
	}
	for op := range doc {
		if !routes[op] {
			t.Errorf("%s is described and not there", op)
		}
	}
	if len(routes) < 25 {
		t.Errorf("only %d routes were found: %v", len(routes), slices.Sorted(maps.Keys(routes)))
	}
}

func TestOpenAPIIsServed(t *testing.T) {
	a := testAPI(t, new(logtest.Lines), slog.LevelInfo)
	w := a.serve(t, httptest.NewRequest(http.MethodGet, openAPIPath, nil))
	if w.Code != http.StatusOK || !bytes.Equal(w.Body.Bytes(), openAPI) || w.Header().Get("Content-Type") != "application/yaml" {
		t.Errorf("it answers %d %v with %d bytes", w.Code, w.Header(), w.Body.Len())
	}
}

// checker makes requests, and compares them and their answers with the document.
type checker struct {
	t       *testing.T
	handler http.Handler
	router  routers.Router
	// seen are the statuses that each operation answered.
	seen map[string]map[int]bool
}

func newChecker(t *testing.T, a *api) *checker {
	t.Helper()
	h, err := a.handler()
	if err != nil {
		t.Fatal(err)
	}
	router, err := legacy.NewRouter(loadOpenAPI(t))
	if err != nil {
		t.Fatal(err)
	}
	return &checker{t: t, handler: h, router: router, seen: map[string]map[int]bool{}}
}

// do makes a request, and gives the JSON of the answer. A nil body is none. A string is sent
// as text/plain, url.Values as a form, and other values as JSON.
func (c *checker) do(method, target, token string, body any, want int) map[string]any {
	c.t.Helper()
	var text []byte
	media := echo.MIMEApplicationJSON
	switch b := body.(type) {
	case nil:
	case string:
		text, media = []byte(b), echo.MIMETextPlain
	case url.Values:
		text, media = []byte(b.Encode()), echo.MIMEApplicationForm
	default:
		var err error
		if text, err = json.Marshal(b); err != nil {
			c.t.Fatal(err)
		}
	}
	request := func() *http.Request {
		r := httptest.NewRequest(method, target, bytes.NewReader(text))
		if body != nil {
			r.Header.Set(echo.HeaderContentType, media)
		}
		if token != "" {
			r.Header.Set(echo.HeaderAuthorization, "Bearer "+token)
		}
		return r
	}
	w := httptest.NewRecorder()
	c.handler.ServeHTTP(w, request())
	if w.Code != want {
		c.t.Errorf("%s %s answers %d, want %d: %s", method, target, w.Code, want, w.Body)
	}
	r := request()
	route, params, err := c.router.FindRoute(r)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, target, err)
	}
	op := method + " " + route.Path
	if c.seen[op] == nil {
		c.seen[op] = map[int]bool{}
	}
	c.seen[op][w.Code] = true
	in := &openapi3filter.RequestValidationInput{
		Request: r, PathParams: params, Route: route,
		Options: &openapi3filter.Options{
			AuthenticationFunc:    openapi3filter.NoopAuthenticationFunc,
			IncludeResponseStatus: true, // one that is not described is an error
		},
	}
	if w.Code < 300 { // what was refused may well be wrong
		if err := openapi3filter.ValidateRequest(c.t.Context(), in); err != nil {
			c.t.Errorf("%s %s was taken, and is not as described: %v", method, target, err)
		}
	}
	out := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: w.Code, Header: w.Header(),
		Body: io.NopCloser(bytes.NewReader(w.Body.Bytes())), Options: in.Options,
	}
	if err := openapi3filter.ValidateResponse(c.t.Context(), out); err != nil {
		c.t.Errorf("%s %s answers %d not as described: %v\n%s", method, target, w.Code, err, w.Body)
	}
	var answer map[string]any
	if strings.HasPrefix(w.Header().Get(echo.HeaderContentType), echo.MIMEApplicationJSON) {
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			c.t.Fatalf("%s %s: %v in %s", method, target, err, w.Body)
		}
	}
	return answer
}

type object = map[string]any

// Every operation is asked, in ways that succeed and in ways that do not.
func TestOpenAPIHasTheAnswers(t *testing.T) {
	openapi3filter.RegisterBodyDecoder("application/yaml", openapi3filter.FileBodyDecoder)
	const (
		admin, user, password = "admin@example.org", "user@example.org", "correct horse battery"
		root                  = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
	)
	a := testAPI(t, new(logtest.Lines), slog.LevelInfo)
	if _, err := a.auth.AddAccount(t.Context(), auth.NewAccount{Email: admin, Password: password, Admin: true}); err != nil {
		t.Fatal(err)
	}
	c := newChecker(t, a)
	get := func(o object, keys ...string) string {
		t.Helper()
		for _, k := range keys[:len(keys)-1] {
			o, _ = o[k].(object)
		}
		s, ok := o[keys[len(keys)-1]].(string)
		if !ok {
			t.Fatalf("there is no %v in %v", keys, o)
		}
		return s
	}
	login := func(email, password string) (access, refresh string) {
		t.Helper()
		o := c.do("POST", authhttp.LoginPath, "", object{"email": email, "password": password}, 200)
		return get(o, "access_token"), get(o, "refresh_token")
	}

	c.do("GET", "/healthz", "", nil, 200)
	c.do("GET", "/readyz", "", nil, 200)
	a.probes.draining.Store(true)
	c.do("GET", "/readyz", "", nil, 503)
	a.probes.draining.Store(false)
	c.do("GET", openAPIPath, "", nil, 200)

	// Sessions.
	boss, refresh := login(admin, password)
	c.do("POST", authhttp.LoginPath, "", url.Values{"email": {admin}, "password": {password}}, 200)
	c.do("POST", authhttp.LoginPath, "", object{"email": admin}, 400)
	c.do("POST", authhttp.LoginPath, "", object{"email": admin, "password": "another one"}, 401)
	c.do("POST", authhttp.LoginPath, "", "hello", 415)
	c.do("POST", authhttp.LoginPath, "", object{"email": admin, "password": strings.Repeat("x", 20_000)}, 413)
	c.do("POST", authhttp.RefreshPath, "", object{"refresh_token": refresh}, 200)
	c.do("POST", authhttp.RefreshPath, "", object{"refresh_token": boss}, 401)
	c.do("POST", authhttp.RefreshPath, "", object{}, 400)
	c.do("POST", authhttp.RegisterPath, "", object{"email": user, "password": password}, 403)

	// Admin.
	for _, path := range []string{adminapi.AccountsPath, adminapi.InvitesPath, adminapi.AuditPath, adminapi.StatsPath, adminapi.RunsPath, adminapi.ConditionPath} {
		c.do("GET", path, boss, nil, 200)
		c.do("GET", path, "", nil, 401)
	}
	made := c.do("POST", adminapi.AccountsPath, boss, object{"email": user, "password": password, "quota": 1 << 40, "max_pins": 1000}, 201)
	id := get(made, "account", "id")
	c.do("POST", adminapi.AccountsPath, boss, object{"email": user, "password": password}, 409)
	c.do("POST", adminapi.AccountsPath, boss, object{"email": "nobody"}, 400)
	one := adminapi.AccountsPath + "/" + id
	c.do("GET", one, boss, nil, 200)
	c.do("GET", one+"x", boss, nil, 404)
	c.do("POST", one+"/quota", boss, object{"quota": 0}, 200)
	c.do("POST", one+"/quota", boss, object{"max_pins": 2000}, 200)
	c.do("POST", one+"/quota", boss, object{}, 400)
	c.do("POST", one+"/disable", boss, nil, 200)
	c.do("POST", authhttp.LoginPath, "", object{"email": user, "password": password}, 403)
	c.do("POST", one+"/enable", boss, nil, 200)
	c.do("POST", one+"/role", boss, object{"admin": true}, 200)
	c.do("POST", one+"/role", boss, object{"admin": false}, 200)
	c.do("POST", one+"/role", boss, object{}, 400)
	c.do("POST", one+"/password", boss, object{"password": password, "own_password": password, "revoke_tokens": true}, 200)
	c.do("POST", one+"/password", boss, object{"password": password, "own_password": "another one"}, 400)
	c.do("POST", adminapi.AccountsPath+"/x/enable", boss, nil, 404)
	c.do("POST", adminapi.AccountsPath+"/x/disable", boss, nil, 404)
	invite := c.do("POST", adminapi.InvitesPath, boss, object{"quota": 5, "max_pins": 6, "expires_in": 60}, 201)
	c.do("POST", adminapi.InvitesPath, boss, object{"expires_in": -1}, 400)
	c.do("GET", adminapi.InvitesPath, boss, nil, 200)
	c.do("DELETE", adminapi.InvitesPath+"/"+get(invite, "id"), boss, nil, 200)
	c.do("DELETE", adminapi.InvitesPath+"/"+get(invite, "id"), boss, nil, 404)
	c.do("GET", adminapi.AuditPath+"?limit=1001", boss, nil, 400)
	c.do("GET", adminapi.AuditPath+"?limit=1000&account="+id+"&from=2020-01-01T00:00:00Z", boss, nil, 200)

	c.do("GET", adminapi.AuditPath+"?event=login", boss, nil, 200)
	c.do("GET", adminapi.AuditPath+"?event=party", boss, nil, 400)
	run := c.do("POST", adminapi.RunsPath, boss, object{"kind": "verify"}, 202)
	c.do("POST", adminapi.RunsPath, boss, object{"kind": "paint"}, 400)
	c.do("GET", adminapi.RunsPath, boss, nil, 200)
	c.do("DELETE", adminapi.RunsPath+"/"+get(run, "run", "id"), boss, nil, 200)
	c.do("DELETE", adminapi.RunsPath+"/x", boss, nil, 404)
	c.do("GET", adminapi.HistoryPath, boss, nil, 200)
	c.do("GET", adminapi.HistoryPath+"?of=day", boss, nil, 200)
	c.do("GET", adminapi.HistoryPath+"?of=year", boss, nil, 400)

	// The own account, and its tokens.
	mine, _ := login(user, password)
	c.do("GET", authhttp.MePath, mine, nil, 200)
	c.do("GET", authhttp.MePath, "not a token", nil, 401)
	c.do("GET", adminapi.AccountsPath, mine, nil, 403)
	c.do("POST", adminapi.AccountsPath, mine, object{"email": "x@example.org", "password": password}, 403)
	device := c.do("POST", authhttp.TokensPath, mine, object{"name": "kubo"}, 201)
	c.do("POST", authhttp.TokensPath, mine, object{"name": "looker", "scope": "read", "expires_in": 3600}, 201)
	c.do("POST", authhttp.TokensPath, mine, object{"name": ""}, 400)
	c.do("POST", authhttp.TokensPath, mine, "hello", 415)
	c.do("POST", authhttp.TokensPath, get(device, "token"), object{"name": "x"}, 403)
	c.do("GET", authhttp.TokensPath, mine, nil, 200)
	c.do("GET", authhttp.TokensPath, get(device, "token"), nil, 403)

	// Pins.
	const pins = PSAPath + "/pins"
	token := get(device, "token")
	added := c.do("POST", pins, token, object{"cid": root, "name": "one", "meta": object{"a": "b"}, "origins": []string{"/ip4/192.0.2.1/tcp/1/p2p/12D3KooWQmJC7C6yPaG5fCwRRctv7fK1doGrSMGpWqdx9rnRsUzi"}}, 202)
	c.do("POST", pins, token, object{"cid": "no"}, 400)
	c.do("POST", pins, token, "hello", 415)
	c.do("POST", pins, "", object{"cid": root}, 401)
	c.do("GET", pins+"?status=queued,pinning&limit=5&match=ipartial&name=O&before=2100-01-01T00:00:00Z&cid="+root+"&meta="+url.QueryEscape(`{"a":"b"}`), token, nil, 200)
	c.do("GET", pins+"?limit=0", token, nil, 400)
	c.do("GET", pins, "", nil, 401)
	pinned := pins + "/" + get(added, "requestid")
	c.do("GET", pinned, token, nil, 200)
	c.do("GET", pinned, boss, nil, 404)
	c.do("GET", one+"/pins?status=queued&limit=100", boss, nil, 200)
	c.do("GET", one+"/pins?limit=101", boss, nil, 400)
	c.do("GET", one+"x/pins", boss, nil, 404)
	c.do("GET", adminapi.OwnersPath, boss, nil, 200)
	c.do("GET", adminapi.OwnersPath, token, nil, 403)
	replaced := c.do("POST", pinned, token, object{"cid": root, "name": "two"}, 202)
	c.do("POST", pinned, token, object{"cid": root}, 404)
	pinned = pins + "/" + get(replaced, "requestid")
	c.do("GET", authhttp.MePath, mine, nil, 200)
	c.do("DELETE", pinned, boss, nil, 404)
	c.do("DELETE", pinned, token, nil, 202)

	// The end of things.
	c.do("DELETE", authhttp.TokensPath+"/"+get(device, "id"), mine, nil, 200)
	c.do("DELETE", authhttp.TokensPath+"/"+get(device, "id"), mine, nil, 404)
	c.do("POST", authhttp.PasswordPath, mine, object{"password": "another one", "new_password": "staple correct horse"}, 400)
	c.do("POST", authhttp.PasswordPath, mine, object{"password": password, "new_password": "staple correct horse", "revoke_tokens": true}, 200)
	c.do("POST", authhttp.PasswordPath, mine, object{"password": password, "new_password": "x"}, 401)
	mine, _ = login(user, "staple correct horse")
	c.do("POST", authhttp.LogoutPath, mine, nil, 200)
	c.do("POST", authhttp.LogoutPath, mine, nil, 401)
	mine, _ = login(user, "staple correct horse")
	c.do("POST", authhttp.LogoutAllPath, mine, nil, 200)
	c.do("POST", authhttp.LogoutAllPath, mine, nil, 401)
	c.do("DELETE", one+"?pins=no", boss, nil, 400)
	c.do("DELETE", one, boss, nil, 200)
	c.do("DELETE", one, boss, nil, 404)

	// Too many tries.
	for range 30 { // at once, from one address
		r := httptest.NewRequest("POST", authhttp.LoginPath, strings.NewReader(`{"email":"x@example.org","password":"nonsense"}`))
		r.Header.Set(echo.HeaderContentType, echo.MIMEApplicationJSON)
		c.handler.ServeHTTP(httptest.NewRecorder(), r)
	}
	c.do("POST", authhttp.LoginPath, "", object{"email": "x@example.org", "password": "nonsense"}, 429)

	for op := range described(loadOpenAPI(t)) {
		good, bad := false, op == "GET /healthz" || op == "GET "+openAPIPath
		for status := range c.seen[op] {
			good, bad = good || status < 300, bad || status >= 400
		}
		if op == "POST "+authhttp.RegisterPath {
			good = true // TestOpenAPIHasRegistration
		}
		if !good || !bad {
			t.Errorf("%s was tried with the answers %v, want good ones and bad ones", op, slices.Sorted(maps.Keys(c.seen[op])))
		}
	}
}

func TestOpenAPIHasRegistration(t *testing.T) {
	cfg := testConfig()
	cfg.Auth.Registration = string(auth.RegistrationOpen)
	c := newChecker(t, testAPIWith(t, cfg, new(logtest.Lines), slog.LevelInfo))
	register := func(email string, want int) {
		t.Helper()
		c.do("POST", authhttp.RegisterPath, "", object{"email": email, "password": "correct horse battery"}, want)
	}
	register("new@example.org", 201)
	register("new@example.org", 409)
	register("nobody", 400)
	c.do("POST", authhttp.RegisterPath, "", object{"email": "x@example.org", "password": "correct horse battery", "invite": "none"}, 403)
	for i := range 10 {
		r := httptest.NewRequest("POST", authhttp.RegisterPath, strings.NewReader(fmt.Sprintf(`{"email":"n%d@example.org","password":"correct horse battery"}`, i)))
		r.Header.Set(echo.HeaderContentType, echo.MIMEApplicationJSON)
		c.handler.ServeHTTP(httptest.NewRecorder(), r)
	}
	register("last@example.org", 429)
}
