package auth_test

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/auth/authhttp"
)

// BenchmarkVerify measures what each request costs: one core must do far more than 20,000 a
// second.
func BenchmarkVerify(b *testing.B) {
	f := newFixture(b)
	_, raw := f.device()
	b.Run("seen", func(b *testing.B) {
		for b.Loop() {
			if _, err := f.Verify(b.Context(), raw); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("anew", func(b *testing.B) {
		for b.Loop() {
			auth.ForgetSeen(f.Service)
			if _, err := f.Verify(b.Context(), raw); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkMiddleware measures all that authentication costs a request.
func BenchmarkMiddleware(b *testing.B) {
	f := newFixture(b, func(c *auth.Config) { c.Now = time.Now; c.Limits.Token.Every = 1 })
	_, raw := f.device()
	e := echo.New()
	serve := authhttp.Middleware(f.Service, func(_ echo.Context, err error) error { return err })(func(echo.Context) error { return nil })
	b.RunParallel(func(pb *testing.PB) {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", "Bearer "+raw)
		c := e.NewContext(r, httptest.NewRecorder())
		for pb.Next() {
			c.SetRequest(r)
			if err := serve(c); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkLogin times a known and an unknown account, at the default cost.
func BenchmarkLogin(b *testing.B) {
	f := newFixture(b, func(c *auth.Config) { c.HashCost = auth.HashCost{} })
	for name, email := range map[string]string{"known": f.ann.Email, "unknown": "nobody@example.com"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := f.Login(b.Context(), email, "not the password"); err == nil {
					b.Fatal("logged in")
				}
			}
		})
	}
}
