package psa

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/internal/faults"
	"github.com/holdfast-ipfs/holdfast/pin"
)

const (
	retryTooFast = time.Second      // created runs at most this far ahead of the clock
	retryClosed  = 10 * time.Second // a stop may take this long
	retryDamaged = 5 * time.Minute  // only a backup or a repair mends it
)

// reason names a status for machines: in the spec's words where it has any, else in HTTP's,
// such as METHOD_NOT_ALLOWED.
func reason(status int) string {
	if status == http.StatusConflict {
		return "INSUFFICIENT_FUNDS"
	}
	return faults.Reason(status)
}

// failure is an error that may be sent to the client.
type failure struct {
	status     int
	details    string
	retryAfter time.Duration // 0 sends no Retry-After
}

func (f *failure) Error() string { return f.details }

func fail(status int, format string, a ...any) *failure {
	return &failure{status: status, details: fmt.Sprintf(format, a...)}
}

// failureOf returns what the client may know of an error. Nil means that it must not see
// the error. conn is the context of the connection. ctx is that of the request within the
// handlers, which ends for other reasons too.
func failureOf(conn, ctx context.Context, err error) *failure {
	var (
		own     *failure
		bad     *pin.InvalidError
		quota   *pin.QuotaError
		tooMuch *http.MaxBytesError
		often   *auth.LimitError
		other   *echo.HTTPError
	)
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &bad):
		return fail(http.StatusBadRequest, "%v", bad)
	case errors.Is(err, auth.ErrUnauthorized):
		return fail(http.StatusUnauthorized, "%v", err)
	case errors.Is(err, auth.ErrForbidden):
		return fail(http.StatusForbidden, "the access token is valid, but not for this")
	case errors.As(err, &often): // by the token; the authentication has set Retry-After
		return fail(http.StatusTooManyRequests, "%s", http.StatusText(http.StatusTooManyRequests))
	case errors.Is(err, pin.ErrNotFound):
		return fail(http.StatusNotFound, "there is no pin request with this id")
	case errors.Is(err, pin.ErrNotFailed):
		return fail(http.StatusBadRequest, "status: only a failed pin can be tried again")
	case errors.As(err, &quota):
		return fail(http.StatusConflict, "%v; remove pins, or ask the operator for more", quota)
	case errors.Is(err, pin.ErrQuota):
		return fail(http.StatusConflict, "the account's quota is reached: remove pins, or ask the operator for more")
	case errors.Is(err, pin.ErrDenied):
		// Not 403, which is about the token: another token would not help.
		return fail(http.StatusUnavailableForLegalReasons, "the content is on a denylist of this server, and cannot be pinned here")
	case errors.Is(err, pin.ErrKeyReused):
		return fail(http.StatusUnprocessableEntity, "%s: another request was made with this key; give each request a key of its own", headerIdempotencyKey)
	case errors.Is(err, pin.ErrKeyGone):
		return fail(http.StatusGone, "%s: the pin that was made with this key was removed or replaced since; to pin it again, use another key", headerIdempotencyKey)
	case errors.As(err, &tooMuch):
		return fail(http.StatusRequestEntityTooLarge, "body: is larger than %d bytes", tooMuch.Limit)
	case errors.Is(err, pin.ErrTooFast):
		f := fail(http.StatusTooManyRequests, "the account adds more than 1,000 pins a second: slow down")
		f.retryAfter = retryTooFast
		return f
	case errors.Is(err, pin.ErrDiskFull):
		return fail(http.StatusInsufficientStorage, "the server's disk is too full to take more pins")
	case errors.Is(err, pin.ErrDamaged):
		f := unavailable("the server's database is damaged, and it takes no pins: its operator has to run `holdfast store verify`")
		f.retryAfter = retryDamaged
		return f
	case errors.Is(err, pin.ErrClosed), errors.Is(err, auth.ErrUnavailable):
		return unavailable("the server is shutting down or not ready: try again soon")
	case errors.As(err, &other) && other.Code >= 400 && other.Code < 500:
		// From another package's middleware. Its message may hold anything, so only the
		// status is sent.
		return fail(other.Code, "%s", http.StatusText(other.Code))
	case errors.Is(conn.Err(), context.Canceled) && errors.Is(err, context.Canceled):
		return fail(faults.StatusClientGone, "the client hung up")
	case errors.Is(ctx.Err(), context.DeadlineExceeded) && errors.Is(err, context.DeadlineExceeded):
		return unavailable("the server did not answer in time: try again soon")
	}
	return nil
}

