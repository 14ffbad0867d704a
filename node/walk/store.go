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

// Store is where a walk puts blocks and what holds them. *store.Store is one.
// Everything it returns nil for is durable against power loss. Methods may be
// called concurrently.
type Store interface {
	// Write makes a batch durable, in the order of its fields. Only after it
	// returned may the presence of a block that is linked to be trusted: look
	// again then. Blocks must have been checked against their hash. Errors:
	// pin.ErrDiskFull, with nothing written.
	Write(ctx context.Context, b graph.Batch) error
	// NewHolders gives n numbers in a row that no holder has or ever had.
	NewHolders(ctx context.Context, n int) (first graph.Holder, err error)
	// NodeOf gives the node that an attempt reads a block as, if an earlier run of
	// it came so far.
	NodeOf(ctx context.Context, a pin.Attempt, d pin.DAG) (h graph.Holder, found bool, err error)
	// Whole reports whether all of a DAG is known to be there, and was held to
	// limits no wider than those given. Unless surely, it looks at how things were
	// a moment ago; only after a link to d was written does it last.
	Whole(ctx context.Context, d pin.DAG, l pin.Limits, surely bool) (bool, error)
	// Look reads a block without waiting for what is being written. found is
	// false if it is not there, or was put within the last moments. Errors:
	// pin.ErrUnreadable, also of Blockstore: it is to be fetched again.
	Look(ctx context.Context, h multihash.Multihash) (data []byte, found bool, err error)
	// Blockstore reads blocks as they are now; the walk never writes by it.
	Blockstore() blockstore.Blockstore
	// Measure gives the totals of a DAG of which a part was passed over, by another
	// that has that part. ok is false if that cannot be, or is not worth while.
	Measure(ctx context.Context, k graph.Known) (t pin.Totals, ok bool, err error)
	// Below lists what a node of a DAG that is whole links to. ok is false if it
	// has no links.
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
	// Ready gives a value when there may be something to Take, or more room.
	Ready() <-chan struct{}
	// Has reports whether there is something to Take.
	Has() bool
	// Take gives the blocks that came. Their bytes have the hashes of their CIDs.
	Take() []exchange.Arrival
	Stats() exchange.SessionStats
}
