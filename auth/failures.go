package auth

import (
	"errors"
	"sync/atomic"
)

// Failure is a reason why a client was refused.
type Failure int

// The reasons that are counted.
const (
	FailedLogin        Failure = iota // a wrong password, a disabled or unknown account
	FailedLoginLimited                // too many tries to log in
	FailedPassword                    // the present password was wrong, in a change of the password
	FailedRegister                    // no account was made
	FailedRefresh                     // a session was not renewed
	FailedNoToken                     // a request without a token
	FailedToken                       // a token that is malformed, expired or revoked
	FailedScope                       // a token that is not for this
	FailedTokenLimited                // too many requests with one token

	failures = iota // the number of reasons
)

// String is the name of the reason in the metrics.
func (f Failure) String() string {
	return [failures]string{
		"login", "login_limited", "password", "register", "refresh", "no_token", "token", "scope", "token_limited",
	}[f]
}

// failureCounts counts each since the start.
type failureCounts [failures]atomic.Uint64

func (c *failureCounts) note(f Failure) { c[f].Add(1) }

// event counts what is also in the audit record.
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

// request counts why a request was refused. It ignores faults of the server.
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

// Failures returns how often clients were refused since the start, for every reason.
func (s *Service) Failures() map[Failure]uint64 {
	all := make(map[Failure]uint64, failures)
	for f := range Failure(failures) {
		all[f] = s.failed[f].Load()
	}
	return all
}
