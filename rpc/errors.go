package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/ipfs/boxo/path/resolver"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/internal/faults"
	"github.com/holdfast-ipfs/holdfast/internal/room"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// The codes of Kubo's error object.
const (
	codeNormal    = 0
	codeClient    = 1 // the request is wrong
	codeRate      = 3
	codeForbidden = 4
)

const (
	retryBusy    = time.Second
	retryClosed  = 10 * time.Second // what a stop may take
	retryDamaged = 5 * time.Minute  // only a backup or a repair mends it
)

// failure is an error that is fit to be sent.
type failure struct {
	status     int
	code       int
	message    string
	retryAfter time.Duration // 0 is no Retry-After
}

func (f *failure) Error() string { return f.message }

func fail(status, code int, format string, a ...any) *failure {
	return &failure{status: status, code: code, message: fmt.Sprintf(format, a...)}
}

// refuse makes the error of a request that is wrong.
func refuse(format string, a ...any) *failure {
	return fail(http.StatusBadRequest, codeClient, format, a...)
}

// cannot makes the error of a request that is right, of what cannot be done with the
// content that it names.
func cannot(format string, a ...any) *failure {
	return fail(http.StatusBadRequest, codeNormal, format, a...)
}

// failureOf finds what may be said of an error. Nil is a fault of the server's, which the
// client must not see. conn is the connection's context, ctx that of the request.
func failureOf(conn, ctx context.Context, err error) *failure {
	var (
		own     *failure
		refused *pin.RefusedError
		invalid *pin.InvalidError
		quota   *pin.QuotaError
		noLink  *resolver.ErrNoLink
		often   *auth.LimitError
		absent  ipld.ErrNotFound
		deep    *room.TooDeepError
		other   *echo.HTTPError
	)
	switch {
	case errors.As(err, &own):
		return own
	case errors.Is(err, auth.ErrUnauthorized):
		return fail(http.StatusUnauthorized, codeForbidden, "%v", err)
	case errors.Is(err, auth.ErrForbidden):
		return fail(http.StatusForbidden, codeForbidden, "the access token is valid, but not for this")
	case errors.As(err, &often): // of the token; whoever gave it has said when to come back
		return fail(http.StatusTooManyRequests, codeRate, "%s", http.StatusText(http.StatusTooManyRequests))
	case errors.Is(err, pin.ErrDenied):
		return fail(http.StatusUnavailableForLegalReasons, codeNormal, "the content is on a denylist of this server: it is not given out, and cannot be pinned here")
	case errors.As(err, &invalid):
		return refuse("%v", invalid)
	case errors.As(err, &quota):
		return fail(http.StatusConflict, codeNormal, "%v; remove pins, or ask the operator for more", quota)
	case errors.Is(err, pin.ErrQuota):
		return fail(http.StatusConflict, codeNormal, "the account's quota is reached: remove pins, or ask the operator for more")
	case errors.Is(err, pin.ErrTooFast):
		f := fail(http.StatusTooManyRequests, codeRate, "the account adds more than 1,000 pins a second: slow down")
		f.retryAfter = retryBusy
		return f
	case errors.Is(err, pin.ErrDiskFull):
		return fail(http.StatusInsufficientStorage, codeNormal, "the server's disk is too full to take more pins")
	case errors.Is(err, pin.ErrDamaged):
		f := fail(http.StatusServiceUnavailable, codeNormal, "the server's database is damaged, and it takes no pins: its operator has to run `holdfast store verify`")
		f.retryAfter = retryDamaged
		return f
	case errors.Is(err, pin.ErrClosed), errors.Is(err, auth.ErrUnavailable):
		f := fail(http.StatusServiceUnavailable, codeNormal, "the server is shutting down or not ready: try again soon")
		f.retryAfter = retryClosed
		return f
	case errors.Is(err, pin.ErrUnsupported):
		return cannot("%v", pin.ErrUnsupported)
	case errors.As(err, &noLink):
		return cannot("%v", noLink)
	case errors.As(err, &absent):
		return cannot("block was not found locally (offline): %v", absent)
	case errors.Is(err, room.ErrFull):
		f := fail(http.StatusTooManyRequests, codeRate, "%v", room.ErrFull)
		f.retryAfter = retryBusy
		return f
	case errors.As(err, &deep):
		return cannot("%v", deep)
	case errors.As(err, &refused):
		return cannot("%v", refused)
	case faults.HungUp(conn, err):
		return fail(faults.StatusClientGone, codeNormal, "the client hung up")
	case errors.Is(ctx.Err(), context.DeadlineExceeded) && errors.Is(err, context.DeadlineExceeded):
		return cannot("%v", context.DeadlineExceeded)
	case errors.As(err, &other) && other.Code >= 400 && other.Code < 500:
		// From somebody else's middleware. There is no telling what its message holds.
		return fail(other.Code, codeClient, "%s", http.StatusText(other.Code))
	}
	return nil
}

// errorObject is the body of every answer that is no success.
type errorObject struct {
	Message string
	Code    int
	Type    string // "error"
}

// answer sends the error: as the answer, or behind what is sent already. conn is the
// connection's context.
func (a *api) answer(c echo.Context, conn context.Context, err error) {
	f := failureOf(conn, c.Request().Context(), err)
	w, sent := c.Response(), c.Response().Committed
	if _, panicked := errors.AsType[*faults.PanicError](err); sent && conn.Err() != nil && !panicked {
		// The client hung up in the middle of its answer, or ended its own side alone and still reads.
		a.ways.behind(c, "the client hung up")
		return
	}
	h := w.Header()
	if f == nil {
		who, _ := auth.PrincipalFrom(c.Request().Context())
		id := faults.Log(a.log.With("account", who.Account), h, c.Request(), err)
		f = fail(http.StatusInternalServerError, codeNormal, "%s", internalMessage(err, id))
	}
	if sent {
		a.ways.behind(c, f.message)
		return
	}
	for _, name := range []string{headerTrailer, headerStream, headerChunked, headerLength} {
		h.Del(name)
	}
	if f.retryAfter > 0 {
		h.Set(echo.HeaderRetryAfter, strconv.Itoa(int(f.retryAfter/time.Second)))
	}
	status := a.ways.status(f)
	if status == http.StatusUnauthorized {
		h.Set(echo.HeaderWWWAuthenticate, auth.Challenge)
	}
	b, err := json.Marshal(errorObject{Message: f.message, Code: f.code, Type: "error"})
	if err != nil { // two strings and a number can be encoded
		panic(err)
	}
	b = append(b, '\n')
	// With its length the answer ends where it ends, and not with what comes after it: a client
	// that still sends its body is cut off later.
	h.Set(echo.HeaderContentLength, strconv.Itoa(len(b)))
	// An error here is the client's connection: nobody is left to tell.
	_ = c.JSONBlob(status, b)
}

// internalMessage says what a client may know of a fault of the server's.
func internalMessage(err error, request string) string {
	switch {
	case errors.Is(err, pin.ErrInDoubt):
		return "the server's disk failed, and it is not known whether this was done: look before you ask again; request id " + request
	case errors.Is(err, pin.ErrUnwritable):
		return "the server cannot write to its disk now, and nothing was changed; request id " + request
	case errors.Is(err, pin.ErrUnreadable): // the log does not have each of them
		return "the server cannot read what it has on disk of this: tell its operator; request id " + request
	}
	return "something went wrong on the server; its log says what, under request id " + request
}
