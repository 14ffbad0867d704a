// Package diskerr has the errors of a disk, and of what keeps things on it. Packages pin and
// store both return them. pin has its own names for the same values.
package diskerr

import (
	"errors"
	"fmt"
)

// All of them may come wrapped.
var (
	// ErrDiskFull: the floor of free disk space is reached; nothing was written.
	// It may come as a [DiskFullError].
	ErrDiskFull = errors.New("the disk is too full to store more")
	// ErrUnwritable: writes to the disk fail; nothing was changed.
	ErrUnwritable = errors.New("the disk cannot be written now")
	// ErrInDoubt: the disk failed while the change was written. From then on the change is
	// read as made, but a crash may undo it.
	ErrInDoubt = errors.New("the disk failed, and whether the change outlasts a crash is not known")
	// ErrUnreadable: something is on disk but cannot be read: the disk gives an error, or
	// other bytes than were written. Callers must not treat it as absent or empty. The next
	// thing they read may well be readable.
	ErrUnreadable = errors.New("what is on disk cannot be read")
	// ErrDamaged: the database has files that are not as they were written, so that what was
	// kept may seem not to be there. Nothing new is taken; what can be read is read.
	ErrDamaged = errors.New("the database is damaged")
	// ErrClosed: the called part is closing or closed.
	ErrClosed = errors.New("shutting down")
)

// DiskFullError is an [ErrDiskFull] that says how full the disk is.
type DiskFullError struct {
	Free, Kept uint64 // bytes that are free, and bytes that must stay free
	More       uint64 // bytes that the write needs as well; 0 if Free is already below Kept
	// Upkeep says that Kept is the lower floor: below it not even a removal is written.
	// Else Kept is the floor for new data, which the operator sets.
	Upkeep bool
}

func (e *DiskFullError) Error() string {
	what := ErrDiskFull.Error()
	if e.Upkeep {
		what = "the disk is too full to write to"
	}
	if e.More > 0 {
		return fmt.Sprintf("%s: this needs %d bytes beside the %d that are kept free, and %d are free", what, e.More, e.Kept, e.Free)
	}
	return fmt.Sprintf("%s: %d bytes are free, and %d have to be", what, e.Free, e.Kept)
}

func (e *DiskFullError) Unwrap() error { return ErrDiskFull }
