package node

import (
	"context"

	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/node/walk"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// Store is what a node reads and writes blocks by. *store.Store is one.
type Store interface {
	walk.Store
	// Needed reports whether a pin that is complete or being fetched needs the
	// block. It is asked for each block that is to be given to others.
	Needed(ctx context.Context, h multihash.Multihash) (bool, error)
	// LookSize gives how many bytes a block has, as Look would give those. Errors:
	// pin.ErrUnreadable, if that is known of the block.
	LookSize(ctx context.Context, h multihash.Multihash) (size int, found bool, err error)
	// Drop and Room are those of pin.Engine; the attempt says all that a store needs.
	Drop(ctx context.Context, a pin.Attempt) error
	Room(ctx context.Context, bytes uint64) error
}
