package backup

import (
	"errors"
	"fmt"

	"github.com/holdfast-ipfs/holdfast/internal/direct"
)

// packMemory is memory in which packs are made. It is not Go's: of what is in use, packs would be most.
type packMemory struct {
	free   chan buffer // pieces, one for each pack that can be in memory
	pieces [][]byte
}

// newPackMemory takes memory for n packs. It must be closed.
func newPackMemory(n int) (*packMemory, error) {
	m := &packMemory{free: make(chan buffer, n)}
	for range n {
		b, err := direct.Memory(packSize + packSize/4)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("for a pack: %w", err), m.close())
		}
		m.pieces = append(m.pieces, b)
		m.free <- b[:0]
	}
	return m, nil
}

// close gives the memory back. Nothing may use it any more.
func (m *packMemory) close() (err error) {
	for _, b := range m.pieces {
		err = errors.Join(err, direct.Free(b))
	}
	m.pieces = nil
	return err
}
