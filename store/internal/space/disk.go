package space

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/holdfast-ipfs/holdfast/internal/diskerr"
)

// Badger maps its files into memory: writing to a map on a full disk is a
// SIGBUS, which ends the process, not an error. So the free space is looked at
// before each write; statfs takes about a microsecond, so nothing is cached.

// FreeSpace gives the bytes that an unprivileged process may still write to
// the file system that holds dir.
func FreeSpace(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return st.Bavail * uint64(st.Bsize), nil
}

// capacityOf gives the bytes of the file system that holds dir, used and free.
func capacityOf(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("capacity of %s: %w", dir, err)
	}
	return st.Blocks * uint64(st.Bsize), nil
}

const (
	// A file of the value log is the smallest thing that can be given back.
	valueLogLeast = 64 << 20
	valueLogMost  = 1 << 30 // Badger takes less than 2 GiB
	// Each file is open, and mapped, of which Linux lets a process have 65,530
	// (vm.max_map_count). There are some 500 of a size before the next larger one is
	// taken, and the disk is full at some 16,000 even if the server is never restarted.
	valueLogFiles     = 512
	valueLogFilesMost = 16 << 10
)

// valueLogFileSize gives how large the files of the value log are to be that are
// written from now on.
func valueLogFileSize(used, capacity uint64) int64 {
	size := uint64(valueLogLeast)
	for size < valueLogMost && (size*valueLogFiles < used || size*valueLogFilesMost < capacity) {
		size *= 2
	}
	return int64(size)
}

// removeUnmade removes Badger's logs of no length. It makes a log in two steps,
// and a process that is killed between them leaves one that Badger then refuses
// to open, although there was never anything in it.
func removeUnmade(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); ext != ".mem" && ext != ".vlog" {
			continue
		}
		info, err := e.Info()
		if err == nil && info.Size() == 0 {
			err = os.Remove(filepath.Join(dir, e.Name()))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// DiskUse gives the bytes that the files of a directory take on disk, which is
// less than their sizes: Badger makes files larger than it fills them.
func DiskUse(dir string) (n uint64, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, fmt.Errorf("disk use: %w", err)
	}
	for _, e := range entries {
		used, err := fileUse(filepath.Join(dir, e.Name()))
		if err != nil {
			return 0, err
		}
		n += used
	}
	return n, nil
}

// fileUse gives the bytes that a file takes on disk; none if it is gone.
func fileUse(path string) (uint64, error) {
	const unit = 512 // of st_blocks, whatever the file system's block is
	var st unix.Stat_t
	err := unix.Lstat(path, &st)
	if errors.Is(err, unix.ENOENT) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("disk use of %s: %w", path, err)
	}
	return uint64(st.Blocks) * unit, nil
}

// RoomFor fails with a *diskerr.DiskFullError if writing n bytes would bring the free
// space under the floor for new blocks and requests. That is a quarter above the lower
// one at least: where new pins are refused, pins can be removed for a good while.
func (s *Space) RoomFor(n uint64) error {
	return s.floor(max(s.cfg.MinFreeSpace, s.cfg.Reserve+s.cfg.Reserve/4), n)
}

// roomForReclaim is half of the lower floor. Reclaim goes below that floor, as it
// is what makes room; but it moves what is alive out of one file, of 64 MiB,
// before it can give that up, and the tree of keys likewise.
func (s *Space) roomForReclaim() error { return s.floor(s.cfg.Reserve/2, 0) }

// RoomToOpen is a quarter of the lower floor, which a reclaim leaves wherever it is
// killed. The next one deletes, and collects what it can, down to there.
func (s *Space) RoomToOpen() error { return s.roomToMove(0) }

// roomToMove is that beside n bytes.
func (s *Space) roomToMove(n uint64) error { return s.floor(s.cfg.Reserve/4, n) }

// RoomForUpkeep is the lower floor, under which only a reclaim writes.
func (s *Space) RoomForUpkeep() error { return s.floor(s.cfg.Reserve, 0) }

// floor fails with a *diskerr.DiskFullError if less than floor would be left of what is free
// after n bytes, and with diskerr.ErrUnwritable if the file system does not say what is free.
func (s *Space) floor(floor, n uint64) error {
	if floor == 0 {
		return nil
	}
	free, err := s.cfg.FreeSpace(s.dbDir)
	if err != nil { // who cannot say what is free takes no writes either
		return fmt.Errorf("%w: %w", diskerr.ErrUnwritable, err)
	}
	full := &diskerr.DiskFullError{Free: free, Kept: floor, Upkeep: floor <= s.cfg.Reserve}
	switch {
	case free < floor:
		return full
	case free-floor < n:
		full.More = n
		return full
	}
	return nil
}
