package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"

	"golang.org/x/sys/unix"

	"github.com/holdfast-ipfs/holdfast/store/internal/space"
)

// Inspection is what can be seen of a data directory from outside.
type Inspection struct {
	Layout  int // of its records; 0 if it was never used
	Damaged int // how many files of the database are known to be damaged
}

// Inspect looks at a data directory, and changes nothing. With a store that is open there, tables must
// be false; else the checksums of all tables are checked. Errors: those of [Lock] and [Open], but
// [ErrLocked].
func Inspect(ctx context.Context, dir string, tables bool) (in Inspection, err error) {
	if in.Layout, err = readMarker(dir); err != nil {
		return in, err
	}
	if err := checkRestored(dir); err != nil {
		return in, err
	}
	if !tables {
		return in, nil
	}
	in.Damaged, err = space.Inspect(ctx, filepath.Join(dir, dbName))
	return in, err
}

// CheckBadger fails if this program was built with another Badger than the one that it knows: then no
// store opens.
func CheckBadger(info *debug.BuildInfo) error { return space.CheckVersion(info) }

// Floor gives how many bytes must be free for new pins in a data directory. It may be more than
// minFree, the configured number, in a large store.
func Floor(dir string, minFree uint64) (uint64, error) {
	return space.Floor(filepath.Join(dir, dbName), minFree)
}

// Holder reports whether a process has locked a data directory, and which; pid is 0 if that is not
// known. It takes the lock for a moment, if nobody has it.
func Holder(dir string) (pid int, locked bool, err error) {
	f, err := os.Open(dir)
	if err != nil {
		return 0, false, fmt.Errorf("look who uses the data directory: %w", err)
	}
	defer f.Close()
	err = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return readPID(dir), true, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("look who uses the data directory: %w", err)
	}
	return 0, false, nil
}
