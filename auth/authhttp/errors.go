package authhttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/auth"
)

// failure is the body of every answer that is not a success.
type failure struct {
	Status string       `json:"status"` // "error"
	Error  failureError `json:"error"`
}

type failureError struct {
	Reason  string `json:"reason"`  // one word for programs, such as UNAUTHORIZED
	Details string `json:"details"` // a sentence for people
}

// httpError is a fault of the request's that has no name outside of HTTP.
type httpError struct {
	code int
	msg  string
}

func (e *httpError) Error() string { return e.msg }

// busySeconds is how long to stay away when too many passwords are checked:
// longer than they all take.
const busySeconds = 5

// statusClientGone is nginx's status for a client that hung up. Nobody reads it
// but logs and metrics.
const statusClientGone = 499

// panicError is a panic of a handler.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v\n%s", e.value, e.stack) }

// fail answers with an error. The cause of one that is the server's fault is
// logged, and not sent. conn is the connection's context: that of the request
// within the handlers ends for other reasons, too.
func (h handler) fail(c echo.Context, conn context.Context, err error) error {
	code := statusOf(err)
	if conn.Err() != nil && errors.Is(err, context.Canceled) {
		code, err = statusClientGone, errClientGone
	}
	sent := c.Response().Committed
	if _, panicked := errors.AsType[*panicError](err); sent && !panicked && (code < 500 || conn.Err() != nil) {
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
		h.cfg.Log.Error("accounts are not available", "err", err)
		details = auth.ErrUnavailable.Error()
	case http.StatusInternalServerError:
		id := header.Get(echo.HeaderXRequestID)
		if id == "" {
			id = uuid.NewString()
			header.Set(echo.HeaderXRequestID, id)
		}
		h.cfg.Log.Error("request failed", "method", c.Request().Method, "path", c.Request().URL.Path,
			"account", principal(c).Account, "request", id, "err", err)
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
		h.cfg.Log.Warn("accounts cannot be changed for want of disk space", "path", c.Request().URL.Path, "err", err)
		details = auth.ErrDiskFull.Error()
	}
	if sent {
		return nil
	}
	return c.JSON(code, failure{Status: "error", Error: failureError{Reason: reasonOf(code), Details: details}})
}

var errClientGone = errors.New("the client hung up")

// known is the error that callers know, without what was being tried: that is
// for the log.
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

// statusOf is the one place where errors become HTTP status codes.
func statusOf(err error) int {
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

// reasonOf spells a status as the PSA's reasons are spelt: BAD_REQUEST.
func reasonOf(code int) string {
	if code == statusClientGone { // not one of HTTP's
		return "CLIENT_CLOSED_REQUEST"
	}
	return strings.ToUpper(strings.ReplaceAll(http.StatusText(code), " ", "_"))
}

func invalid(field, format string, a ...any) error {
	return &auth.InvalidError{Field: field, Msg: fmt.Sprintf(format, a...)}
}
