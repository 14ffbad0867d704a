package auth_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// random matches what differs from run to run in an answer.
var random = regexp.MustCompile(`[\w-]+\.[\w-]+\.[\w-]{43}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{24}|[A-Z2-7]{26}`)

// TestEndpointsGolden compares every answer that is a success, in order.
func TestEndpointsGolden(t *testing.T) {
	endpoint := func() string { return "https://pins.example.com/api/psa/" }
	s := newServerAt(t, endpoint, func(c *auth.Config) { c.Registration = auth.RegistrationInvite })
	_, admin := s.admin()
	access := s.logIn(s.ann.Email, goodPassword).Access
	s.wants(s.call("POST", "/api/psa/pins", access, addPin("x")), 202, "")
	const (
		ann     = `{"id":"*","email":"ann@example.com","admin":false,"disabled":false,"quota":%d,"max_pins":0,"created":"2026-05-04T03:02:01Z"}`
		bob     = `{"id":"*","email":"bob@example.com","admin":true,"disabled":%t,"quota":%d,"max_pins":%d,"created":"2026-05-04T03:02:01Z"}`
		session = `{"id":"*","kind":"session","scope":"admin","created":"2026-05-04T03:02:01Z","expires":"2026-08-02T03:02:01Z",` +
			`"last_used":"2026-05-04T03:02:01Z","address":"127.0.0.1","current":true}`
		kubo   = `"id":"*","kind":"device","name":"kubo","scope":"pin","created":"2026-05-04T03:02:01Z","address":"127.0.0.1","current":false`
		dash   = `"id":"*","kind":"device","name":"dash","scope":"read","created":"2026-05-04T03:02:01Z","expires":"2026-05-04T03:03:01Z","address":"127.0.0.1","current":false`
		invite = `"id":"*","by":"*","created":"2026-05-04T03:02:01Z","expires":"2026-05-04T03:03:01Z","quota":5,"max_pins":6`
	)
	var last response
	id := func() string {
		for _, v := range []any{last.json, last.json["account"], last.json["token"], last.json["invite"]} {
			if m, ok := v.(map[string]any); ok && m["id"] != nil {
				return m["id"].(string)
			}
		}
		t.Fatal("the last answer has no id")
		return ""
	}
	step := func(method, path, token string, body any, status int, want string) {
		t.Helper()
		last = s.call(method, path, token, body)
		if got := random.ReplaceAllString(last.body, "*"); last.status != status || got != want+"\n" {
			t.Fatalf("%s %s: %d\n%s\nwant %d\n%s", method, path, last.status, got, status, want)
		}
		if cc := last.header.Get("Cache-Control"); cc != "no-store" {
			t.Errorf("%s %s: Cache-Control %q", method, path, cc)
		}
	}
	ok := `{"status":"success"`
	step("GET", "/api/auth/me", access, nil, 200, ok+`,"account":`+fmt.Sprintf(ann, 0)+`,"scope":"admin","usage":{"bytes":1024,"pins":1}}`)
	step("GET", "/api/auth/tokens/", access, nil, 200, ok+`,"tokens":[`+session+`]}`)
	step("POST", "/api/auth/tokens", access, map[string]any{"name": "dash", "scope": "read", "expires_in": 60}, 201,
		ok+`,`+dash+`,"token":"*"}`)
	step("POST", "/api/auth/tokens", access, map[string]any{"name": "kubo"}, 201,
		ok+`,`+kubo+`,"token":"*","command":"ipfs pin remote service add holdfast https://pins.example.com/api/psa/ *"}`)
	device := last.text("token")
	if !strings.HasSuffix(last.text("command"), " "+device) {
		t.Error("the command has another token")
	}
	step("DELETE", "/api/auth/tokens/"+id(), access, nil, 200, ok+`,"token":{`+kubo+`}}`)
	s.wants(s.call("GET", "/api/auth/me", device, nil), 401, "UNAUTHORIZED")
	step("POST", "/api/auth/password", access, map[string]any{"password": goodPassword, "new_password": goodPassword + "!"}, 200,
		ok+`,"sessions":1,"devices":0,"devices_left":1}`)
	access = s.logIn(s.ann.Email, goodPassword+"!").Access
	step("POST", "/api/auth/logout-all/", access, nil, 200, ok+`,"sessions":1}`)
	access = s.logIn(s.ann.Email, goodPassword+"!").Access
	step("POST", "/api/auth/logout", access, nil, 200, ok+`}`)
	s.wants(s.call("POST", "/api/auth/logout", access, nil), 401, "UNAUTHORIZED")

	uses := func(account string, bytes, pins int) string {
		return strings.TrimSuffix(account, "}") + fmt.Sprintf(`,"usage":{"bytes":%d,"pins":%d}}`, bytes, pins)
	}
	rootJSON := strings.NewReplacer("ann@", "root@", `"admin":false`, `"admin":true`).Replace(fmt.Sprintf(ann, 0))
	step("POST", "/api/admin/accounts", admin, map[string]any{"email": "Bob@Example.com", "password": goodPassword, "admin": true, "quota": 7, "max_pins": 8}, 201,
		ok+`,"account":`+fmt.Sprintf(bob, false, 7, 8)+`}`)
	bobID := id()
	step("GET", "/api/admin/accounts", admin, nil, 200,
		ok+`,"accounts":[`+uses(fmt.Sprintf(ann, 0), 1024, 1)+`,`+uses(fmt.Sprintf(bob, false, 7, 8), 0, 0)+`,`+uses(rootJSON, 0, 0)+`]}`)
	step("GET", "/api/admin/accounts/"+bobID, admin, nil, 200, ok+`,"account":`+uses(fmt.Sprintf(bob, false, 7, 8), 0, 0)+`}`)
	// Each of the quotas alone, and both.
	step("POST", "/api/admin/accounts/"+bobID+"/quota", admin, map[string]any{"quota": 9}, 200, ok+`,"account":`+fmt.Sprintf(bob, false, 9, 8)+`}`)
	step("POST", "/api/admin/accounts/"+bobID+"/quota", admin, map[string]any{"max_pins": 0}, 200, ok+`,"account":`+fmt.Sprintf(bob, false, 9, 0)+`}`)
	step("POST", "/api/admin/accounts/"+bobID+"/quota", admin, map[string]any{"quota": 0, "max_pins": 3}, 200, ok+`,"account":`+fmt.Sprintf(bob, false, 0, 3)+`}`)
	step("POST", "/api/admin/accounts/"+bobID+"/disable/", admin, nil, 200, ok+`,"account":`+fmt.Sprintf(bob, true, 0, 3)+`}`)
	step("POST", "/api/admin/accounts/"+bobID+"/enable", admin, nil, 200, ok+`,"account":`+fmt.Sprintf(bob, false, 0, 3)+`}`)
	step("DELETE", "/api/admin/accounts/"+s.ann.ID, admin, nil, 200,
		ok+`,"account":`+strings.Replace(fmt.Sprintf(ann, 0), `"disabled":false`, `"disabled":true`, 1)+`,"pins":1}`)
	if left, err := s.pins.all(t.Context(), s.ann.ID); err != nil || len(left) != 0 {
		t.Errorf("removed with its pins, and %v are left: %v", left, err)
	}
	bobs := s.logIn("bob@example.com", goodPassword).Access
	s.wants(s.call("POST", "/api/psa/pins", bobs, addPin("y")), 202, "")
	for _, query := range []string{"?pin=keep", "?pins=keep&pins=remove", "?pins=%zz"} { // nothing is removed
		s.wants(s.call("DELETE", "/api/admin/accounts/"+bobID+query, admin, nil), 400, "BAD_REQUEST")
	}
	step("DELETE", "/api/admin/accounts/"+bobID+"?pins=keep", admin, nil, 200, ok+`,"account":`+fmt.Sprintf(bob, true, 0, 3)+`,"pins":0}`)
	if left, err := s.pins.all(t.Context(), bobID); err != nil || len(left) != 1 {
		t.Errorf("removed without its pins, and %v are left: %v", left, err)
	}

	step("POST", "/api/admin/invites", admin, map[string]any{"quota": 5, "max_pins": 6, "expires_in": 60}, 201, ok+`,`+invite+`,"invite":"*"}`)
	code := last.text("invite")
	step("GET", "/api/admin/invites", admin, nil, 200, ok+`,"invites":[{`+invite+`}]}`)
	step("POST", "/api/auth/register", "", map[string]any{"email": "Eve@Example.com", "password": goodPassword, "invite": " " + strings.ToLower(code)}, 201,
		`{"access_token":"*","refresh_token":"*","status":"success"}`)
	step("GET", "/api/auth/me", last.text("access_token"), nil, 200,
		ok+`,"account":`+strings.NewReplacer("ann@", "eve@", `"max_pins":0`, `"max_pins":6`).Replace(fmt.Sprintf(ann, 5))+`,"scope":"admin","usage":{"bytes":0,"pins":0}}`)
	step("GET", "/api/admin/invites", admin, nil, 200, ok+`,"invites":[]}`)
	step("POST", "/api/admin/invites", admin, map[string]any{"quota": 5, "max_pins": 6, "expires_in": 60}, 201, ok+`,`+invite+`,"invite":"*"}`)
	step("DELETE", "/api/admin/invites/"+id(), admin, nil, 200, ok+`,"invite":{`+invite+`}}`)

	step("GET", "/api/admin/audit?limit=1", admin, nil, 200,
		ok+`,"events":[{"id":"*","time":"2026-05-04T03:02:01.5Z","event":"invite.revoked","actor":"*","address":"127.0.0.1","detail":"*","count":1}]}`)
	for query, want := range map[string]string{
		"account=" + bobID:                 "account.removed account.disabled login account.enabled account.disabled account.quota account.quota account.quota account.added",
		"account=" + s.ann.ID + "&limit=2": "account.removed account.disabled",
		"from=2026-05-04T03:02:02Z":        "",
		"to=2026-05-04T03:02:01Z":          "",
		"account=nobody":                   "",
	} {
		var got struct{ Events []struct{ Event string } }
		r := s.wants(s.call("GET", "/api/admin/audit?"+query, admin, nil), 200, "")
		s.ok(json.Unmarshal([]byte(r.body), &got))
		var kinds []string
		for _, e := range got.Events {
			kinds = append(kinds, e.Event)
		}
		if strings.Join(kinds, " ") != want {
			t.Errorf("audit?%s: %s, want %s", query, kinds, want)
		}
	}
}

