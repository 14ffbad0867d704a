package main

import (
	"fmt"
	"os"
	"syscall"
)

// touchBytes is a little more than the size of what is pinned at a time. Hosts that take
// free memory back from a virtual machine leave it about as much.
const touchBytes = 1 << 30

// settle makes the next measurement independent of the one before. The system writes all
// that is not written yet, so that the syncs of one server do not wait for writes of
// another. And settle touches memory and frees it. The reason: on a virtual machine whose
// host takes free memory back, a page that was not in use just before costs some
// microseconds, and the server that is measured second would pay for the file cache of
// both.
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
