// Package faults is what all HTTP servers here do with a fault of the server: a panic becomes an
// error, and an error is logged once, under the request id that the client gets.
package faults

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
)

// StatusClientGone is nginx's status for a client that hung up. It is only for logs and
// metrics.
const StatusClientGone = 499

// Reason is the name of a status for programs, such as METHOD_NOT_ALLOWED.
func Reason(status int) string {
	if status == StatusClientGone { // not one of HTTP's
		return "CLIENT_CLOSED_REQUEST"
	}
	return strings.ToUpper(strings.ReplaceAll(http.StatusText(status), " ", "_"))
}

// PanicError is the panic of a handler, as an error.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Recovered makes an error of what recover returned. Nil means that there was no panic. It
// panics again with [http.ErrAbortHandler], by which net/http ends a connection.
func Recovered(p any) error {
	switch p {
	case nil:
		return nil
	case http.ErrAbortHandler:
		panic(p)
	}
	return &PanicError{p, debug.Stack()}
}

// RecoverPanics makes errors of panics of a handler.
func RecoverPanics(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			if p := Recovered(recover()); p != nil {
				err = p
			}
		}()
		return next(c)
	}
}

// HungUp reports whether a request failed because its client is gone. conn is the context of
// the connection, not a context that the server ends by itself.
func HungUp(conn context.Context, err error) bool {
	return conn.Err() != nil && errors.Is(err, context.Canceled)
}

// Log logs a fault of the server, once. It returns the request id for the client: the one in
// the header of the answer, or else a new one, which it puts there.
func Log(log *slog.Logger, h http.Header, r *http.Request, err error) (id string) {
	if id = h.Get(echo.HeaderXRequestID); id == "" {
		id = uuid.NewString()
		h.Set(echo.HeaderXRequestID, id)
	}
	attrs := []any{"request", id, "method", r.Method, "path", r.URL.Path, "err", err}
	if p, ok := errors.AsType[*PanicError](err); ok {
		attrs = append(attrs, "stack", string(p.Stack))
	}
	log.Error("request failed", attrs...)
	return id
}

// Handler answers the panics of a handler that is no router, in plain text.
func Handler(log *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if err := Recovered(recover()); err != nil {
				id := Log(log, w.Header(), r, err)
				// This is lost if an answer has begun already.
				http.Error(w, "something went wrong on the server; its log says what, under request id "+id, http.StatusInternalServerError)
			}
		}()
		next.ServeHTTP(w, r)
	})
}