// TestAdminSetsPassword: an admin sets the password of another account, and gives the own one.
// Sessions and tokens end as with the command line.
func TestAdminSetsPassword(t *testing.T) {
	s := newServer(t)
	_, admin := s.admin()
	access := s.logIn(s.ann.Email, goodPassword).Access
	_, device, err := s.CreateDeviceToken(t.Context(), s.ann.ID, "kubo", 0)
	s.ok(err)
	set := func(password string, revoke bool) response {
		return s.call("POST", "/api/admin/accounts/"+s.ann.ID+"/password", admin,
			map[string]any{"password": password, "own_password": goodPassword, "revoke_tokens": revoke})
	}
	wantBody := func(r response, want string) {
		t.Helper()
		if s.wants(r, 200, ""); strings.TrimSpace(r.body) != want {
			t.Errorf("%s\nwant %s", r.body, want)
		}
	}
	wantBody(set(goodPassword+"1", false), `{"status":"success","sessions":1,"devices":0,"devices_left":1}`)
	s.wants(s.call("GET", "/api/auth/me", access, nil), 401, "UNAUTHORIZED")
	s.wants(s.call("GET", "/api/auth/me", device, nil), 200, "")
	s.logIn(s.ann.Email, goodPassword+"1")
	wantBody(set(goodPassword+"2", true), `{"status":"success","sessions":1,"devices":1,"devices_left":0}`)
	s.wants(s.call("GET", "/api/auth/me", device, nil), 401, "UNAUTHORIZED")
	// A thief of the token cannot try passwords of its account without end.
	for range 12 {
		s.call("POST", "/api/admin/accounts/"+s.ann.ID+"/password", admin, map[string]any{"password": goodPassword, "own_password": "guess"})
	}
	s.wants(set(goodPassword, false), 429, "TOO_MANY_REQUESTS")
}

