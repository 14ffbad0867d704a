package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/auth/authhttp"
	"github.com/holdfast-ipfs/holdfast/internal/faults"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// failure is an error that may be shown: what happened, and what to do.
type failure struct {
	status int
	text   string
}

func (f *failure) Error() string { return f.text }

var (
	errNoPage      = &failure{http.StatusNotFound, "there is no such page"}
	errCrossOrigin = &failure{http.StatusForbidden, "this came from another web site, and nothing was done. If it was you, open the page " +
		"here and try again. If a proxy is in front of the server, http.public_url has to name its address"}
)

// failureOf says what a person may know of an error. Nil means nothing: its cause is for the
// log. conn is the context of the connection, ctx that of the session.
func failureOf(conn, ctx context.Context, err error) *failure {
	var (
		own   *failure
		bad   *pin.InvalidError
		field *auth.InvalidError
		quota *pin.QuotaError
		often *auth.LimitError
		other *echo.HTTPError
	)
	switch {
	case errors.As(err, &own):
		return own
	case errors.Is(context.Cause(ctx), auth.ErrUnauthorized):
		return &failure{http.StatusUnauthorized, errSessionOver.Error()}
	case faults.HungUp(conn, err):
		return &failure{faults.StatusClientGone, "the client hung up"}
	case errors.As(err, &bad):
		return &failure{http.StatusBadRequest, bad.Error()}
	case errors.As(err, &quota):
		return &failure{http.StatusConflict, quota.Error() + "; remove pins, or ask the operator for more"}
	case errors.Is(err, pin.ErrQuota):
		return &failure{http.StatusConflict, "the account's quota is reached: remove pins, or ask the operator for more"}
	case errors.Is(err, pin.ErrNotFound):
		return &failure{http.StatusNotFound, "there is no such pin in this account; it may have been removed or replaced"}
	case errors.Is(err, pin.ErrNotFailed):
		return &failure{http.StatusConflict, "only a failed pin can be tried again, and this one has not failed"}
	case errors.Is(err, pin.ErrDenied):
		return &failure{http.StatusUnavailableForLegalReasons, "the content is on a denylist of this server, and cannot be pinned here"}
	case errors.Is(err, pin.ErrTooFast):
		return &failure{http.StatusTooManyRequests, "the account adds more than 1,000 pins a second: wait a moment and try again"}
	case errors.Is(err, pin.ErrDiskFull), errors.Is(err, auth.ErrDiskFull):
		return &failure{http.StatusInsufficientStorage, "the server's disk is too full for this; nothing was changed"}
	case errors.Is(err, pin.ErrDamaged):
		return &failure{http.StatusServiceUnavailable, "the server's database is damaged, and it takes no pins: its operator has to run `holdfast store verify`"}
	case errors.Is(err, pin.ErrClosed), errors.Is(err, auth.ErrUnavailable):
		return &failure{http.StatusServiceUnavailable, "the server is stopping or not ready: try again soon"}
	case errors.Is(err, auth.ErrBusy):
		return &failure{http.StatusServiceUnavailable, auth.ErrBusy.Error()}
	case errors.As(err, &field):
		return &failure{http.StatusBadRequest, field.Error()}
	case errors.As(err, &often):
		return &failure{http.StatusTooManyRequests, often.Error()}
	case errors.As(err, &other) && other.Code >= 400 && other.Code < 500:
		return &failure{other.Code, http.StatusText(other.Code)}
	}
	if status := authhttp.StatusOf(err); status < 500 {
		for _, known := range []error{
			auth.ErrBadCredentials, auth.ErrDisabled, auth.ErrClosed, auth.ErrNoInvite, auth.ErrNoAccount, auth.ErrNoToken, auth.ErrExists, auth.ErrEnded,
		} {
			if errors.Is(err, known) {
				return &failure{status, known.Error()}
			}
		}
		return &failure{status, err.Error()}
	}
	return nil
}

// fail answers with an error, as a page or as the part of one.
func (c *call) fail(err error) error {
	sent := c.Response().Committed
	if _, panicked := errors.AsType[*faults.PanicError](err); sent && c.conn.Err() != nil && !panicked {
		return nil // the client hung up in the middle of its answer
	}
	f := failureOf(c.conn, c.ctx, err)
	if f == nil {
		id := faults.Log(c.ui.Logger.With("account", c.me.Account), c.Response().Header(), c.Request(), err)
		f = &failure{http.StatusInternalServerError, internalText(err, id)}
	}
	if sent {
		return nil
	}
	switch f.status {
	case http.StatusUnauthorized:
		return c.toSignIn(f)
	case http.StatusTooManyRequests:
		if often, ok := errors.AsType[*auth.LimitError](err); ok {
			c.Response().Header().Set(echo.HeaderRetryAfter, strconv.Itoa(int(often.RetryAfter/time.Second)))
		}
	}
	c.status, c.said = f.status, ""
	if c.isPart() {
		return c.part("error.html", "part", f.text)
	}
	return c.render("error.html", titleOf(f.status), f.text)
}

// internalText says what a person may know of a fault of the server: whether it was done.
func internalText(err error, request string) string {
	switch {
	case errors.Is(err, pin.ErrInDoubt), errors.Is(err, auth.ErrInDoubt):
		return "the server's disk failed, and it is not known whether this was done: look before you try again; request id " + request
	case errors.Is(err, pin.ErrUnwritable), errors.Is(err, auth.ErrUnwritable):
		return "the server cannot write to its disk now, and nothing was changed; request id " + request
	case errors.Is(err, pin.ErrUnreadable), errors.Is(err, auth.ErrDamaged):
		return "the server cannot read what it has on disk of this: tell its operator; request id " + request
	}
	return "something went wrong on the server; its log says what, under request id " + request
}

func titleOf(status int) string {
	switch status {
	case http.StatusNotFound, http.StatusGone:
		return "Not found"
	case http.StatusForbidden:
		return "Not allowed"
	}
	return "That did not work"
}

// toSignIn leads to the sign-in, and from there back to the page. Streams and parts cannot
// show it.
func (c *call) toSignIn(f *failure) error {
	r := c.Request()
	if strings.Contains(r.Header.Get(echo.HeaderAccept), "text/event-stream") {
		return c.String(http.StatusUnauthorized, f.text)
	}
	next := r.URL.RequestURI()
	if r.Method != http.MethodGet || c.isPart() {
		next = pinsPath
		if u, err := url.Parse(r.Header.Get("HX-Current-URL")); err == nil && c.isPart() {
			next = ownPath(u.RequestURI())
		}
	}
	return c.seeOther(signInPath + "?next=" + url.QueryEscape(next))
}
