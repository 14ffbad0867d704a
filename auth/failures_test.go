package auth_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/auth/authhttp"
)

// Each reason for a refusal is counted, and only that one.
func TestFailuresAreCounted(t *testing.T) {
	f := newFixture(t, func(c *auth.Config) {
		c.Registration = auth.RegistrationInvite
		c.Limits.Account = auth.Rate{Burst: 2, Every: time.Hour}
		c.Limits.Token = auth.Rate{Burst: 2, Every: time.Hour}
	})
	e := echo.New()
	e.Any("/", func(c echo.Context) error { return c.NoContent(http.StatusOK) },
		authhttp.Middleware(f.Service, func(echo.Context, error) error { return echo.ErrTeapot }))
	request := func(method, token string) {
		r := httptest.NewRequestWithContext(t.Context(), method, "/", nil)
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		e.ServeHTTP(httptest.NewRecorder(), r)
	}
	login := func(password string) { f.Login(t.Context(), f.ann.Email, password) }
	pair := f.login()
	_, reader, err := f.AddDevice(t.Context(), f.ann.ID, auth.NewDevice{Name: "reader", Scope: auth.ScopeRead})
	f.ok(err)

	want := f.Failures()
	for kind, n := range want {
		if n != 0 {
			t.Errorf("%v was counted before there was one", kind)
		}
	}
	for _, step := range []struct {
		fails auth.Failure
		do    func()
	}{
		{auth.FailedNoToken, func() { request("GET", "") }},
		{auth.FailedToken, func() { request("GET", "not a token") }},
		{auth.FailedScope, func() { request("POST", reader) }},
		{-1, func() { request("GET", reader) }},
		{auth.FailedTokenLimited, func() { request("GET", reader) }},
		{auth.FailedRefresh, func() { f.Refresh(t.Context(), pair.Access) }},
		{-1, func() { f.Refresh(t.Context(), pair.Refresh) }},
		{auth.FailedRegister, func() {
			f.Register(t.Context(), auth.NewRegistration{Email: "x@example.com", Password: goodPassword, Invite: "none"})
		}},
		{auth.FailedPassword, func() { f.ChangePassword(t.Context(), f.ann.ID, "wrong", "another horse battery", false) }},
		{auth.FailedLogin, func() { login("wrong") }},
		{auth.FailedLogin, func() { login("wrong again") }},
		{auth.FailedLoginLimited, func() { login("wrong") }},
	} {
		step.do()
		if step.fails >= 0 {
			want[step.fails]++
		}
		for kind, n := range f.Failures() {
			if n != want[kind] {
				t.Errorf("after one of %v: %v was counted %d times, want %d", step.fails, kind, n, want[kind])
			}
		}
	}
	for kind, n := range want {
		if n == 0 {
			t.Errorf("%v is not tried here", kind)
		}
	}
}
