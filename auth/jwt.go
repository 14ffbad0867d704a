package auth

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// maxToken is the maximum length of a token, in bytes; ours have about 400.
const maxToken = 8 << 10

// Audiences. A token works only for the audience that it was made for.
const (
	audienceAPI     = "holdfast"         // access and device tokens
	audienceRefresh = "holdfast/refresh" // refresh tokens
)

// clockStep is how far the host's clock may be set back before tokens that were made
// just before stop working.
const clockStep = time.Minute

// claims are the claims of our tokens.
type claims struct {
	jwt.RegisteredClaims
	Record string `json:"sid"` // ID of the Token that the JWT stands on
}

// sign makes a JWT with one of the keys. If expires is the zero time, it never expires.
func (k *Keys) sign(key keyFile, audience, account, record, id string, now, expires time.Time) (string, error) {
	c := claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    k.instance,
			Subject:   account,
			Audience:  jwt.ClaimStrings{audience},
			NotBefore: jwt.NewNumericDate(now.Add(-clockStep)),
			IssuedAt:  jwt.NewNumericDate(now),
			ID:        id,
		},
		Record: record,
	}
	if !expires.IsZero() {
		c.ExpiresAt = jwt.NewNumericDate(expires)
	}
	t := jwt.NewWithClaims(jwt.SigningMethodHS256, c)
	t.Header["kid"] = key.ID
	s, err := t.SignedString(key.Secret)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return s, nil
}

// parse checks everything about a JWT that needs no record: that this server signed it, for
// this audience, and that it is valid now. All its errors wrap ErrUnauthorized.
func (k *Keys) parse(raw, audience string, now time.Time) (claims, error) {
	// The JWT library ignores line breaks. A token with a line break is not the token
	// that was made.
	if len(raw) > maxToken || strings.ContainsFunc(raw, notInJWT) {
		return claims{}, errNotOurs
	}
	var c claims
	ring := k.ring.Load()
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
		jwt.WithStrictDecoding(),
		jwt.WithIssuer(k.instance),
		jwt.WithAudience(audience),
		jwt.WithNotBeforeRequired(),
		jwt.WithTimeFunc(func() time.Time { return now }),
	)
	_, err := parser.ParseWithClaims(raw, &c, func(t *jwt.Token) (any, error) {
		kid, _ := t.Header["kid"].(string)
		secret, ok := ring.byID[kid]
		if !ok {
			return nil, errors.New("no such key")
		}
		return secret, nil
	})
	switch {
	case err == nil:
	// The library checks claims only after the signature. So the following errors are
	// about tokens that we made.
	case errors.Is(err, jwt.ErrTokenInvalidAudience):
		return claims{}, errWrongUse
	case errors.Is(err, jwt.ErrTokenExpired):
		return claims{}, errExpired
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		return claims{}, errNotYet
	default:
		return claims{}, errNotOurs
	}
	if c.Subject == "" || c.Record == "" || c.ID == "" {
		return claims{}, errNotOurs
	}
	return c, nil
}

// notInJWT reports whether a character is neither of base64url nor a dot.
func notInJWT(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.')
}

// The reasons why a token does not count.
var (
	ErrTokenMissing = fmt.Errorf("%w: the Authorization header with a bearer token is missing", ErrUnauthorized)
	ErrHeader       = fmt.Errorf("%w: send one Authorization header, of the form: Bearer TOKEN", ErrUnauthorized)
	errNotOurs      = fmt.Errorf("%w: the token is not one of this server", ErrUnauthorized)
	errWrongUse     = fmt.Errorf("%w: the token is for another use (an access token is not a refresh token)", ErrUnauthorized)
	errExpired      = fmt.Errorf("%w: the token has expired", ErrUnauthorized)
	errNotYet       = fmt.Errorf("%w: the token is not valid yet: the server's clock was set back", ErrUnauthorized)
	errDamaged      = fmt.Errorf("%w: the server cannot read its record of this token; log in again, or make another token", ErrUnauthorized)
	ErrRevoked      = fmt.Errorf("%w: the token was revoked", ErrUnauthorized)
)
