package auth_test

import (
	"testing"

	"github.com/holdfast-ipfs/holdfast/auth"
)

// BenchmarkVerify is what each request pays: one core must do far more than
// 20,000 a second.
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
