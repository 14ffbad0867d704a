package auth

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/alexedwards/argon2id"
	"github.com/trustelem/zxcvbn"
	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"
)

// Bounds of a new password. A password that was set under other bounds still works.
const (
	minPassword = 12   // characters; shorter ones can be guessed
	maxPassword = 1024 // bytes; no passphrase is longer, and this bounds the work
)

// PasswordRule says which passwords are accepted, for somebody who is about to choose one.
func PasswordRule() string {
	return fmt.Sprintf("%d characters or more, and not a common password, a common word or your address", minPassword)
}

// judged is how many characters of a password are used to judge its strength. That takes
// 7 ms for 64, and grows with the square. More characters make no password weaker.
const judged = 64

// checkPassword says whether p may be set for an account with that address.
// Errors: *InvalidError.
func checkPassword(p, email string) error {
	switch {
	case !utf8.ValidString(p):
		return invalid("password", "is not valid UTF-8")
	case len(p) > maxPassword:
		return invalid("password", "is longer than %d bytes", maxPassword)
	case utf8.RuneCountInString(p) < minPassword:
		return invalid("password", "must have at least %d characters", minPassword)
	case guessable(p, email):
		return invalid("password", "is among the first that are guessed: it is a common one, "+
			"or made of a common word, of the address or of a simple pattern")
	}
	return nil
}

// guessable reports whether a million guesses would find p. zxcvbn knows the 30,000 most
// common passwords, words and names, and how people vary them.
func guessable(p, email string) bool {
	if runes := []rune(p); len(runes) > judged {
		p = string(runes[:judged])
	}
	local, domain, _ := strings.Cut(email, "@")
	return zxcvbn.PasswordStrength(p, []string{email, local, domain, "holdfast", "ipfs"}).Guesses < 1e6
}

// HashCost is the work of one password hash.
type HashCost struct {
	Memory     uint32 // KiB
	Iterations uint32
}

// defaultHashCost is the first choice of OWASP's password storage cheat sheet
// for argon2id with one lane; about 25 ms on a server of today.
var defaultHashCost = HashCost{Memory: 19 * 1024, Iterations: 2}

// hasher makes and checks password hashes, only a few at the same time: each takes as much
// memory as its cost says, and anybody may try to log in.
type hasher struct {
	params  argon2id.Params
	slots   chan struct{} // a place for each hash that may run
	wait    time.Duration // for a place
	nobody  string        // a hash that no password has
	compare func(password, hash string) (bool, error)
}

func newHasher(cost HashCost, atOnce int, wait time.Duration) *hasher {
	h := &hasher{
		params: argon2id.Params{
			Memory:      cost.Memory,
			Iterations:  cost.Iterations,
			Parallelism: 1,  // several hashes run at the same time, each on one core
			SaltLength:  16, // bytes, as RFC 9106 recommends
			KeyLength:   32, // bytes, likewise
		},
		slots:   make(chan struct{}, atOnce),
		wait:    wait,
		compare: argon2id.ComparePasswordAndHash,
	}
	h.nobody = h.hashOfNobody()
	return h
}

// hashOfNobody makes a hash of the right cost with a random key, so it is the hash of no
// password.
func (h *hasher) hashOfNobody() string {
	random := func(n uint32) string {
		b := make([]byte, n)
		rand.Read(b) // never fails: it ends the program instead
		return base64.RawStdEncoding.EncodeToString(b)
	}
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version,
		h.params.Memory, h.params.Iterations, h.params.Parallelism,
		random(h.params.SaltLength), random(h.params.KeyLength))
}

// hash makes the hash of a new password. Errors: ErrBusy, the context's.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	release, err := h.acquire(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	s, err := argon2id.CreateHash(norm.NFC.String(password), &h.params)
	if err != nil {
		return "", fmt.Errorf("hash password: %w", err)
	}
	return s, nil
}

// check compares a password with a hash. The hash "" means an account that does not exist:
// check does the same work and returns false. Errors: ErrBusy, the context's, and those of
// a damaged hash.
func (h *hasher) check(ctx context.Context, password, hash string) (bool, error) {
	known := hash != ""
	if !known {
		hash = h.nobody
	}
	release, err := h.acquire(ctx)
	if err != nil {
		return false, err
	}
	defer release()
	ok, err := h.compare(norm.NFC.String(password), hash)
	if err != nil {
		return false, fmt.Errorf("check password: %w", err)
	}
	return ok && known, nil
}

// outdated reports whether a hash was made with another cost than new hashes have.
func (h *hasher) outdated(hash string) bool {
	params, _, _, err := argon2id.DecodeHash(hash)
	return err == nil && *params != h.params
}

// acquire waits for a place. The caller calls release to give it back.
func (h *hasher) acquire(ctx context.Context) (release func(), err error) {
	release = func() { <-h.slots }
	select {
	case h.slots <- struct{}{}:
		return release, nil
	default:
	}
	timer := time.NewTimer(h.wait)
	defer timer.Stop()
	select {
	case h.slots <- struct{}{}:
		return release, nil
	case <-timer.C:
		return nil, ErrBusy
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
