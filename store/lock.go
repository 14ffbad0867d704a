package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/dgraph-io/badger/v4"
	"golang.org/x/sys/unix"

	"github.com/holdfast-ipfs/holdfast/internal/durable"
	"github.com/holdfast-ipfs/holdfast/internal/filesystem"
	"github.com/holdfast-ipfs/holdfast/internal/hint"
)

// Errors of opening a data directory. All of them come wrapped, with the
// directory's name, and nothing in it was changed.
var (
	// errForeign: the directory is not empty, and not a data directory.
	errForeign = errors.New("not a holdfast data directory")
	// errNewerLayout: a newer version of the program wrote it.
	errNewerLayout = errors.New("the data directory was written by a newer version of holdfast")
	// errOlderLayout: it was written before the first release, by a version whose records
	// this one cannot read. Nothing is changed.
	errOlderLayout = errors.New("the data directory was written by a version of holdfast from before its first release")
	// ErrLocked: another process has it open.
	ErrLocked = errors.New("the data directory is in use by another process")
)

// lockedError says who holds the lock.
type lockedError struct {
	Dir string
	PID int // zero if not known
}

func (e *lockedError) Error() string {
	if e.PID != 0 {
		return fmt.Sprintf("%s: %v (pid %d)", e.Dir, ErrLocked, e.PID)
	}
	return fmt.Sprintf("%s: %v", e.Dir, ErrLocked)
}

// Is makes errors.Is(err, ErrLocked) true.
func (e *lockedError) Is(target error) bool { return target == ErrLocked }

// Names in a data directory that the store knows.
const (
	markerName = "holdfast.layout" // marks a data directory, and has its layout
	pidName    = "holdfast.pid"    // the process that holds the lock; only a hint
	dbName     = "db"              // Badger's files, and nothing else
)

// harmless reports whether a file may be in a directory that is not ours yet.
func harmless(name string) bool {
	switch name {
	case "config.toml", "swarm.key", "denylists", "acme":
		return true // an operator puts them there before the first start
	case "lost+found":
		return true // a fresh file system has it
	}
	// A start that was killed before it wrote the marker leaves these.
	return strings.HasPrefix(name, pidName)
}

// DirLock is the right to use a data directory. One process has it at a time. It is a lock of the
// kernel on the directory, so it ends with the process, however that ends.
type DirLock struct {
	dir  string
	once sync.Once
	f    *os.File
	err  error
}

// Lock locks a data directory, which must exist. It does not wait. It makes an empty directory a data
// directory. Errors: [ErrLocked]; fs.ErrNotExist; fs.ErrPermission; a *filesystem.UnfitError, before
// anything is written. A directory that cannot be written to, that is no data directory, or that has a
// layout unknown to this version is an error, too.
func Lock(dir string) (*DirLock, error) { return lockOn(filesystem.System{}, dir) }

