package main

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store"
)

// failureOf is the one place where errors become answers of the admin API.
// Unlike on TCP the cause of a fault is in the answer, too: whoever asks is the
// operator.
func failureOf(err error) (status int, f adminFailure) {
	f.Error.Details = err.Error()
	status = http.StatusInternalServerError
	if other, ok := errors.AsType[*echo.HTTPError](err); ok {
		status = other.Code
	}
	if _, ok := errors.AsType[*auth.InvalidError](err); ok {
		status = http.StatusBadRequest
	}
	if _, ok := errors.AsType[*adoptedSome](err); ok {
		status, f.Error.Hint = http.StatusConflict, "`holdfast user quota` gives the account more; adopt again then"
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
		{errWhichUser, http.StatusBadRequest, "name one with --user EMAIL; `holdfast user ls` lists them"},
		{auth.ErrBusy, http.StatusServiceUnavailable, ""},
		{auth.ErrUnavailable, http.StatusServiceUnavailable, ""},
		{pin.ErrInDoubt, http.StatusInternalServerError, "look whether it was done before you try again; check the disk"},
		{pin.ErrUnwritable, http.StatusInternalServerError, "nothing was changed; check the disk"},
		{pin.ErrClosed, http.StatusServiceUnavailable, "try again when it is done"},
		{store.ErrDamaged, http.StatusInternalServerError, damagedHint},
		{pin.ErrUnreadable, http.StatusInternalServerError, "run `holdfast store verify`, and look at the disk"},
	} {
		if errors.Is(err, known.err) {
			status, f.Error.Hint = known.status, known.hint
			break
		}
	}
	if hint := diskFullHint(err); hint != "" {
		status, f.Error.Hint = http.StatusInsufficientStorage, hint
	}
	f.Error.Reason = reasonOf(status)
	return status, f
}

// diskFullHint says what to do about an error of a full disk; "" if it is not one.
func diskFullHint(err error) string {
	full, ok := errors.AsType[*pin.DiskFullError](err)
	switch {
	case !ok:
		return ""
	case full.Upkeep:
		// A reclaim has a floor of its own, and fails like this, too.
		return fmt.Sprintf("%s of the disk are free, and this is not done below %s: free some space on it by other means",
			roughSize(full.Free), roughSize(full.Kept))
	}
	return fmt.Sprintf("%s of the disk are free, and store.min_free_space keeps %s free: remove pins and run `holdfast store reclaim`, "+
		"make room by other means, or lower the setting", roughSize(full.Free), roughSize(full.Kept))
}

// failure is failureOf. A fault of a running server's is logged as well, under the
// request id that the answer has; that of a command is shown by the command.
func (s *adminServer) failure(c echo.Context, err error) (status int, f adminFailure) {
	if hungUp(c.Request().Context(), err) {
		f.Error.Reason, f.Error.Details = reasonOf(statusClientGone), "the client hung up"
		return statusClientGone, f
	}
	status, f = failureOf(err)
	_, panicked := errors.AsType[*panicError](err)
	if status == http.StatusInternalServerError && (s.running || panicked) {
		f.Error.Details += "; request id " + logFault(s.log, c.Response().Header(), c.Request(), err)
	}
	return status, f
}

func (s *adminServer) answer(c echo.Context, err error) error {
	status, f := s.failure(c, err)
	return c.JSON(status, f)
}

// answerError is an echo.HTTPErrorHandler.
func (s *adminServer) answerError(err error, c echo.Context) {
	if !c.Response().Committed {
		_ = s.answer(c, err) // it fails only if the command is gone
		return
	}
	if _, panicked := errors.AsType[*panicError](err); panicked || c.Request().Context().Err() == nil {
		s.failure(c, err) // for the log
	}
}
