package main

import (
	"fmt"
	"os"
	"syscall"
)

// touchBytes is a little more than what is pinned at a time; hosts that take back the
// free memory of a guest leave it about as much.
const touchBytes = 1 << 30

// settle makes what comes next independent of what came before. The system writes what
// is not written, so that nobody's syncs wait for what another wrote. And memory is
// free that was in use a moment ago: on a virtual machine whose host takes free memory
// back, a page that was not takes some microseconds, and whoever comes second would
// pay for the file cache of both.
func settle() error {
	syscall.Sync()
	m, err := syscall.Mmap(-1, 0, touchBytes, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		return fmt.Errorf("touch memory: %w", err)
	}
	for i := 0; i < len(m); i += os.Getpagesize() {
		m[i] = 1
	}
	if err := syscall.Munmap(m); err != nil {
		return fmt.Errorf("touch memory: %w", err)
	}
	return nil
}
