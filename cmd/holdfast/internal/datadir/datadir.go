package datadir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/internal/hint"
	"github.com/holdfast-ipfs/holdfast/internal/text"
)

// Dir is a data directory that is there and may be used. It holds the
// directory open, so that it stays reachable whatever its path is: a Unix
// socket's path ends at 107 bytes, and systemd keeps the directories of dynamic
// users below one that only root may enter.
type Dir struct {
	Shown string // its absolute path, as people know it
	dir   *os.File
	Open  string // a path by which this process can open what is in it
}

// ErrNone: there is nothing at the path, and it was not to be made.
var ErrNone = errors.New("there is no data directory")

// maxSocketPath is what fits a sockaddr_un beside the zero at its end.
const maxSocketPath = 107

// Find says which directory to use: the flag's, else $HOLDFAST_DATA,
// else $STATE_DIRECTORY as systemd sets it, else the XDG data home. It need not
// exist.
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

// XDG is "" if there is no home directory. As XDG has it, a relative
// XDG_DATA_HOME counts as none.
func XDG(getenv func(string) string) string {
	if base := getenv("XDG_DATA_HOME"); filepath.IsAbs(base) {
		return filepath.Join(base, "holdfast")
	}
	if home := getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "share", "holdfast")
	}
	return ""
}

// Open opens the directory at an absolute path. If it is missing and
// create is set it is made, for its owner alone, and messages told so. Root
// becomes the directory's owner, for the rest of the process, so that nothing
// is written there that the owner could not use. The caller closes it.
// Errors: ErrNone.
func Open(path string, create bool, messages io.Writer) (*Dir, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if !create {
			return nil, fmt.Errorf("%w at %s", ErrNone, path)
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
	// O_PATH works for a directory that may be entered and not read.
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open the data directory: %w", &fs.PathError{Op: "open", Path: path, Err: err})
	}
	d := &Dir{Shown: path, dir: os.NewFile(uintptr(fd), path), Open: path}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 && owner.Uid != 0 {
		if err := becomeUser(int(owner.Uid), int(owner.Gid)); err != nil {
			return nil, errors.Join(fmt.Errorf("become user %d, who owns %s: %w", owner.Uid, path, err), d.Close())
		}
		if _, err := os.Stat(path); err != nil { // the way to it was open to root only
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

// Close lets the directory go. What was opened in it stays open.
func (d *Dir) Close() error { return d.dir.Close() }

// File is a path to open a file of the directory by.
func (d *Dir) File(name string) string { return filepath.Join(d.Open, name) }

// Number is the file system's for the directory: its inode. 0 is not known.
func (d *Dir) Number() uint64 {
	if info, err := os.Stat(d.Open); err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			return st.Ino
		}
	}
	return 0
}

// WarnOpen says so if everybody on the host may change what is in the directory: they
// can put keys of theirs in the place of the server's, or remove the database.
func (d *Dir) WarnOpen(log *slog.Logger) {
	const others = 0o002 // to write
	if info, err := os.Stat(d.Open); err == nil && info.Mode().Perm()&others != 0 {
		log.Warn("every user of this host may change the data directory; it has the server's keys",
			"data", d.Shown, "mode", fmt.Sprintf("%#o", info.Mode().Perm()), "hint", "chmod 700 "+text.ShellQuote(d.Shown))
	}
}

// CopiedInUse reports whether the directory is a copy that was made while a server used
// the original: what a running server leaves there is in it, and names another
// directory. A copy that a file system makes of itself, a snapshot, has the same
// number, and counts as none.
func (d *Dir) CopiedInUse() bool {
	r, _ := ReadRunFile(d.File(RunFileName)) // whether that server still runs or not
	return r.Directory != 0 && r.Directory != d.Number()
}

// ClearTemp makes the directory for what no run outlives, and removes what an earlier
// one left there. The system's own may be in memory, which is what such files are to
// save, or on a disk with no room. If it is a link it is not followed.
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

// Socket is a path to bind or dial a socket in the directory by.
func (d *Dir) Socket(name string) string {
	if p := d.File(name); len(p) <= maxSocketPath {
		return p
	}
	return filepath.Join(d.procPath(), name)
}

// Explain puts the path that people know in the place of that which was opened.
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

// procPath leads to the directory through the descriptor, whatever its own
// path is.
func (d *Dir) procPath() string { return fmt.Sprintf("/proc/self/fd/%d", d.dir.Fd()) }
