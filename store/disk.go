package store

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// Badger maps its files into memory: writing to a map on a full disk is a
// SIGBUS, which ends the process, not an error. So the free space is looked at
// before each write; statfs takes about a microsecond, so nothing is cached.

// freeSpace gives the bytes that an unprivileged process may still write to
// the file system that holds dir.
func freeSpace(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return st.Bavail * uint64(st.Bsize), nil
}

// roomFor fails with pin.ErrDiskFull if writing n bytes would bring the free
// space under the floor for new blocks and requests.
func (s *Store) roomFor(n uint64) error {
	return s.floor(max(s.cfg.MinFreeSpace, s.cfg.Reserve), n)
}

// roomForUpkeep is the lower floor, under which nothing at all is written.
func (s *Store) roomForUpkeep() error { return s.floor(s.cfg.Reserve, 0) }

func (s *Store) floor(floor, n uint64) error {
	if floor == 0 {
		return nil
	}
	free, err := s.cfg.FreeSpace(s.dbDir)
	if err != nil {
		return err
	}
	if free < floor || free-floor < n {
		return fmt.Errorf("%w: %d bytes are free, %d are kept free", pin.ErrDiskFull, free, floor)
	}
	return nil
}
