package walk

import (
	"context"

	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/node/exchange"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
)

// Store is where a walk puts blocks and what holds them. *store.Store is one. When a
// method returns nil, what it wrote survives a power loss. Methods may be called
// concurrently.
type Store interface {
	// Write makes a batch durable, in the order of its fields. A block that was on disk
	// before a link to it was written may be gone: look again after Write. Blocks
	// must have been checked against their hash. Errors: pin.ErrDiskFull, with nothing
	// written.
	Write(ctx context.Context, b graph.Batch) error
	// Mark marks a holder as whole: all below it is durable, and was checked against the limits. It does
	// not wait: the mark is written before whatever is changed next, or together with that. An error or
	// a crash may lose it, which costs a later walk some looks.
	Mark(h graph.Holder, l pin.Limits)
	// NewHolders gives n numbers in a row that no holder has or ever had.
	NewHolders(ctx context.Context, n int) (first graph.Holder, err error)
	// NodeOf gives the node as which an attempt reads a block, if an earlier run of the
	// attempt came to that block.
	NodeOf(ctx context.Context, a pin.Attempt, d pin.DAG) (h graph.Holder, found bool, err error)
	// Whole reports whether all of a DAG is known to be on disk, and was held to limits
	// no wider than those given. If surely is false, it looks at how things were a moment
	// ago. The answer lasts only if a link to d was written before.
	Whole(ctx context.Context, d pin.DAG, l pin.Limits, surely bool) (bool, error)
	// Look reads a block without waiting for what is being written. found is false if the
	// block is not there, or was written a moment ago. Errors, also of Blockstore:
	// pin.ErrUnreadable, after which the block is to be fetched again.
	Look(ctx context.Context, h multihash.Multihash) (data []byte, found bool, err error)
	// Blockstore reads blocks as they are now; the walk never writes by it.
	Blockstore() blockstore.Blockstore
	// Measure gives the totals of a DAG of which a part was passed over, from another DAG
	// that has that part. ok is false if there is none, or if counting is cheaper.
	Measure(ctx context.Context, k graph.Known) (t pin.Totals, ok bool, err error)
	// Below lists what a node links to that is whole. ok is false if it has no links.
	Below(ctx context.Context, d pin.DAG) (below []graph.Link, ok bool, err error)
}

// Asker is where a walk asks for blocks. [exchange.Session] is one.
type Asker interface {
	// Ask opens a want for each block, which stays open until it comes or is
	// forgotten.
	Ask(cs ...cid.Cid)
	Forget(cs ...cid.Cid)
	// Room is how many more blocks are worth asking for.
	Room() int
	// Ready receives a value when there may be something to Take, or more room.
	Ready() <-chan struct{}
	// Has reports whether there is something to Take.
	Has() bool
	// Take gives the blocks that came. Their bytes have the hashes of their CIDs.
	Take() []exchange.Arrival
	Stats() exchange.SessionStats
}
