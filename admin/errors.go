package admin

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/internal/text"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// failureOf is the one place where errors become answers of the admin API.
// Unlike on TCP the cause of a fault is told, and so not logged: whoever asks
// is the operator.
func failureOf(err error) (status int, f Failure) {
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
		{pin.ErrClosed, http.StatusServiceUnavailable, "try again when it is done"},
	} {
		if errors.Is(err, known.err) {
			status, f.Error.Hint = known.status, known.hint
			break
		}
	}
	if hint := diskFullHint(err); hint != "" {
		status, f.Error.Hint = http.StatusInsufficientStorage, hint
	}
	f.Error.Reason = strings.ToUpper(strings.ReplaceAll(http.StatusText(status), " ", "_"))
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
			text.RoughSize(full.Free), text.RoughSize(full.Kept))
	}
	return fmt.Sprintf("%s of the disk are free, and store.min_free_space keeps %s free: remove pins and run `holdfast store reclaim`, "+
		"make room by other means, or lower the setting", text.RoughSize(full.Free), text.RoughSize(full.Kept))
}

func answer(c echo.Context, err error) error {
	status, f := failureOf(err)
	return c.JSON(status, f)
}

// answerFault is an echo.HTTPErrorHandler.
func answerFault(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	_ = answer(c, err) // it fails only if the command is gone
}
