package admin

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/auth/authtest"
)

// The lists say who may call what. Moving a route from one list to the other lets admins do over
// the network what only the operator of the host could do, or takes it from them.
func TestCallers(t *testing.T) {
	want := map[Callers][]string{
		BySocket: {
			"GET /api/admin/server",
			"GET /api/admin/server/support",
			"GET /api/admin/accounts/:id/tokens",
			"POST /api/admin/accounts/:id/tokens",
			"DELETE /api/admin/tokens/:id",
			"POST /api/admin/keys/rotate",
			"POST /api/admin/store/reclaim",
			"POST /api/admin/store/verify",
			"POST /api/admin/store/backup",
			"POST /api/admin/store/restore",
			"GET /api/admin/cluster",
			"POST /api/admin/cluster/check",
			"POST /api/admin/cluster/drain",
			"POST /api/admin/cluster/import",
			"DELETE /api/admin/pins",
			"POST /api/admin/pins/adopt",
		},
		BySocket | ByToken: {
			"GET /api/admin/accounts",
			"POST /api/admin/accounts",
			"GET /api/admin/accounts/:id",
			"DELETE /api/admin/accounts/:id",
			"POST /api/admin/accounts/:id/quota",
			"POST /api/admin/accounts/:id/disable",
			"POST /api/admin/accounts/:id/enable",
			"POST /api/admin/accounts/:id/role",
			"POST /api/admin/accounts/:id/password",
			"GET /api/admin/accounts/:id/pins",
			"GET /api/admin/owners",
			"GET /api/admin/invites",
			"POST /api/admin/invites",
			"DELETE /api/admin/invites/:id",
			"GET /api/admin/audit",
			"GET /api/admin/store/stats",
			"GET /api/admin/store/runs",
			"POST /api/admin/store/runs",
			"DELETE /api/admin/store/runs/:id",
			"GET /api/admin/history",
			"GET /api/admin/server/condition",
		},
	}
	got := map[Callers][]string{}
	for _, r := range routes {
		got[r.callers] = append(got[r.callers], r.method+" "+r.path)
	}
	for callers, list := range want {
		slices.Sort(list)
		slices.Sort(got[callers])
		if !slices.Equal(got[callers], list) {
			t.Errorf("callers %b may call\n%s\nwant\n%s", callers, strings.Join(got[callers], "\n"), strings.Join(list, "\n"))
		}
		delete(got, callers)
	}
	if len(got) > 0 {
		t.Errorf("there are routes for others: %v", got)
	}

	// The routes that are served are those of the table.
	s, _ := testServer(t)
	e := echo.New()
	s.Register(e)
	served := map[string]bool{}
	for _, r := range e.Routes() {
		if r.Method != http.MethodHead && r.Method != echo.RouteNotFound {
			served[r.Method+" "+strings.TrimSuffix(r.Path, "/")] = true
		}
	}
	if len(served) != len(want[BySocket|ByToken]) {
		t.Errorf("over TCP there are %d routes, want %d", len(served), len(want[BySocket|ByToken]))
	}
	for _, route := range want[BySocket|ByToken] {
		if !served[route] {
			t.Errorf("%s is not served over TCP", route)
		}
	}
}

// testServer is a server over accounts in memory, with the token of an admin.
func testServer(t *testing.T) (s *Server, token string) {
	t.Helper()
	return testServerWith(t, auth.Config{})
}

func testServerWith(t *testing.T, cfg auth.Config) (s *Server, token string) {
	t.Helper()
	cfg.HashCost = auth.HashCost{Memory: 8, Iterations: 1}
	keys, err := auth.OpenKeys(filepath.Join(t.TempDir(), "keys"))
	if err != nil {
		t.Fatal(err)
	}
	a, err := auth.New(cfg, authtest.NewAccounts(), keys)
	if err != nil {
		t.Fatal(err)
	}
	ann, err := a.AddAccount(t.Context(), auth.NewAccount{Email: "a%n/n@example.org", Password: "correct horse battery", Admin: true})
	if err != nil {
		t.Fatal(err)
	}
	_, token, err = a.AddDevice(t.Context(), ann.ID, auth.NewDevice{Name: "test", Scope: auth.ScopeAdmin})
	if err != nil {
		t.Fatal(err)
	}
	return &Server{Auth: a, Running: true, Endpoint: func() string { return "" }, Log: slog.New(slog.DiscardHandler)}, token
}

