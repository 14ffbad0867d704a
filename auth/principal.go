package auth

import "context"

// Principal is who a request comes from, as its token proved.
type Principal struct {
	Account string // the account's id, a UUID
	Email   string
	Admin   bool
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
