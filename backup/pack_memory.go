package backup

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// packMemory is memory in which packs are made. It is not Go's: Go lets garbage grow to the size of
// what is in use, and of that the packs would be most.
type packMemory struct {
	free   chan buffer // pieces, one for each pack that can be in memory
	pieces [][]byte
}

// newPackMemory takes memory for n packs. It must be closed.
func newPackMemory(n int) (*packMemory, error) {
	m := &packMemory{free: make(chan buffer, n)}
	for range n {
		b, err := unix.Mmap(-1, 0, packSize+packSize/4, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("take memory for a pack: %w", err), m.close())
		}
		takeLarge(b)
		m.pieces = append(m.pieces, b)
		m.free <- b[:0]
	}
	return m, nil
}

// close gives the memory back. Nothing may use it any more.
func (m *packMemory) close() (err error) {
	for _, b := range m.pieces {
		err = errors.Join(err, unix.Munmap(b))
	}
	m.pieces = nil
	return err
}
