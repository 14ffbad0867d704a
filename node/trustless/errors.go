package trustless

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ErrNotFound: the gateway does not have the block, or does not give it out.
var ErrNotFound = errors.New("the gateway does not have the block")

// BusyError is a gateway that wants to be asked less.
type BusyError struct {
	Status int
	// RetryAfter is how long to leave it alone, at most an hour. Zero if it did not
	// say.
	RetryAfter time.Duration
}

// Asks reports whether the gateway wants to be asked less. With 502 and 504 a gateway that
// stands before another says only that this block did not come in time.
func (e *BusyError) Asks() bool {
	return e.RetryAfter > 0 || e.Status == http.StatusTooManyRequests || e.Status == http.StatusServiceUnavailable
}

func (e *BusyError) Error() string {
	if e.RetryAfter == 0 {
		return fmt.Sprintf("the gateway is busy: %d %s", e.Status, http.StatusText(e.Status))
	}
	return fmt.Sprintf("the gateway is busy for %v: %d %s", e.RetryAfter, e.Status, http.StatusText(e.Status))
}

// BadError says that a server does not do what a gateway does, or lies.
type BadError struct {
	Why string
	Err error // nil if there is nothing more to it
}

func (e *BadError) Error() string {
	if e.Err != nil {
		return e.Why + ": " + e.Err.Error()
	}
	return e.Why
}

func (e *BadError) Unwrap() error { return e.Err }

func bad(format string, a ...any) error { return &BadError{Why: fmt.Sprintf(format, a...)} }

// UnreachableError says that no answer came from a gateway: it is not there, or it was too
// slow, or it may not be connected to. In the last case it wraps a *guard.RefusedError.
type UnreachableError struct{ Err error }

func (e *UnreachableError) Error() string { return "no answer from the gateway: " + e.Err.Error() }
func (e *UnreachableError) Unwrap() error { return e.Err }

// maxRetryAfter is the longest time that a gateway can ask to be left alone.
const maxRetryAfter = time.Hour

// statusError gives the error for a status that is not 200. text is the beginning of the
// answer.
func statusError(h http.Header, status int, text string, now time.Time) error {
	switch status {
	case http.StatusNotFound, http.StatusGone, http.StatusForbidden, http.StatusUnavailableForLegalReasons:
		return ErrNotFound
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return &BusyError{Status: status, RetryAfter: retryAfter(h.Get("Retry-After"), now)}
	}
	for _, known := range notFoundTexts {
		if strings.HasPrefix(text, known) {
			return ErrNotFound
		}
	}
	return bad("the gateway answers %d", status)
}

// notFoundTexts are texts of gateways that answer 500 for a block that they do not have.
// Boxo's httpnet has the same list.
var notFoundTexts = [...]string{
	"ipld: could not find node",
	"peer does not have",
	"getting pieces containing cid",
	"failed to load root node",
}

func retryAfter(s string, now time.Time) time.Duration {
	var d time.Duration
	if seconds, err := strconv.ParseUint(s, 10, 32); err == nil {
		d = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(s); err == nil {
		d = at.Sub(now)
	}
	return min(max(d, 0), maxRetryAfter)
}
