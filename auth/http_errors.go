package auth

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
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

// fail answers with an error. The cause of one that is the server's fault is
// logged, and not sent.
func (h handler) fail(c echo.Context, err error) error {
	if c.Response().Committed || errors.Is(err, context.Canceled) && c.Request().Context().Err() != nil {
		return nil // nobody reads an answer any more
	}
	code := statusOf(err)
	header := c.Response().Header()
	details := err.Error()
	switch code {
	case http.StatusTooManyRequests:
		setRetryAfter(c, err)
		details = known(err).Error()
	case http.StatusForbidden, http.StatusNotFound, http.StatusConflict, http.StatusBadRequest:
		details = known(err).Error()
	case http.StatusUnauthorized:
		header.Set(echo.HeaderWWWAuthenticate, Challenge)
	case http.StatusServiceUnavailable:
		header.Set(echo.HeaderRetryAfter, strconv.Itoa(busySeconds))
		if errors.Is(err, ErrBusy) {
			details = ErrBusy.Error()
			break
		}
		h.cfg.Log.Error("accounts are not available", "err", err)
		details = ErrUnavailable.Error()
	case http.StatusInternalServerError:
		id := header.Get(echo.HeaderXRequestID)
		if id == "" {
			id = uuid.NewString()
			header.Set(echo.HeaderXRequestID, id)
		}
		h.cfg.Log.Error("request failed", "path", c.Request().URL.Path, "request", id, "err", err)
		details = "something went wrong on the server; its log says what, beside the request id " + id
	}
	return c.JSON(code, failure{Status: "error", Error: failureError{Reason: reasonOf(code), Details: details}})
}

// known is the error that callers know, without what was being tried: that is
// for the log.
func known(err error) error {
	var asInvalid *InvalidError
	var asLimit *LimitError
	switch {
	case errors.As(err, &asInvalid):
		return asInvalid
	case errors.As(err, &asLimit):
		return asLimit
	}
	for _, k := range []error{ErrDisabled, ErrClosed, ErrNoInvite, ErrNoAccount, ErrNoToken, ErrExists, ErrEnded} {
		if errors.Is(err, k) {
			return k
		}
	}
	return err
}

// statusOf is the one place where errors become HTTP status codes.
func statusOf(err error) int {
	var asHTTP *httpError
	var asInvalid *InvalidError
	var asLimit *LimitError
	switch {
	case errors.As(err, &asHTTP):
		return asHTTP.code
	case errors.As(err, &asInvalid):
		return http.StatusBadRequest
	case errors.Is(err, ErrBadCredentials), errors.Is(err, ErrUnauthorized):
		return http.StatusUnauthorized
	case errors.Is(err, ErrDisabled), errors.Is(err, ErrForbidden), errors.Is(err, ErrClosed), errors.Is(err, ErrNoInvite):
		return http.StatusForbidden
	case errors.Is(err, ErrNoAccount), errors.Is(err, ErrNoToken):
		return http.StatusNotFound
	case errors.Is(err, ErrExists), errors.Is(err, ErrEnded):
		return http.StatusConflict
	case errors.As(err, &asLimit):
		return http.StatusTooManyRequests
	case errors.Is(err, ErrBusy), errors.Is(err, ErrUnavailable):
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// reasonOf spells a status as the PSA's reasons are spelt: BAD_REQUEST.
func reasonOf(code int) string {
	return strings.ToUpper(strings.ReplaceAll(http.StatusText(code), " ", "_"))
}
