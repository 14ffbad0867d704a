package space

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/holdfast-ipfs/holdfast/internal/diskerr"
)

// Badger maps its files into memory. To write to a map on a full disk is a SIGBUS, which ends the
// process, and not an error. So the free space is checked before each write. statfs takes about a
// microsecond, so nothing is cached.

// FreeSpace gives the bytes that an unprivileged process may still write to
// the file system that holds dir.
func FreeSpace(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return uint64(max(st.Bavail, 0)) * uint64(st.Bsize), nil // FreeBSD counts below 0 what root took of the reserve
}

// capacityOf gives the size of the file system that holds dir, used and free.
func capacityOf(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("capacity of %s: %w", dir, err)
	}
	return st.Blocks * uint64(st.Bsize), nil
}

const (
	// Space is given back a file of the value log at a time, so files should be small.
	minLogFile = 64 << 20
	maxLogFile = 1 << 30 // Badger takes less than 2 GiB
	// But each file is open and mapped, and Linux allows a process 65,530 maps
	// (vm.max_map_count). So a start takes the next larger size once there are some
	// manyLogFiles files; and a size by which the disk is full at maxLogFiles, for a server
	// that is never restarted.
	manyLogFiles = 512
	maxLogFiles  = 16 << 10
)

// valueLogFileSize gives the size of the files of the value log that are written from now on.
func valueLogFileSize(used, capacity uint64) int64 {
	size := uint64(minLogFile)
	for size < maxLogFile && (size*manyLogFiles < used || size*maxLogFiles < capacity) {
		size *= 2
	}
	return int64(size)
}

// reserveOf gives the lower floor of a store whose value log has files of a size.
func reserveOf(logFile int64) uint64 { return max(defaultReserve, reserveFiles*uint64(logFile)) }

// upperFloor is the floor for new blocks and requests.
func upperFloor(minFree, reserve uint64) uint64 { return max(minFree, reserve+reserve/4) }

// Floor gives how much must be free for new blocks and requests, in a database that is not open. dir
// may not exist; minFree is as in [Config].
func Floor(dir string, minFree uint64) (uint64, error) {
	used, err := DiskUse(dir)
	if errors.Is(err, os.ErrNotExist) {
		return upperFloor(minFree, defaultReserve), nil
	}
	if err != nil {
		return 0, err
	}
	capacity, err := capacityOf(dir)
	return upperFloor(minFree, reserveOf(valueLogFileSize(used, capacity))), err
}

// removeUnmade removes Badger's logs of length 0. Badger makes a log in two steps. A process that is
// killed between them leaves such a log, and Badger then refuses to open it, although there was
// never anything in it.
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

// DiskUse gives the bytes that the files of a directory take on disk. That is less than their sizes:
// Badger makes files larger than it fills them.
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

// fileUse gives the bytes that a file takes on disk; 0 if it is gone.
func fileUse(path string) (uint64, error) {
	const unit = 512 // of st_blocks, on every file system
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

// RoomFor fails with a *diskerr.DiskFullError if after n more bytes less space would be free than
// the floor for new blocks and requests. That floor is at least a quarter higher than the lower
// one, so that once new pins are refused, pins can still be removed for a good while.
func (s *Space) RoomFor(n uint64) error {
	return s.floor(upperFloor(s.cfg.MinFreeSpace, s.cfg.Reserve), n)
}

// Headroom gives how many bytes are free above the floor for new blocks and requests.
func (s *Space) Headroom() (uint64, error) {
	free, err := s.cfg.FreeSpace(s.dbDir)
	return free - min(free, upperFloor(s.cfg.MinFreeSpace, s.cfg.Reserve)), err
}

// roomForReclaim fails if less is free than half of the lower floor. A reclaim writes below the
// lower floor, since it makes room. But before it can delete a file, of 64 MiB, or the old tree
// of keys, it has to write what is alive in it elsewhere.
func (s *Space) roomForReclaim() error { return s.floor(s.cfg.Reserve/2, 0) }

// RoomToOpen fails if less is free than a quarter of the lower floor. A reclaim leaves that much
// wherever it is killed. The next one deletes blocks, and collects what it can, down to there.
func (s *Space) RoomToOpen() error { return s.roomToMove(0) }

// roomToMove is RoomToOpen after n more bytes.
func (s *Space) roomToMove(n uint64) error { return s.floor(s.cfg.Reserve/4, n) }

// RoomForUpkeep fails if less is free than the lower floor, below which only reclaims write.
func (s *Space) RoomForUpkeep() error { return s.floor(s.cfg.Reserve, 0) }

// RoomForTemp fails if after n more bytes less would be free than the lower floor.
func (s *Space) RoomForTemp(n uint64) error { return s.floor(s.cfg.Reserve, n) }

// floor fails with a *diskerr.DiskFullError if after n more bytes less than floor would be free. If
// the file system does not say how much is free, it fails with diskerr.ErrUnwritable.
func (s *Space) floor(floor, n uint64) error {
	if floor == 0 {
		return nil
	}
	free, err := s.cfg.FreeSpace(s.dbDir)
	if err != nil { // such a file system cannot be trusted with writes
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
