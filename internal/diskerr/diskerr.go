// Package diskerr has the errors of a disk, and of what keeps things on it. Packages pin and
// store both give them to their callers: pin by names of its own, which are the same values.
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
	// ErrUnwritable: the disk does not take what is written to it; nothing was changed.
	ErrUnwritable = errors.New("the disk cannot be written now")
	// ErrInDoubt: the disk failed while the change was written. From then on it is
	// read as made, but a crash may undo it.
	ErrInDoubt = errors.New("the disk failed, and whether the change outlasts a crash is not known")
	// ErrUnreadable: something is kept here, and what it says cannot be read: the disk gives
	// an error or other bytes than were written. It is neither absent nor empty, and is not
	// to be taken for that; what is asked for next may well be readable.
	ErrUnreadable = errors.New("what is on disk cannot be read")
	// ErrDamaged: the database has files that are not as they were written, so that what was
	// kept may seem not to be there. Nothing new is taken; what can be read is read.
	ErrDamaged = errors.New("the database is damaged")
	// ErrClosed: what is asked is closing or closed.
	ErrClosed = errors.New("shutting down")
)

// DiskFullError is an [ErrDiskFull] that says how full the disk is.
type DiskFullError struct {
	Free, Kept uint64 // bytes that are free, and that are to be kept free
	More       uint64 // that are needed beside these; 0 if Free is below Kept anyhow
	// Upkeep: below Kept not even a removal is written. Else it is the floor for what
	// is new, which the operator sets.
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
