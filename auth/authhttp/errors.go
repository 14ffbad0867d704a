package authhttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/internal/faults"
)

// Failure is the body of every answer that is no success.
type Failure struct {
	Status string       `json:"status"` // "error"
	Error  FailureError `json:"error"`
}

// FailureError says what went wrong.
type FailureError struct {
	Reason  string `json:"reason"`         // one word for programs, such as UNAUTHORIZED
	Details string `json:"details"`        // a sentence for people
	Hint    string `json:"hint,omitempty"` // what to do about it, for the operator of the host
}

// NewFailure makes the failure for a status.
func NewFailure(code int, details string) Failure {
	return Failure{Status: "error", Error: FailureError{Reason: faults.Reason(code), Details: details}}
}

// NotFound makes an error that is answered with 404 and the message.
func NotFound(msg string) error { return &httpError{http.StatusNotFound, msg} }

// Conflict makes an error that is answered with 409 and the message.
func Conflict(msg string) error { return &httpError{http.StatusConflict, msg} }

// httpError is an error in a request that only exists in HTTP.
type httpError struct {
	code int
	msg  string
}

func (e *httpError) Error() string { return e.msg }

// busySeconds is Retry-After when too many passwords are being checked: longer than all of
// them take.
const busySeconds = 5

// fail answers with an error. If the error is a fault of the server, its cause is logged and
// not sent. conn is the context of the connection, because the context of the request also
// ends for other reasons.
func (m mount) fail(c echo.Context, conn context.Context, err error) error {
	code := StatusOf(err)
	if faults.HungUp(conn, err) {
		code, err = faults.StatusClientGone, errClientGone
	}
	sent := c.Response().Committed
	if _, panicked := errors.AsType[*faults.PanicError](err); sent && !panicked && (code < 500 || conn.Err() != nil) {
		return nil // nobody reads an answer any more
	}
	header := c.Response().Header()
	details := err.Error()
	switch code {
	case http.StatusTooManyRequests:
		setRetryAfter(c, err)
		details = known(err).Error()
	case http.StatusForbidden, http.StatusNotFound, http.StatusConflict, http.StatusBadRequest:
		details = known(err).Error()
	case http.StatusUnauthorized:
		header.Set(echo.HeaderWWWAuthenticate, auth.Challenge)
	case http.StatusServiceUnavailable:
		header.Set(echo.HeaderRetryAfter, strconv.Itoa(busySeconds))
		if errors.Is(err, auth.ErrBusy) {
			details = auth.ErrBusy.Error()
			break
		}
		m.log.Error("accounts are not available", "err", err)
		details = auth.ErrUnavailable.Error()
	case http.StatusInternalServerError:
		id := faults.Log(m.log.With("account", principal(c).Account), header, c.Request(), err)
		details = "something went wrong on the server; its log says what, beside the request id " + id
		if errors.Is(err, auth.ErrDamaged) {
			details = "the server cannot read its record of that; tell the operator, with the request id " + id
		}
		for _, told := range []error{auth.ErrInDoubt, auth.ErrUnwritable} {
			if errors.Is(err, told) {
				details = told.Error() + "; request id " + id
			}
		}
	case http.StatusInsufficientStorage:
		m.log.Warn("accounts cannot be changed: the disk is full", "path", c.Request().URL.Path, "err", err)
		details = auth.ErrDiskFull.Error()
	}
	if sent {
		return nil
	}
	return c.JSON(code, NewFailure(code, details))
}

var errClientGone = errors.New("the client hung up")

// known returns the error that clients know, without the text of what was being tried, which
// is for the log.
func known(err error) error {
	var asInvalid *auth.InvalidError
	var asLimit *auth.LimitError
	switch {
	case errors.As(err, &asInvalid):
		return asInvalid
	case errors.As(err, &asLimit):
		return asLimit
	}
	for _, k := range []error{auth.ErrDisabled, auth.ErrClosed, auth.ErrNoInvite, auth.ErrNoAccount, auth.ErrNoToken, auth.ErrExists, auth.ErrEnded} {
		if errors.Is(err, k) {
			return k
		}
	}
	return err
}

// StatusOf is the one place where errors become HTTP status codes.
func StatusOf(err error) int {
	var asHTTP *httpError
	var asInvalid *auth.InvalidError
	var asLimit *auth.LimitError
	switch {
	case errors.As(err, &asHTTP):
		return asHTTP.code
	case errors.As(err, &asInvalid):
		return http.StatusBadRequest
	case errors.Is(err, auth.ErrBadCredentials), errors.Is(err, auth.ErrUnauthorized):
		return http.StatusUnauthorized
	case errors.Is(err, auth.ErrDisabled), errors.Is(err, auth.ErrForbidden), errors.Is(err, auth.ErrClosed), errors.Is(err, auth.ErrNoInvite):
		return http.StatusForbidden
	case errors.Is(err, auth.ErrNoAccount), errors.Is(err, auth.ErrNoToken):
		return http.StatusNotFound
	case errors.Is(err, auth.ErrExists), errors.Is(err, auth.ErrEnded):
		return http.StatusConflict
	case errors.As(err, &asLimit):
		return http.StatusTooManyRequests
	case errors.Is(err, auth.ErrBusy), errors.Is(err, auth.ErrUnavailable):
		return http.StatusServiceUnavailable
	case errors.Is(err, auth.ErrDiskFull):
		return http.StatusInsufficientStorage
	}
	return http.StatusInternalServerError
}

func invalid(field, format string, a ...any) error {
	return &auth.InvalidError{Field: field, Msg: fmt.Sprintf(format, a...)}
}