// TestRoleIsGivenAndTaken: a token may do what the account may do now. When an account is no
// admin any more, the requests that it makes as an admin end.
func TestRoleIsGivenAndTaken(t *testing.T) {
	s := newServer(t)
	_, admin := s.admin()
	access := s.logIn(s.ann.Email, goodPassword).Access
	_, device, err := s.CreateDeviceToken(t.Context(), s.ann.ID, "kubo", 0)
	s.ok(err)
	role := func(isAdmin bool) {
		t.Helper()
		r := s.wants(s.call("POST", "/api/admin/accounts/"+s.ann.ID+"/role", admin, map[string]any{"admin": isAdmin}), 200, "")
		if a, _ := r.json["account"].(map[string]any); a["admin"] != isAdmin {
			t.Errorf("the account is %v", a)
		}
	}
	s.wants(s.call("GET", "/api/admin/accounts", access, nil), 403, "FORBIDDEN")
	role(true)
	role(true) // again is no error
	s.wants(s.call("GET", "/api/admin/accounts", access, nil), 200, "")
	s.wants(s.call("GET", "/api/admin/accounts", device, nil), 403, "FORBIDDEN") // it is for pins
	under := map[string]context.Context{}
	for name, token := range map[string]string{"session": access, "device": device} {
		ctx, _, done, err := s.Admit(t.Context(), token)
		s.ok(err)
		defer done()
		under[name] = ctx
	}
	role(false)
	if under["session"].Err() == nil || under["device"].Err() != nil {
		t.Errorf("the session's request has %v, and that of a token for pins %v", under["session"].Err(), under["device"].Err())
	}
	s.wants(s.call("GET", "/api/admin/accounts", access, nil), 403, "FORBIDDEN")
	s.wants(s.call("GET", "/api/auth/me", access, nil), 200, "")
}

