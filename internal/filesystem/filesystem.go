// Package filesystem says whether a file system can hold a database that maps its files into
// memory, locks its directory, and relies on what was synced.
//
// Some file systems are known by their names to keep none of that: those of a network. Of others,
// such as those that a program serves (FUSE) or that a virtual machine shares with its host (9p),
// nobody knows before it is tried.
package filesystem

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// Kind is what is known of the file system that a directory is on.
type Kind struct {
	Name    string // as people know it, such as "NFS"; "" if it is not known
	Network bool   // its files are on another host
	// Unsynced: it is mounted so that nothing is ever synced.
	Unsynced bool
	// Fleeting says in words when all files in it are lost; "" is never.
	Fleeting string
}

// UnfitError says why a directory is on a file system that cannot hold the database. Nothing was
// left there.
type UnfitError struct {
	Dir  string
	Kind Kind
	Why  string
}

func (e *UnfitError) Error() string {
	name := e.Kind.Name
	if name == "" {
		name = "a file system"
	}
	return fmt.Sprintf("%s is on %s, which cannot hold the data: %s", e.Dir, name, e.Why)
}

// Hint says what to do about an UnfitError.
const Hint = "put the data directory on a local file system, such as ext4, XFS, Btrfs or ZFS, and name it with --data DIR; " +
	"only backups may be on a network file system"

// System is how the system is asked. The zero value asks the real one.
type System struct {
	Statfs func(dir string, st *unix.Statfs_t) error
	Mounts func() ([]byte, error)                // the list of mounts, as /proc/self/mountinfo has it
	Map    func(f *os.File) error                // maps a file into memory and changes it there
	Lock   func(f *os.File) error                // locks a file
	Device func(path string) (n uint64, ok bool) // the number of the device that a path is on
}

// Room is how much room a file system has.
type Room struct {
	Free, Size uint64 // bytes, free for a user who is not root
	// How many more files can be made, and how many there can be. Files is 0 if the file system
	// has no limit.
	FreeFiles, Files uint64
}

// Room says how much room there is for a directory. If the directory does not exist, it is the one
// above it. Errors: those of the system.
func (s System) Room(dir string) (Room, error) {
	var st unix.Statfs_t
	if err := s.statfs(existing(dir), &st); err != nil {
		return Room{}, fmt.Errorf("ask how much room %s has: %w", dir, err)
	}
	size := uint64(st.Bsize)
	return Room{
		Free: uint64(st.Bavail) * size, Size: uint64(st.Blocks) * size,
		FreeFiles: uint64(st.Ffree), Files: uint64(st.Files),
	}, nil
}

func (s System) statfs(dir string, st *unix.Statfs_t) error {
	if s.Statfs != nil {
		return s.Statfs(dir, st)
	}
	return unix.Statfs(dir, st)
}

// Of says what a directory is on. If the directory does not exist, it is the one above it. Errors:
// those of the system.
func (s System) Of(dir string) (Kind, error) {
	dir = existing(dir)
	var st unix.Statfs_t
	if err := s.statfs(dir, &st); err != nil {
		return Kind{}, fmt.Errorf("ask what file system %s is on: %w", dir, err)
	}
	return s.kindOf(dir, &st), nil
}

// existing is a path, or the first directory above it that is there.
func existing(path string) string {
	for {
		_, err := os.Stat(path)
		above := filepath.Dir(path)
		if !errors.Is(err, os.ErrNotExist) || above == path {
			return path
		}
		path = above
	}
}

// Check refuses a directory, or one that is to be made, on a file system that is known to be unfit.
// It writes nothing. Errors: [*UnfitError]; those of the system.
func (s System) Check(dir string) error {
	kind, err := s.Of(dir)
	switch {
	case err != nil:
		return err
	case kind.Network:
		return &UnfitError{Dir: dir, Kind: kind, Why: "over a network, memory that is mapped, locks and syncs do not work as on a disk"}
	case kind.Unsynced:
		return &UnfitError{Dir: dir, Kind: kind, Why: "it is mounted as volatile, so that a power loss takes what was synced"}
	}
	return nil
}

// Try makes a file in a directory, maps it, locks it, and removes it. The name of the file begins
// with prefix. If the file cannot be made, nothing is known, and Try returns nil: whoever writes
// there next gets that error. Errors: [*UnfitError].
func (s System) Try(dir, prefix string) error {
	f, err := os.CreateTemp(dir, prefix+"*")
	if err != nil {
		return nil
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err := f.Write(make([]byte, triedBytes)); err != nil {
		return nil // such as a full disk
	}
	mapFile, lock := s.Map, s.Lock
	if mapFile == nil {
		mapFile = mapAndChange
	}
	if lock == nil {
		lock = lockFile
	}
	unfit := func(why string, err error) error {
		kind, ofErr := s.Of(dir)
		if ofErr != nil {
			kind = Kind{}
		}
		return &UnfitError{Dir: dir, Kind: kind, Why: fmt.Sprintf("%s (%v)", why, err)}
	}
	if err := mapFile(f); err != nil && !isOfDisk(err) {
		return unfit("its files cannot be mapped into memory", err)
	}
	if err := lock(f); err != nil {
		return unfit("its files cannot be locked", err)
	}
	return nil
}

const triedBytes = 1 << 12

// isOfDisk reports whether an error says that the disk is full or failing, whatever its file system.
func isOfDisk(err error) bool {
	for _, e := range []error{unix.ENOSPC, unix.EDQUOT, unix.EIO, unix.ENOMEM, unix.EAGAIN, errFault} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

var (
	errFault   = errors.New("memory that was mapped cannot be used")
	errChanged = errors.New("what was written to memory is not in the file")
)

// mapAndChange maps a file of triedBytes, and looks whether what is written to the map is in the
// file.
func mapAndChange(f *os.File) (err error) {
	mapped, err := unix.Mmap(int(f.Fd()), 0, triedBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("mmap: %w", err)
	}
	defer unix.Munmap(mapped)
	if err := change(mapped); err != nil {
		return err
	}
	if err := unix.Msync(mapped, unix.MS_SYNC); err != nil {
		return fmt.Errorf("msync: %w", err)
	}
	var b [1]byte
	if _, err := f.ReadAt(b[:], 0); err != nil {
		return fmt.Errorf("read: %w", err)
	}
	if b[0] != 1 {
		return errChanged
	}
	return nil
}

// change writes to mapped memory. On a full disk that may be a fault.
func change(mapped []byte) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", errFault, r)
		}
	}()
	mapped[0] = 1
	return nil
}

func lockFile(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err != nil {
		return fmt.Errorf("flock: %w", err)
	}
	return nil
}
