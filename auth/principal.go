package auth

import (
	"context"
	"fmt"
)

// Principal is the account that a request comes from, as its token proved.
type Principal struct {
	Account string // the account's id, a UUID
	Email   string
	Admin   bool   // the account is an admin; Scope says what the token may do
	Scope   Scope  // of the token; sessions have ScopeAdmin
	Kind    Kind   // of the token
	TokenID string // "" on the admin socket
}

type principalKey struct{}

// WithPrincipal returns a context with p.
func WithPrincipal(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// PrincipalFrom returns the context's principal. ok is false if it has none.
func PrincipalFrom(ctx context.Context) (p Principal, ok bool) {
	p, ok = ctx.Value(principalKey{}).(Principal)
	return p, ok
}

// Require returns an error that wraps ErrForbidden, unless the scope of p's token includes
// s.
func (p Principal) Require(s Scope) error {
	if !p.Scope.Includes(s) {
		return fmt.Errorf("%w: this needs a token with the scope %q", ErrForbidden, s)
	}
	return nil
}

// RequireAdmin returns an error that wraps ErrForbidden, unless p is an admin with a token
// of [ScopeAdmin].
func (p Principal) RequireAdmin() error {
	if !p.Admin {
		return fmt.Errorf("%w: this is for admins only", ErrForbidden)
	}
	return p.Require(ScopeAdmin)
}