// TestEndpointFailures: what each endpoint refuses, and with which text.
func TestEndpointFailures(t *testing.T) {
	s := newServer(t)
	root, admin := s.admin()
	access := s.logIn(s.ann.Email, goodPassword).Access
	none := "00000000-0000-4000-8000-000000000000"
	bobs, err := s.AddAccount(t.Context(), auth.NewAccount{Email: "bob@example.com", Password: goodPassword})
	s.ok(err)
	bobsToken, _, err := s.CreateDeviceToken(t.Context(), bobs.ID, "bob's", 0)
	s.ok(err)
	account := "/api/admin/accounts/" + s.ann.ID
	for _, c := range []struct {
		method, path, token string
		body                any
		want                string
	}{
		{"GET", "/api/auth/me", "", nil, "401 UNAUTHORIZED not authorized: the Authorization header with a bearer token is missing"},
		{"GET", "/api/auth/me", "rubbish", nil, "401 UNAUTHORIZED not authorized: the token is not one of this server"},
		{"POST", "/api/auth/me", access, nil, "405 METHOD_NOT_ALLOWED use GET"},
		{"GET", "/api/auth/logout", access, nil, "405 METHOD_NOT_ALLOWED use POST"},
		{"PUT", "/api/auth/tokens", access, nil, "405 METHOD_NOT_ALLOWED use GET or POST"},
		{"GET", "/api/auth/tokens/" + none, access, nil, "405 METHOD_NOT_ALLOWED use DELETE"},
		{"PATCH", account, admin, nil, "405 METHOD_NOT_ALLOWED use GET or DELETE"},
		{"GET", "/api/auth", "", nil, "404 NOT_FOUND there is nothing at this path"},
		{"GET", "/api/admin", "", nil, "404 NOT_FOUND there is nothing at this path"},
		{"GET", "/api/admin/users", admin, nil, "404 NOT_FOUND there is nothing at this path"},
		{"POST", account + "/promote", admin, nil, "404 NOT_FOUND there is nothing at this path"},

		{"DELETE", "/api/auth/tokens/" + none, access, nil, "404 NOT_FOUND no such token"},
		{"DELETE", "/api/auth/tokens/" + bobsToken.ID, access, nil, "404 NOT_FOUND no such token"},
		{"DELETE", "/api/auth/tokens/..%2f" + bobsToken.ID, access, nil, "404 NOT_FOUND no such token"},
		{"POST", "/api/auth/tokens", access, map[string]any{"name": ""}, "400 BAD_REQUEST name: is missing: name the program that will use the token"},
		{"POST", "/api/auth/tokens", access, map[string]any{"name": 1}, "400 BAD_REQUEST name: is not of the right type or size"},
		{"POST", "/api/auth/tokens", access, map[string]any{"name": "x", "scope": "all"}, `400 BAD_REQUEST scope: must be one of ["read" "pin" "admin"]`},
		{"POST", "/api/auth/tokens", access, map[string]any{"name": "x", "expires_in": -1}, "400 BAD_REQUEST expires_in: must be a number of seconds, 3153600000 at most"},
		{"POST", "/api/auth/tokens", access, map[string]any{"name": "x", "expires_in": 1.5}, "400 BAD_REQUEST expires_in: is not of the right type or size"},
		{"POST", "/api/auth/tokens", access, "[]", "400 BAD_REQUEST the body is not one JSON object"},
		{"POST", "/api/auth/tokens", access, "null", "400 BAD_REQUEST the body is not one JSON object"},
		{"POST", "/api/auth/tokens", access, "{}{}", "400 BAD_REQUEST the body is not one JSON object"},
		{"POST", "/api/auth/tokens", access, nil, "415 UNSUPPORTED_MEDIA_TYPE send JSON with Content-Type: application/json"},
		{"POST", "/api/auth/tokens", access, `{"name":"` + strings.Repeat("x", 9000) + `"}`, "413 REQUEST_ENTITY_TOO_LARGE the body is larger than 8 KiB"},

		{"POST", "/api/auth/password", access, map[string]any{"new_password": goodPassword}, "400 BAD_REQUEST password: is missing"},
		{"POST", "/api/auth/password", access, map[string]any{"password": goodPassword}, "400 BAD_REQUEST new_password: is missing"},
		{"POST", "/api/auth/password", access, map[string]any{"password": "x", "new_password": goodPassword}, "400 BAD_REQUEST password: is not the present one"},
		{"POST", "/api/auth/password", access, map[string]any{"password": goodPassword, "new_password": "short"}, "400 BAD_REQUEST new_password: must have at least 12 characters"},

		{"POST", "/api/auth/register", "", map[string]any{"email": "x@example.com", "password": goodPassword}, "403 FORBIDDEN registration is closed: ask the operator for an account"},

		{"GET", "/api/admin/accounts", access, nil, "403 FORBIDDEN forbidden: this is for admins only"},
		{"GET", "/api/admin/accounts/" + none, admin, nil, "404 NOT_FOUND no such account"},
		{"POST", "/api/admin/accounts/" + none + "/disable", admin, nil, "404 NOT_FOUND no such account"},
		{"DELETE", "/api/admin/accounts/x", admin, nil, "404 NOT_FOUND no such account"},
		{"DELETE", account + "?pins=some", admin, nil, `400 BAD_REQUEST pins: must be "remove" or "keep"`},
		{"POST", "/api/admin/accounts", admin, map[string]any{"email": "Ann@Example.com", "password": goodPassword}, "409 CONFLICT an account with this e-mail address exists already"},
		{"POST", "/api/admin/accounts", admin, map[string]any{"email": "x", "password": goodPassword}, "400 BAD_REQUEST email: must be an address such as name@example.com"},
		{"POST", "/api/admin/accounts", admin, map[string]any{"email": "x@y", "password": "short"}, "400 BAD_REQUEST password: must have at least 12 characters"},
		{"POST", "/api/admin/accounts", admin, map[string]any{"email": "x@y", "password": goodPassword, "quota": -1}, "400 BAD_REQUEST quota: is not of the right type or size"},
		{"POST", account + "/quota", admin, map[string]any{}, "400 BAD_REQUEST quota: is missing, and so is max_pins; 0 is no limit"},
		{"POST", account + "/quota", admin, map[string]any{"max_pins": -1}, "400 BAD_REQUEST max_pins: is not of the right type or size"},
		{"POST", "/api/admin/accounts/" + root.ID + "/disable", admin, nil, "400 BAD_REQUEST id: is your own account; another admin can do this, or the command line"},
		{"POST", "/api/admin/accounts/" + root.ID + "/role", admin, map[string]any{"admin": false}, "400 BAD_REQUEST id: is your own account; another admin can do this, or the command line"},
		{"POST", account + "/role", admin, map[string]any{}, "400 BAD_REQUEST admin: is missing: true makes it an admin's account, false one of a user"},
		{"POST", "/api/admin/accounts/" + none + "/role", admin, map[string]any{"admin": true}, "404 NOT_FOUND no such account"},
		{"POST", account + "/role", access, map[string]any{"admin": true}, "403 FORBIDDEN forbidden: this is for admins only"},
		{"POST", "/api/admin/accounts/" + root.ID + "/password", admin, map[string]any{"password": goodPassword, "own_password": goodPassword}, "400 BAD_REQUEST id: is your own account: POST /api/auth/password changes its password"},
		{"POST", account + "/password", admin, map[string]any{"password": goodPassword}, "400 BAD_REQUEST own_password: is missing: it is your own present password"},
		{"POST", account + "/password", admin, map[string]any{"password": goodPassword, "own_password": goodPassword + "!"}, "400 BAD_REQUEST own_password: is not the present one"},
		{"POST", account + "/password", admin, map[string]any{"password": "short", "own_password": goodPassword}, "400 BAD_REQUEST password: must have at least 12 characters"},
		{"POST", account + "/password", access, map[string]any{"password": goodPassword, "own_password": goodPassword}, "403 FORBIDDEN forbidden: this is for admins only"},
		{"POST", "/api/admin/accounts/" + none + "/password", admin, map[string]any{"password": goodPassword, "own_password": goodPassword}, "404 NOT_FOUND no such account"},
		{"DELETE", "/api/admin/accounts/" + root.ID, admin, nil, "400 BAD_REQUEST id: is your own account; another admin can do this, or the command line"},
		{"DELETE", "/api/admin/invites/" + none, admin, nil, "404 NOT_FOUND no such invitation: it may be used already, or expired"},
		{"POST", "/api/admin/invites", admin, map[string]any{"expires_in": 366 * 24 * 3600}, "400 BAD_REQUEST expires: must be from a second to 365 days"},
		{"GET", "/api/admin/audit?limit=0", admin, nil, "400 BAD_REQUEST limit: must be from 1 to 1000"},
		{"GET", "/api/admin/audit?limit=1001", admin, nil, "400 BAD_REQUEST limit: must be from 1 to 1000"},
		{"GET", "/api/admin/audit?from=yesterday", admin, nil, "400 BAD_REQUEST from: must be a time such as 2026-05-04T03:02:01Z"},
		{"GET", "/api/admin/audit?before=x", admin, nil, "400 BAD_REQUEST before: must be the id of an event"},
	} {
		r := s.call(c.method, c.path, c.token, c.body)
		f, _ := r.json["error"].(map[string]any)
		if got := fmt.Sprint(r.status, " ", f["reason"], " ", f["details"]); got != c.want || r.text("status") != "error" || len(r.json) != 2 {
			t.Errorf("%s %s: %s\nwant %s", c.method, c.path, got, c.want)
		}
		if (r.status == 401) != (r.header.Get("WWW-Authenticate") == auth.Challenge) {
			t.Errorf("%s %s: %d with WWW-Authenticate %q", c.method, c.path, r.status, r.header.Get("WWW-Authenticate"))
		}
	}
	if _, err := s.AccountByID(t.Context(), root.ID); err != nil {
		t.Error(err)
	}
}

