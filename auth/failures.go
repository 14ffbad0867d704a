package auth

import (
	"errors"
	"sync/atomic"
)

// Failure is a way in which somebody was not let in.
type Failure int

// The ways that are counted.
const (
	FailedLogin        Failure = iota // a wrong password, a disabled or unknown account
	FailedLoginLimited                // too many tries to log in
	FailedPassword                    // the present password, to change it, was wrong
	FailedRegister                    // no account was made
	FailedRefresh                     // a session was not renewed
	FailedNoToken                     // a request came without a token
	FailedToken                       // a token that is malformed, expired or revoked
	FailedScope                       // a token that is not for that
	FailedTokenLimited                // too many requests with one token

	failures = iota // how many there are
)

// String is the failure's name, as metrics have it.
func (f Failure) String() string {
	return [failures]string{
		"login", "login_limited", "password", "register", "refresh", "no_token", "token", "scope", "token_limited",
	}[f]
}

// failureCounts counts each since the start.
type failureCounts [failures]atomic.Uint64

func (c *failureCounts) note(f Failure) { c[f].Add(1) }

// event counts what is also on record.
func (c *failureCounts) event(k EventKind) {
	switch k {
	case EventLoginRefused:
		c.note(FailedLogin)
	case EventLoginLimited:
		c.note(FailedLoginLimited)
	case EventPasswordRefused:
		c.note(FailedPassword)
	case EventRegisterRefused:
		c.note(FailedRegister)
	}
}

// request counts why a request was refused. Errors that are the server's own
// do not count.
func (c *failureCounts) request(err error) {
	var limit *LimitError
	switch {
	case errors.Is(err, ErrTokenMissing):
		c.note(FailedNoToken)
	case errors.Is(err, ErrUnauthorized):
		c.note(FailedToken)
	case errors.Is(err, ErrForbidden):
		c.note(FailedScope)
	case errors.As(err, &limit):
		c.note(FailedTokenLimited)
	}
}

// Failures says how often somebody was not let in since the start. Every
// failure has an entry.
func (s *Service) Failures() map[Failure]uint64 {
	all := make(map[Failure]uint64, failures)
	for f := range Failure(failures) {
		all[f] = s.failed[f].Load()
	}
	return all
}
