package node

import (
	"context"

	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/node/intake"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// Store is where a node reads and writes blocks. *store.Store is one.
type Store interface {
	intake.Store
	// Needed reports whether a pin that is complete or being fetched needs the block. It
	// is called for each block that is to be served.
	Needed(ctx context.Context, h multihash.Multihash) (bool, error)
	// LookSize gives how many bytes Look would give. Errors: pin.ErrUnreadable, if it is
	// known that the block cannot be read.
	LookSize(ctx context.Context, h multihash.Multihash) (size int, found bool, err error)
	// LookEach runs fn with look, which reads blocks as Look does. The bytes of a
	// block come into the memory that room gives for their number, if its capacity is large
	// enough. look is for one goroutine, and lasts until fn returns, which should be soon.
	LookEach(ctx context.Context, fn func(look func(h multihash.Multihash, room func(size int) []byte) (data []byte, found bool, err error)) error) error
	// Drop and Room are as in pin.Engine. Of a DAG the store needs only the attempt.
	Drop(ctx context.Context, a pin.Attempt) error
	Room(ctx context.Context, bytes uint64) error
	// RoomForTemp fails with a pin.ErrDiskFull if the disk has no room for so many bytes of
	// temporary files. It is quick.
	RoomForTemp(bytes uint64) error
}