// TestScopes: what a token of each kind may do, on every route.
func TestScopes(t *testing.T) {
	s := newServer(t)
	root, _ := s.admin()
	tokens := map[string]string{}
	for _, scope := range auth.Scopes() {
		for who, a := range map[string]auth.Account{"ann": s.ann, "root": root} {
			_, raw, err := s.AddDevice(t.Context(), a.ID, auth.NewDevice{Name: "x", Scope: scope})
			s.ok(err)
			tokens[who+" "+string(scope)] = raw
		}
	}
	none := "00000000-0000-4000-8000-000000000000"
	const (
		look, change, account, admin = 0, 1, 2, 3 // what a route needs
	)
	allowed := map[string]int{"ann read": look, "root read": look, "ann pin": change, "root pin": change, "ann admin": account, "root admin": admin}
	for _, c := range []struct {
		method, path string
		needs        int
	}{
		{"GET", "/api/psa/pins", look}, {"HEAD", "/api/psa/pins", look}, {"GET", "/api/psa/pins/" + none, look},
		{"POST", "/api/psa/pins", change}, {"POST", "/api/psa/pins/" + none, change}, {"DELETE", "/api/psa/pins/" + none, change},
		{"GET", "/api/auth/me", look},
		{"GET", "/api/auth/tokens", account}, {"HEAD", "/api/auth/tokens", account}, {"POST", "/api/auth/tokens", account},
		{"DELETE", "/api/auth/tokens/" + none, account}, {"POST", "/api/auth/password", account}, {"POST", "/api/auth/logout-all", account},
		{"GET", "/api/admin/accounts", admin}, {"POST", "/api/admin/accounts", admin}, {"GET", "/api/admin/accounts/" + none, admin},
		{"DELETE", "/api/admin/accounts/" + none, admin}, {"POST", "/api/admin/accounts/" + none + "/quota", admin},
		{"POST", "/api/admin/accounts/" + none + "/disable", admin}, {"POST", "/api/admin/accounts/" + none + "/enable/", admin},
		{"GET", "/api/admin/invites", admin}, {"POST", "/api/admin/invites", admin},
		{"GET", "/api/admin/audit", admin},
	} {
		for who, has := range allowed {
			r := s.call(c.method, c.path, tokens[who], nil)
			forbidden := r.status == http.StatusForbidden
			if forbidden != (has < c.needs) || r.status == 401 || r.status >= 500 {
				t.Errorf("%s: %s %s: %d %s", who, c.method, c.path, r.status, r.body)
			}
			if forbidden && c.method != "HEAD" && r.reason() != "FORBIDDEN" {
				t.Errorf("%s: %s %s: %s", who, c.method, c.path, r.body)
			}
		}
	}
	// Each token may end itself.
	for who, raw := range tokens {
		s.wants(s.call("POST", "/api/auth/logout", raw, nil), 200, "")
		if r := s.call("GET", "/api/auth/me", raw, nil); r.status != 401 {
			t.Errorf("%s logged out: %d", who, r.status)
		}
	}
}

