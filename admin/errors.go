package admin

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/auth/authhttp"
	"github.com/holdfast-ipfs/holdfast/internal/faults"
	"github.com/holdfast-ipfs/holdfast/internal/text"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// StatusError is an error with the status of its answer, and what to do about it.
type StatusError struct {
	Status int
	Err    error
	Hint   string // "" if there is nothing to say
}

func (e *StatusError) Error() string { return e.Err.Error() }

func (e *StatusError) Unwrap() error { return e.Err }

// failureOf is the one place where errors become answers on the socket. Unlike over TCP the
// answer has the cause of a fault, because the operator asks.
func (s *Server) failureOf(err error) (status int, f Failure) {
	status, f = authhttp.StatusOf(err), authhttp.NewFailure(0, err.Error())
	if other, ok := errors.AsType[*echo.HTTPError](err); ok {
		status = other.Code
	}
	if known, ok := errors.AsType[*StatusError](err); ok {
		status = known.Status
	}
	if _, ok := errors.AsType[*pin.AwayError](err); ok {
		status = http.StatusServiceUnavailable
	}
	if _, ok := errors.AsType[*adoptedSome](err); ok {
		status, f.Error.Hint = http.StatusConflict, "give the account more with `holdfast user quota`, and adopt again"
	}
	for _, known := range []struct {
		err    error
		status int
		hint   string
	}{
		{auth.ErrNoAccount, http.StatusNotFound, "`holdfast user ls` lists the accounts, `holdfast user add EMAIL` makes one"},
		{auth.ErrNoToken, http.StatusNotFound, "`holdfast token ls EMAIL` lists an account's tokens"},
		{auth.ErrNoInvite, http.StatusNotFound, "`holdfast user invites` lists the invitations"},
		{auth.ErrExists, http.StatusConflict, "`holdfast user passwd EMAIL` gives it a new password"},
		{auth.ErrDisabled, http.StatusForbidden, "`holdfast user enable EMAIL` enables it"},
		{errNoPins, http.StatusNotFound, "`holdfast pin ls --all` shows whose pins there are"},
		{auth.ErrDamaged, http.StatusInternalServerError, "`holdfast store verify` names what is damaged; restore a backup, or remove it: " +
			"`holdfast user rm` and `holdfast token revoke` do that too"},
		{errWhichAccount, http.StatusBadRequest, "name one with --user EMAIL; `holdfast user ls` lists them"},
		{auth.ErrBusy, http.StatusServiceUnavailable, ""},
		{auth.ErrUnavailable, http.StatusServiceUnavailable, ""},
		{pin.ErrInDoubt, http.StatusInternalServerError, "look whether it was done before you try again; check the disk"},
		{pin.ErrDamaged, http.StatusServiceUnavailable, "run `holdfast store verify`, which names the damaged files; restore a backup"},
		{pin.ErrUnwritable, http.StatusInternalServerError, "nothing was changed; check the disk"},
		{pin.ErrClosed, http.StatusServiceUnavailable, "try again after that"},
		{pin.ErrUnreadable, http.StatusInternalServerError, "run `holdfast store verify`, and look at the disk"},
	} {
		if errors.Is(err, known.err) {
			status, f.Error.Hint = known.status, known.hint
			break
		}
	}
	if known, ok := errors.AsType[*StatusError](err); ok {
		f.Error.Hint = known.Hint
	}
	if s.Hint != nil && f.Error.Hint == "" {
		f.Error.Hint = s.Hint(err)
	}
	if hint := diskFullHint(err); hint != "" {
		status, f.Error.Hint = http.StatusInsufficientStorage, hint
	}
	f.Error.Reason = faults.Reason(status)
	return status, f
}

// diskFullHint says what to do about a full disk; "" if err is another error.
func diskFullHint(err error) string {
	full, ok := errors.AsType[*pin.DiskFullError](err)
	switch {
	case !ok:
		return ""
	case full.Upkeep:
		// A reclaim has its own floor, and can also fail like this.
		return fmt.Sprintf("%s of the disk are free, and this is not done below %s: free some space in another way",
			text.RoughSize(full.Free), text.RoughSize(full.Kept))
	}
	return fmt.Sprintf("%s of the disk are free, and store.min_free_space keeps %s free: remove pins and run `holdfast store reclaim`, "+
		"free some space in another way, or lower the setting", text.RoughSize(full.Free), text.RoughSize(full.Kept))
}

// failure is failureOf, and also logs a fault of a running server, under the request id that
// is in the answer. A command shows its faults itself.
func (s *Server) failure(c echo.Context, err error) (status int, f Failure) {
	if faults.HungUp(c.Request().Context(), err) {
		return faults.StatusClientGone, authhttp.NewFailure(faults.StatusClientGone, "the client hung up")
	}
	status, f = s.failureOf(err)
	_, panicked := errors.AsType[*faults.PanicError](err)
	if status == http.StatusInternalServerError && (s.Running || panicked) {
		f.Error.Details += "; request id " + faults.Log(s.Log, c.Response().Header(), c.Request(), err)
	}
	return status, f
}

func (s *Server) answer(c echo.Context, err error) error {
	status, f := s.failure(c, err)
	return c.JSON(status, f)
}

// answerError is an echo.HTTPErrorHandler.
func (s *Server) answerError(err error, c echo.Context) {
	if !c.Response().Committed {
		_ = s.answer(c, err) // it fails only if the command is gone
		return
	}
	if _, panicked := errors.AsType[*faults.PanicError](err); panicked || c.Request().Context().Err() == nil {
		s.failure(c, err) // for the log
	}
}
