package auth

import (
	"context"
	"sync/atomic"

	"github.com/golang-jwt/jwt/v5"
)

// CountHashes counts the passwords that s checks from now on.
func CountHashes(s *Service) *atomic.Int64 {
	var n atomic.Int64
	compare := s.hasher.compare
	s.hasher.compare = func(password, hash string) (bool, error) {
		n.Add(1)
		return compare(password, hash)
	}
	return &n
}

// HoldHashes makes each check of a password call f before its work.
func HoldHashes(s *Service, f func()) {
	compare := s.hasher.compare
	s.hasher.compare = func(password, hash string) (bool, error) {
		f()
		return compare(password, hash)
	}
}

// ForgetSeen makes the service verify every token again.
func ForgetSeen(s *Service) { s.seen.forget() }

// Forge signs arbitrary headers and claims with the key that signs now.
func Forge(k *Keys, header, claims map[string]any) string {
	return ForgeAs(jwt.SigningMethodHS256, k, header, claims)
}

// ForgeAs is Forge with another algorithm.
func ForgeAs(m jwt.SigningMethod, k *Keys, header, claims map[string]any) string {
	t := jwt.NewWithClaims(m, jwt.MapClaims(claims))
	for name, value := range header {
		t.Header[name] = value
	}
	raw, err := t.SignedString(k.ring.Load().signer().Secret)
	if err != nil {
		panic(err)
	}
	return raw
}

// Instance and KeyID are the iss and the kid of k's tokens.
func Instance(k *Keys) string { return k.instance }
func KeyID(k *Keys) string    { return k.ring.Load().signer().ID }

// Sweep removes what does not count any more, as Run does.
func Sweep(s *Service) { s.sweep(context.Background()) }

// KeysPath is the path of the file that k was read from.
func KeysPath(k *Keys) string { return k.path }

// BreakKeysPath makes writes of k fail, until restore.
func BreakKeysPath(k *Keys) (restore func()) {
	path := k.path
	k.path += "/under-a-file"
	return func() { k.path = path }
}