// TestCommandLine: without a configured URL the command line has the host that the client used,
// unless that is no host name.
func TestCommandLine(t *testing.T) {
	f := newFixture(t)
	access := f.login().Access
	for host, want := range map[string]string{
		"pins.example.com:5050": "ipfs pin remote service add holdfast http://pins.example.com:5050/api/psa/ ",
		"[::1]:5050":            "ipfs pin remote service add holdfast http://[::1]:5050/api/psa/ ",
		"x;reboot":              "",
		"$(reboot)":             "",
	} {
		r := post("/api/auth/tokens", mediaJSON, `{"name":"kubo"}`)
		r.Header.Set("Authorization", "Bearer "+access)
		r.Host = host
		var got struct{ Token, Command string }
		f.ok(json.Unmarshal(serve(f.Service, r).Body.Bytes(), &got))
		if want != "" {
			want += got.Token
		}
		if got.Command != want || got.Token == "" {
			t.Errorf("%s: %q, want %q", host, got.Command, want)
		}
	}
}

// TestForwardedFor: without an extractor the header is ignored.
func TestForwardedFor(t *testing.T) {
	f := newFixture(t)
	r := post("/api/auth/login", mediaJSON, annsLogin)
	r.Header.Set("X-Forwarded-For", "203.0.113.9")
	r.Header.Set("X-Real-Ip", "203.0.113.9")
	if w := serve(f.Service, r); w.Code != 200 {
		t.Fatal(w.Body)
	}
	if e := f.events(auth.EventLogin); len(e) != 1 || e[0].Address != "192.0.2.1" { // httptest's
		t.Errorf("recorded %+v", e)
	}
}