// A client with a token may call the routes that the table has for it. For others it gets 404.
func TestTokenClient(t *testing.T) {
	s, token := testServer(t)
	e := echo.New()
	s.Register(e)
	web := httptest.NewServer(e)
	defer web.Close()
	c, err := NewTokenClient(web.URL+"/", token, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	all, err := c.Accounts(t.Context())
	if err != nil || len(all) != 1 || !all[0].Admin {
		t.Fatalf("the accounts are %+v, %v", all, err)
	}
	if _, err := c.CreateInvite(t.Context(), auth.NewInvite{QuotaPins: 3}); err != nil {
		t.Fatal(err)
	}
	if list, err := c.Invites(t.Context()); err != nil || len(list) != 1 || list[0].MaxPins != 3 || list[0].By != all[0].ID {
		t.Errorf("the invitations are %+v, %v", list, err)
	}
	wantStatus := func(what string, err error, status int) {
		t.Helper()
		if f, ok := errors.AsType[*AnswerError](err); !ok || f.Status != status {
			t.Errorf("%s: %v, want an answer of %d", what, err, status)
		}
	}
	_, err = c.SetPassword(t.Context(), all[0].ID, NewPassword{Password: "another horse battery", OwnPassword: "correct horse battery"})
	wantStatus("the own password", err, http.StatusBadRequest)
	_, err = c.SetAdmin(t.Context(), all[0].ID, false)
	wantStatus("the own role", err, http.StatusBadRequest)
	_, err = c.Reclaim(t.Context(), func(StoreProgress) {})
	wantStatus("a reclaim that lasts as long as the connection", err, http.StatusNotFound)
	_, err = c.Disable(t.Context(), all[0].ID)
	wantStatus("its own account", err, http.StatusBadRequest)
	_, err = c.Account(t.Context(), all[0].Email) // only the socket takes addresses
	wantStatus("an account by its address", err, http.StatusNotFound)
}

// The list of accounts is there although it cannot be read what one of them uses. The answer
// about that account alone is an error.
func TestUsageCannotBeRead(t *testing.T) {
	s, token := testServerWith(t, auth.Config{Usage: func(context.Context, string) (auth.Usage, error) {
		return auth.Usage{}, errors.New("the record is damaged")
	}})
	e := echo.New()
	s.Register(e)
	web := httptest.NewServer(e)
	defer web.Close()
	c, err := NewTokenClient(web.URL, token, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	all, err := c.Accounts(t.Context())
	if err != nil || len(all) != 1 || all[0].Usage != nil {
		t.Fatalf("the accounts are %+v, %v", all, err)
	}
	_, err = c.Account(t.Context(), all[0].ID)
	if f, ok := errors.AsType[*AnswerError](err); !ok || f.Status != http.StatusInternalServerError {
		t.Errorf("the account alone: %v, want an answer of 500", err)
	}
}

// The socket also takes addresses of accounts, whatever characters they have.
func TestAccountsByAddress(t *testing.T) {
	s, _ := testServer(t)
	h, err := (&Server{Auth: s.Auth, Pins: noPins{}, Endpoint: s.Endpoint, Log: s.Log}).Handler()
	if err != nil {
		t.Fatal(err)
	}
	c := localClient(t, h)
	a, err := c.Account(t.Context(), "A%n/n@Example.org")
	if err != nil || a.Email != "a%n/n@example.org" {
		t.Fatalf("%+v, %v", a, err)
	}
	if b, err := c.Account(t.Context(), a.ID); err != nil || b != a {
		t.Errorf("by its id: %+v, %v", b, err)
	}
	if list, err := c.Tokens(t.Context(), a.Email); err != nil || len(list) != 1 {
		t.Errorf("its tokens are %+v, %v", list, err)
	}
	if events, err := c.Events(t.Context(), EventFilter{Account: a.Email, From: a.Created}, 1); err != nil || len(events) != 1 || events[0].Email != a.Email {
		t.Errorf("its events are %+v, %v", events, err)
	}
}

// noPins is for tests that pin nothing.
type noPins struct{ Pins }
