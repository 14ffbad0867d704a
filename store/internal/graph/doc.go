// Package graph keeps blocks and what holds them: keys 20 to 29 of the database, and its
// go-datastore. It writes what a walk brings, says what is whole and what a DAG has in all,
// drops what was let go of, and deletes blocks that nothing holds any more.
//
// It knows nothing of requests. What they say of a DAG whose record cannot be read comes by
// [Store.WorkOut].
//
// A link is from a holder to a block; the stripes of locks by multihash are what claims,
// drops and deletions agree by. Their order is in the comment of package store.
package graph

import (
	"hash/maphash"
	"log/slog"
	"sync"

	"github.com/ipfs/boxo/blockstore"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
	"github.com/holdfast-ipfs/holdfast/store/internal/space"
)

// Store keeps blocks and what holds them. All methods may be called concurrently.
type Store struct {
	log   *slog.Logger
	space *space.Space
	kv    *kv.DB
	codec kv.Codec

	// WorkOut gives the record of a DAG that cannot be read, by the requests for it. It is
	// set before anything else is done.
	WorkOut func(r *kv.Reader, d pin.DAG) (DAGRecord, bool, error)

	Claims claimLocks
	keeps  keeps
	Blocks blockstore.Blockstore
	// Dropping is held by the one Drop that runs.
	Dropping chan struct{}
	Drops    Drops
	// For tests, if not nil: BeforeDelete is told which blocks are about to be
	// deleted and BeforeRelease which nodes are about to be released, with their
	// stripes held; DuringWrite is called with those of a batch held.
	BeforeDelete  func([]graph.Ref)
	BeforeRelease func([]graph.Node)
	DuringWrite   func()
	holders       struct { // numbers that are ours to give out
		mu   sync.Mutex
		next graph.Holder
		left int
	}
	Unreadable unreadable // the blocks that are known to be
}

// New gives what an open database has of blocks, with which it ends.
func New(sp *space.Space, log *slog.Logger) *Store {
	g := &Store{log: log, space: sp, kv: sp.DB(), codec: sp.DB().Codec(), Dropping: make(chan struct{}, 1)}
	g.Claims.Seed = maphash.MakeSeed()
	g.Blocks = blockstore.NewBlockstore(Gated{g})
	return g
}