func TestRegistration(t *testing.T) {
	register := func(s *server, email, password, invite, address string) response {
		return s.call("POST", "/api/auth/register", "", map[string]string{"email": email, "password": password, "invite": invite}, from(address))
	}
	t.Run("open", func(t *testing.T) {
		s := newServer(t, func(c *auth.Config) {
			c.Registration = auth.RegistrationOpen
			c.RegisterQuota, c.RegisterQuotaPins = 1<<30, 1000
		})
		r := s.wants(register(s, " New@Example.com", goodPassword, "", "203.0.113.1"), 201, "")
		a, err := s.AccountByEmail(t.Context(), "new@example.com")
		s.ok(err)
		if a.Quota != 1<<30 || a.QuotaPins != 1000 || a.Admin {
			t.Errorf("registered %+v", a)
		}
		s.wants(s.call("POST", "/api/psa/pins", r.text("access_token"), addPin("x")), 202, "")
		s.wants(register(s, "new@example.com", goodPassword, "", "203.0.113.1"), 409, "CONFLICT")
		s.wants(register(s, "short@example.com", "short", "", "203.0.113.1"), 400, "BAD_REQUEST")
		s.wants(register(s, "x@example.com", goodPassword, "rubbish", "203.0.113.1"), 403, "FORBIDDEN")
		// Five at once from one address, then one in ten minutes.
		made := 0
		for i := range 20 {
			if r := register(s, fmt.Sprintf("user%d@example.com", i), goodPassword, "", "203.0.113.2"); r.status == 201 {
				made++
			} else {
				s.wants(r, 429, "TOO_MANY_REQUESTS")
			}
		}
		if made != 5 {
			t.Errorf("%d accounts were made from one address", made)
		}
		s.wants(register(s, "late@example.com", goodPassword, "", "203.0.113.3"), 201, "")
		s.clock.add(10 * time.Minute)
		s.wants(register(s, "later@example.com", goodPassword, "", "203.0.113.2"), 201, "")
		if got := len(s.events(auth.EventRegistered)); got != 8 {
			t.Errorf("%d registrations are on record, want 8", got)
		}
	})
	t.Run("invite", func(t *testing.T) {
		s := newServer(t, func(c *auth.Config) { c.Registration = auth.RegistrationInvite })
		i, code, err := s.AddInvite(t.Context(), auth.NewInvite{Quota: 42, QuotaPins: 43, TTL: time.Hour})
		s.ok(err)
		for _, wrong := range []string{"", "rubbish", i.ID, code[1:]} {
			// A client without an invitation does not learn which addresses have accounts.
			a := s.wants(register(s, s.ann.Email, goodPassword, wrong, "203.0.113.1"), 403, "FORBIDDEN")
			b := s.wants(register(s, "new@example.com", goodPassword, wrong, "203.0.113.1"), 403, "FORBIDDEN")
			if a.body != b.body {
				t.Errorf("%s\n%s", a.body, b.body)
			}
		}
		s.wants(register(s, s.ann.Email, goodPassword, code, "203.0.113.1"), 409, "CONFLICT")
		s.wants(register(s, "new@example.com", "short", code, "203.0.113.1"), 400, "BAD_REQUEST")
		s.wants(register(s, "new@example.com", goodPassword, code, "203.0.113.1"), 201, "")
		if a, err := s.AccountByEmail(t.Context(), "new@example.com"); err != nil || a.Quota != 42 || a.QuotaPins != 43 {
			t.Errorf("registered %+v, %v", a, err)
		}
		s.wants(register(s, "another@example.com", goodPassword, code, "203.0.113.1"), 403, "FORBIDDEN")
		_, late, err := s.AddInvite(t.Context(), auth.NewInvite{TTL: time.Hour})
		s.ok(err)
		s.clock.add(time.Hour)
		s.wants(register(s, "another@example.com", goodPassword, late, "203.0.113.1"), 403, "FORBIDDEN")
		gone, code, err := s.AddInvite(t.Context(), auth.NewInvite{})
		s.ok(err)
		if gone.Expires.Sub(gone.Created) != 7*24*time.Hour {
			t.Errorf("it lasts from %v to %v", gone.Created, gone.Expires)
		}
		_, err = s.RevokeInvite(t.Context(), gone.ID)
		s.ok(err)
		s.wants(register(s, "another@example.com", goodPassword, code, "203.0.113.1"), 403, "FORBIDDEN")
		for _, ttl := range []time.Duration{-1, 1, 366 * 24 * time.Hour} {
			_, _, err := s.AddInvite(t.Context(), auth.NewInvite{TTL: ttl})
			s.invalid(err, "expires")
		}
	})
	t.Run("closed", func(t *testing.T) {
		s := newServer(t)
		_, code, err := s.AddInvite(t.Context(), auth.NewInvite{})
		s.ok(err)
		s.wants(register(s, "new@example.com", goodPassword, code, "203.0.113.1"), 403, "FORBIDDEN")
		_, err = s.AccountByEmail(t.Context(), "new@example.com")
		s.is(err, auth.ErrNoAccount)
	})
}