func unavailable(details string) *failure {
	f := fail(http.StatusServiceUnavailable, "%s", details)
	f.retryAfter = retryClosed
	return f
}

// Errors returns the middleware that answers every error and every panic of what it wraps
// with a [Failure]. It logs what the client must not see, once, under the request id that
// the client gets. This is the X-Request-ID header of the answer if an outer middleware set
// it, else a new one. [Register] has its own; this is for other routes that want the same
// envelope.
func Errors(log *slog.Logger) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) (err error) {
			// An inner handler may give the request a context of its own, and end that.
			conn := c.Request().Context()
			defer func() {
				switch p := recover(); p {
				case nil:
				case http.ErrAbortHandler: // by this net/http ends a connection
					panic(p)
				default:
					err = &panicError{p, debug.Stack()}
				}
				if err != nil {
					answer(c, conn, log, err)
					err = nil
				}
			}()
			return next(c)
		}
	}
}

// panicError is a panic of a handler.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v\n%s", e.value, e.stack) }

// answer sends the Failure for err, unless an answer is already on its way. conn is the
// context of the connection.
func answer(c echo.Context, conn context.Context, log *slog.Logger, err error) {
	f := failureOf(conn, c.Request().Context(), err)
	sent := c.Response().Committed
	if _, panicked := errors.AsType[*panicError](err); sent && conn.Err() != nil && !panicked {
		return // the client hung up in the middle of the answer
	}
	h := c.Response().Header()
	if f == nil {
		id := h.Get(echo.HeaderXRequestID)
		if id == "" {
			id = uuid.NewString()
			h.Set(echo.HeaderXRequestID, id)
		}
		f = fail(http.StatusInternalServerError, "%s", internalDetails(err, id))
		ctx := c.Request().Context()
		who, _ := auth.PrincipalFrom(ctx)
		log.LogAttrs(ctx, slog.LevelError, "pinning API request failed",
			slog.String("request", id), slog.String("method", c.Request().Method),
			slog.String("path", c.Request().URL.Path), slog.String("account", who.Account),
			slog.Any("err", err))
	}
	if sent {
		return
	}
	if f.retryAfter > 0 {
		h.Set(echo.HeaderRetryAfter, strconv.Itoa(int(f.retryAfter/time.Second)))
	}
	if f.status == http.StatusUnauthorized {
		h.Set(echo.HeaderWWWAuthenticate, auth.Challenge)
	}
	// An error here is one of the connection: there is nobody to send it to.
	_ = sendJSON(c, f.status, Failure{Error: FailureError{Reason: reason(f.status), Details: f.details}})
}

// internalDetails says what the client may know of a fault of the server: whether its
// request was carried out.
func internalDetails(err error, request string) string {
	switch {
	case errors.Is(err, pin.ErrInDoubt), errors.Is(err, auth.ErrInDoubt):
		return "the server's disk failed, and it is not known whether this was done: look before you ask again; request id " + request
	case errors.Is(err, pin.ErrUnwritable), errors.Is(err, auth.ErrUnwritable):
		return "the server cannot write to its disk now, and nothing was changed; request id " + request
	case errors.Is(err, pin.ErrUnreadable), errors.Is(err, auth.ErrDamaged): // these are not logged one by one
		return "the server cannot read what it has on disk of this: tell its operator; request id " + request
	}
	return "something went wrong on the server; its log says what, under request id " + request
}
