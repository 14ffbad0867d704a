package node

import (
	"context"

	"github.com/ipfs/boxo/blockstore"
	blocks "github.com/ipfs/go-block-format"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// Store is where the walk puts blocks and references. *store.Store is one.
// Everything it returns nil for is durable against power loss. Methods may be
// called concurrently.
type Store interface {
	// Claim writes a reference from the attempt to each block. Only after it
	// returned may the presence of a block be trusted: look again then.
	Claim(ctx context.Context, a pin.Attempt, refs []pin.Ref) error
	// PutClaimed writes a reference to each block and then the block itself.
	// Batches of several MiB are worth while. Blocks must have been checked
	// against their hash. Errors: pin.ErrDiskFull, with nothing written.
	PutClaimed(ctx context.Context, a pin.Attempt, bs []blocks.Block) error
	// Look reads a block without waiting for what is being written. found is
	// false if it is not there, or was put within the last moments.
	Look(ctx context.Context, h multihash.Multihash) (data []byte, found bool, err error)
	// Blockstore reads blocks as they are now; the walk never writes by it.
	Blockstore() blockstore.Blockstore
}
