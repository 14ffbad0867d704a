package auth

import (
	"context"
	"fmt"
)

// Principal is who a request comes from, as its token proved.
type Principal struct {
	Account string // the account's id, a UUID
	Email   string
	Admin   bool   // the account is an admin's; what the token may do is Scope
	Scope   Scope  // of the token; a session's is ScopeAdmin
	Kind    Kind   // of the token
	TokenID string // of the token that was shown; "" on the admin socket
}

type principalKey struct{}

// WithPrincipal gives a context that carries p.
func WithPrincipal(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// PrincipalFrom gives the context's principal. ok is false if it has none.
func PrincipalFrom(ctx context.Context) (p Principal, ok bool) {
	p, ok = ctx.Value(principalKey{}).(Principal)
	return p, ok
}

// Require gives an error that wraps ErrForbidden unless p's token may be used
// for what needs that scope.
func (p Principal) Require(s Scope) error {
	if !p.Scope.Includes(s) {
		return fmt.Errorf("%w: this needs a token with the scope %q", ErrForbidden, s)
	}
	return nil
}

// RequireAdmin gives an error that wraps ErrForbidden unless p is an admin's,
// with a token that may be used as such.
func (p Principal) RequireAdmin() error {
	if !p.Admin {
		return fmt.Errorf("%w: this is for admins only", ErrForbidden)
	}
	return p.Require(ScopeAdmin)
}
