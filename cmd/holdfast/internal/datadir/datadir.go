package datadir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/internal/filesystem"
	"github.com/holdfast-ipfs/holdfast/internal/hint"
)

// Dir is a data directory that exists and can be used. It keeps the directory open. So the
// directory stays reachable if its path is longer than the 107 bytes of a Unix socket's
// path, and if only root may enter a directory above it: systemd does that for dynamic
// users.
type Dir struct {
	Shown string // its absolute path, for people
	dir   *os.File
	Open  string // a path by which this process can open the files in it
}

// ErrNone says that there is no directory at the path, and that none was to be made.
var ErrNone = errors.New("there is no data directory")

// maxSocketPath is how many bytes fit a sockaddr_un, with a zero after them: 107 on Linux.
const maxSocketPath = len(syscall.RawSockaddrUnix{}.Path) - 1

// Find says which directory to use: that of the flag, else $HOLDFAST_DATA, else
// $STATE_DIRECTORY, which systemd sets, else the one in the XDG data home. It may not exist.
func Find(flag string, getenv func(string) string) (string, error) {
	stateDir, _, _ := strings.Cut(getenv("STATE_DIRECTORY"), ":")
	for _, dir := range []string{flag, getenv(config.EnvData), stateDir} {
		if dir != "" {
			return filepath.Abs(dir)
		}
	}
	if dir := XDG(getenv); dir != "" {
		return dir, nil
	}
	return "", hint.Add(errors.New("there is no place for the data directory: neither HOME nor XDG_DATA_HOME is set"),
		"name one with --data DIR or "+config.EnvData)
}

// XDG is the directory in the XDG data home, or "" if there is no home directory. XDG says
// that a relative XDG_DATA_HOME is ignored.
func XDG(getenv func(string) string) string {
	if base := getenv("XDG_DATA_HOME"); filepath.IsAbs(base) {
		return filepath.Join(base, "holdfast")
	}
	if home := getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "share", "holdfast")
	}
	return ""
}

// Open opens the directory at an absolute path. With create, a missing directory is made,
// readable by its owner alone, and messages gets a line about it. If the process is root, it
// becomes the owner of the directory for the rest of its life, so that it writes no file that
// the owner cannot use. The caller closes the directory. No directory is made on a file system that
// cannot hold the data. Errors: ErrNone; a *filesystem.UnfitError.
func Open(path string, create bool, messages io.Writer) (*Dir, error) {
	return openOn(filesystem.System{}, path, create, messages)
}

// openOn is Open with the file systems of a test.
func openOn(sys filesystem.System, path string, create bool, messages io.Writer) (*Dir, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if !create {
			return nil, fmt.Errorf("%w at %s", ErrNone, path)
		}
		if err := sys.Check(path); err != nil {
			return nil, hint.Add(fmt.Errorf("make the data directory: %w", err), filesystem.Hint)
		}
		if err := os.MkdirAll(path, 0o700); err != nil {
			return nil, fmt.Errorf("make the data directory: %w", err)
		}
		fmt.Fprintf(messages, "holdfast: made the data directory %s\n", path)
		info, err = os.Stat(path)
	}
	if err != nil {
		return nil, fmt.Errorf("open the data directory: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("the data directory %s is not a directory", path)
	}
	fd, err := unix.Open(path, holdOpen|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open the data directory: %w", &fs.PathError{Op: "open", Path: path, Err: err})
	}
	d := &Dir{Shown: path, dir: os.NewFile(uintptr(fd), path), Open: path}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 && owner.Uid != 0 {
		if err := becomeUser(int(owner.Uid), int(owner.Gid)); err != nil {
			return nil, errors.Join(fmt.Errorf("become user %d, who owns %s: %w", owner.Uid, path, err), d.Close())
		}
		if _, err := os.Stat(path); err != nil { // only root may enter a directory above it
			d.Open = d.procPath()
		}
	}
	return d, nil
}

// becomeUser gives up root for good, in all threads.
func becomeUser(uid, gid int) error {
	if err := syscall.Setgroups([]int{gid}); err != nil {
		return fmt.Errorf("set groups: %w", err)
	}
	if err := syscall.Setgid(gid); err != nil {
		return fmt.Errorf("set group: %w", err)
	}
	if err := syscall.Setuid(uid); err != nil {
		return fmt.Errorf("set user: %w", err)
	}
	return nil
}

// Close closes the directory. Files in it stay open.
func (d *Dir) Close() error { return d.dir.Close() }

// File is the path by which this process can open a file of the directory.
func (d *Dir) File(name string) string { return filepath.Join(d.Open, name) }

// Number is the number of the directory in its file system, the inode. 0 says that it is not
// known.
func (d *Dir) Number() uint64 {
	if info, err := os.Stat(d.Open); err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			return st.Ino
		}
	}
	return 0
}

// OpenToAll reports whether every user of the host may write to the directory. They could replace
// the server's keys, or remove the database.
func (d *Dir) OpenToAll() (mode fs.FileMode, open bool) {
	const others = 0o002 // to write
	info, err := os.Stat(d.Open)
	if err != nil {
		return 0, false
	}
	return info.Mode().Perm(), info.Mode().Perm()&others != 0
}

// CopiedInUse reports whether the directory is a copy that was made while a server used the
// original. Then it has the file of a running server, with the number of another directory.
// A snapshot of a file system has the same number, and so is no such copy.
func (d *Dir) CopiedInUse() bool {
	r, _ := ReadRunFile(d.File(RunFileName)) // it counts if that server has ended, too
	return r.Directory != 0 && r.Directory != d.Number()
}

// ClearTemp makes an empty directory for temporary files, and removes those of earlier runs.
// The system's own directory may be in memory, and these files exist to save memory. Or it
// may be on a disk without room. If the directory is a symbolic link, the link is removed,
// and what it leads to stays.
func (d *Dir) ClearTemp() error {
	path := d.File(TempDirName)
	if err := os.RemoveAll(path); err != nil {
		return fmt.Errorf("clear the directory of temporary files: %w", err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		return fmt.Errorf("make the directory of temporary files: %w", err)
	}
	return nil
}

// Socket is a path for binding or dialling a socket in the directory.
func (d *Dir) Socket(name string) string {
	if p := d.File(name); len(p) <= maxSocketPath {
		return p
	}
	return filepath.Join(d.procPath(), name)
}

// Explain replaces Open in an error by Shown, the path that people know.
func (d *Dir) Explain(err error) error {
	if err == nil || d.Open == d.Shown || !strings.Contains(err.Error(), d.Open) {
		return err
	}
	return &explainedError{err, strings.ReplaceAll(err.Error(), d.Open, d.Shown)}
}

type explainedError struct {
	error
	text string
}

func (e *explainedError) Error() string { return e.text }
func (e *explainedError) Unwrap() error { return e.error }
