package pin

import (
	"errors"
	"fmt"

	"github.com/holdfast-ipfs/holdfast/internal/diskerr"
)

// Errors that callers act on. All of them may come wrapped.
var (
	// ErrNotFound: no such request, or another account's.
	ErrNotFound = errors.New("no such pin request")
	// ErrTooFast: an account made more requests than there are milliseconds
	// to tell them apart; try again in a second.
	ErrTooFast = errors.New("too many pin requests at once for this account")
	// ErrDiskFull: the floor of free disk space is reached; nothing was written. It may be
	// a [DiskFullError].
	ErrDiskFull = diskerr.ErrDiskFull
	// ErrUnwritable: writes to the disk fail; nothing was changed.
	ErrUnwritable = diskerr.ErrUnwritable
	// ErrDamaged: files of the database are damaged, and nothing is taken any more. It may
	// come with ErrUnwritable; nothing was changed.
	ErrDamaged = diskerr.ErrDamaged
	// ErrInDoubt: the disk failed while the change was written. From then on it is read as
	// made, but a crash may undo it. What a method returns beside this error is what it
	// returns after a success.
	ErrInDoubt = diskerr.ErrInDoubt
	// ErrQuota: the account holds as much as it may; nothing was written. It is a
	// [QuotaError].
	ErrQuota = errors.New("the account's quota is reached")
	// ErrDenied: the content is on a denylist of the operator's; nothing was written.
	ErrDenied = errors.New("the content is on a denylist of this server")
	// ErrKeyReused: the account made another request under the same idempotency key.
	ErrKeyReused = errors.New("the idempotency key was used for another request")
	// ErrKeyGone: the request that was made under the idempotency key was removed or
	// replaced since.
	ErrKeyGone = errors.New("the request that was made under the idempotency key is gone")
	// ErrSuperseded: the attempt is no longer its DAG's.
	ErrSuperseded = errors.New("the attempt was superseded")
	// ErrClosed: the store or the manager is closing or closed.
	ErrClosed = diskerr.ErrClosed
	// ErrUnsupported: the place where DAGs are cannot do that.
	ErrUnsupported = errors.New("this is not supported where the DAGs are kept")
	// ErrNotFailed: only a failed request can be tried again.
	ErrNotFailed = errors.New("the pin request has not failed")
)

// AwayError says that the place where DAGs are kept takes nothing now. What waits for it goes
// on by itself, and does not fail meanwhile: [Engine].Room returns nil once it is back.
type AwayError struct {
	Reason string // in words for the user of a pin
	// Alone says that the place takes other DAGs, and not this one, which wants more of it. Room says
	// nothing of that, so this one is tried again after ever longer pauses.
	Alone bool
}

func (e *AwayError) Error() string { return e.Reason }

// DiskFullError is an [ErrDiskFull] that says how full the disk is.
type DiskFullError = diskerr.DiskFullError

// ErrUnreadable: something is kept here and cannot be read. The disk returns an error, or
// other bytes than were written. The thing is neither absent nor empty, and must not be
// taken for that. Other things may well be readable.
var ErrUnreadable = diskerr.ErrUnreadable

// QuotaError says which quota an account has reached. It is an [ErrQuota], in words for
// the account's owner.
type QuotaError struct {
	Pins  bool   // the quota of pins, else that of bytes
	Used  uint64 // by the account, without the request
	Asked uint64 // bytes of the request; 0 if not known
	Limit uint64
}

func (e *QuotaError) Error() string {
	switch {
	case e.Pins:
		return fmt.Sprintf("the account's quota of pins is reached: it has %d of %d", e.Used, e.Limit)
	case e.Asked == 0:
		return fmt.Sprintf("the account's quota of bytes is reached: its pins hold %d of %d bytes", e.Used, e.Limit)
	default:
		return fmt.Sprintf("the account's quota of bytes is reached: its other pins hold %d of %d bytes, and this one has %d",
			e.Used, e.Limit, e.Asked)
	}
}

// Is makes it an ErrQuota.
func (e *QuotaError) Is(target error) bool { return target == ErrQuota }

// InvalidError is an invalid value that a client sent.
type InvalidError struct {
	Field string // its name in the PSA, such as "cid" or "origins"
	Msg   string // what is wrong with it, and what would be right
}

func (e *InvalidError) Error() string { return fmt.Sprintf("%s: %s", e.Field, e.Msg) }
