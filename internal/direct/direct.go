// Package direct writes files to the disk without a copy in the system's memory, where it can.
package direct

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Memory takes n bytes to write from. They begin at a page, and are not Go's: Go lets garbage grow to
// the size of what is in use. The caller ends them with [Free].
func Memory(n int) ([]byte, error) {
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("take memory: %w", err)
	}
	takeLarge(b)
	return b, nil
}

// Free gives memory back, all that Memory gave. Nothing may use it any more.
func Free(b []byte) error { return unix.Munmap(b) }