// TestPinsOfTheLastMoment: a pin that comes to the disk while its account is removed does not stay.
func TestPinsOfTheLastMoment(t *testing.T) {
	s := newServer(t)
	s.accounts.SetFault(func(method string) error {
		if method != "DeleteAccount" {
			return nil
		}
		root, err := pin.ParseCID(someCID)
		if err == nil {
			_, err = s.pins.Add(t.Context(), s.ann.ID, pin.Spec{CID: someCID, Root: root})
		}
		return err
	})
	_, n, err := s.RemoveAccountAndPins(t.Context(), s.ann.ID, false)
	s.ok(err)
	if left, err := s.pins.all(t.Context(), s.ann.ID); err != nil || len(left) > 0 || n != 1 {
		t.Errorf("%d pins are removed, and %v is left, %v", n, left, err)
	}
}

// TestUsageFault: if the usage cannot be read, the answer is a fault of the server.
func TestUsageFault(t *testing.T) {
	f := newFixture(t)
	s, err := auth.New(auth.Config{HashCost: cheap, Now: f.clock.Now,
		Usage:      func(context.Context, string) (auth.Usage, error) { return auth.Usage{}, errors.New("broken") },
		RemovePins: func(context.Context, string) (int, error) { return 0, errors.New("broken") },
	}, f.accounts, f.keys)
	f.ok(err)
	r := httptest.NewRequest("GET", "/api/auth/me", nil)
	r.Header.Set("Authorization", "Bearer "+f.login().Access)
	if w := serve(s, r); w.Code != 500 || strings.Contains(w.Body.String(), "broken") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if _, _, err := s.RemoveAccountAndPins(t.Context(), f.ann.ID, false); err == nil {
		t.Error("removed an account whose pins cannot be")
	}
	a, err := s.AccountByID(t.Context(), f.ann.ID)
	f.ok(err)
	if !a.Disabled {
		t.Error("it is not disabled meanwhile")
	}
	_, _, err = s.RemoveAccountAndPins(t.Context(), f.ann.ID, true)
	f.ok(err)
}