// lockOn is Lock with the file systems of a test.
func lockOn(sys filesystem.System, dir string) (*DirLock, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	// Before the directory is opened: where it is on another host, that may wait for long.
	if err := sys.Check(dir); err != nil {
		return nil, fmt.Errorf("lock data directory: %w", hintUnfit(err))
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	if err := lockFile(sys, f, dir); err != nil {
		f.Close()
		return nil, err
	}
	return &DirLock{dir: dir, f: f}, nil
}

// hintUnlockable adds to an error of flock what to do, if the file system has no locks.
func hintUnlockable(err error) error {
	for _, e := range []error{unix.ENOLCK, unix.ENOSYS, unix.EOPNOTSUPP, unix.EINVAL} {
		if errors.Is(err, e) {
			return hint.Add(err, filesystem.Hint)
		}
	}
	return err
}

// hintUnfit adds to an error of an unfit file system what to do.
func hintUnfit(err error) error {
	if _, ok := errors.AsType[*filesystem.UnfitError](err); ok {
		return hint.Add(err, filesystem.Hint)
	}
	return err
}

// TryFileSystem finds out whether files in a data directory can be mapped and locked. It makes a file
// there and removes it, also while a server uses the directory. Errors: a *filesystem.UnfitError.
func TryFileSystem(sys filesystem.System, dir string) error {
	return hintUnfit(sys.Try(dir, pidName+"."))
}

func lockFile(sys filesystem.System, f *os.File, dir string) error {
	if st, err := f.Stat(); err != nil {
		return fmt.Errorf("lock data directory: %w", err)
	} else if !st.IsDir() {
		return fmt.Errorf("lock data directory: %s is not a directory", dir)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		return &lockedError{Dir: dir, PID: readPID(dir)}
	} else if err != nil {
		return fmt.Errorf("lock %s: %w", dir, hintUnlockable(err))
	}
	layout, err := readMarker(dir)
	if err != nil {
		return err
	}
	if err := TryFileSystem(sys, dir); err != nil {
		return err
	}
	// This is the first write that stays. If we may not write here it fails, and nothing was changed.
	pid := strconv.Itoa(os.Getpid()) + "\n"
	if err := os.WriteFile(filepath.Join(dir, pidName), []byte(pid), 0o600); err != nil {
		return fmt.Errorf("the data directory cannot be written to: %w", err)
	}
	if layout == 0 {
		return writeMarker(dir, layoutVersion)
	}
	return nil
}

// Close gives the lock back. It may be called twice.
func (l *DirLock) Close() error {
	l.once.Do(func() {
		l.err = errors.Join(os.Remove(filepath.Join(l.dir, pidName)), l.f.Close())
	})
	return l.err
}

// readPID gives the pid that the holder of the lock wrote; zero if there is none.
func readPID(dir string) int {
	b, err := os.ReadFile(filepath.Join(dir, pidName))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0
	}
	return pid
}

const markerText = "This directory belongs to holdfast. Do not edit.\nlayout "

// readMarker gives the layout of a data directory; zero if the directory is empty. It fails if the
// directory is not a data directory, or if this version does not know its layout.
func readMarker(dir string) (int, error) {
	b, err := os.ReadFile(filepath.Join(dir, markerName))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, checkEmpty(dir)
	}
	if err != nil {
		return 0, fmt.Errorf("read data directory: %w", err)
	}
	tail, ok := bytes.CutPrefix(b, []byte(markerText))
	if !ok {
		return 0, hintMarker(dir, fmt.Errorf("%s: %w: %s has other contents than holdfast writes", dir, errForeign, markerName))
	}
	layout, err := strconv.Atoi(strings.TrimSpace(string(tail)))
	if err != nil || layout < 1 {
		return 0, hintMarker(dir, fmt.Errorf("%s: %w: %s has other contents than holdfast writes", dir, errForeign, markerName))
	}
	if layout < firstLayout {
		return 0, fmt.Errorf("%s: %w (layout %d, this one knows %d and later)", dir, errOlderLayout, layout, firstLayout)
	}
	if layout > layoutVersion {
		return 0, fmt.Errorf("%s: %w (layout %d, this one knows %d)", dir, errNewerLayout, layout, layoutVersion)
	}
	return layout, nil
}

// hintMarker adds to an error of a missing or damaged marker what to do, if there is a database beside
// it. The records have their layout, too, so any layout that this version knows may be written into
// the marker.
func hintMarker(dir string, err error) error {
	if _, e := os.Stat(filepath.Join(dir, dbName, badger.ManifestFilename)); e != nil {
		return err
	}
	line := strings.ReplaceAll(fmt.Sprintf("%s%d\n", markerText, layoutVersion), "\n", `\n`)
	return hint.Add(err, fmt.Sprintf("there is a database in %s: if it is holdfast's, restore %s from a backup, or write it again: printf '%s' > '%s'",
		filepath.Join(dir, dbName), markerName, line, strings.ReplaceAll(filepath.Join(dir, markerName), "'", `'\''`)))
}

func checkEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("read data directory: %w", err)
	}
	for _, e := range entries {
		if !harmless(e.Name()) {
			return hintMarker(dir, fmt.Errorf("%s: %w: it holds %s, but no %s", dir, errForeign, e.Name(), markerName))
		}
	}
	return nil
}

// writeMarker writes the marker, whole or not at all.
func writeMarker(dir string, layout int) error {
	// If a crash leaves the temporary file, its name is harmless.
	err := durable.WriteFile(filepath.Join(dir, markerName), pidName+"*", fmt.Appendf(nil, "%s%d\n", markerText, layout), 0o600)
	if err != nil {
		return fmt.Errorf("mark data directory: %w", err)
	}
	return nil
}
