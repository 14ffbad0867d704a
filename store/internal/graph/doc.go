// Package graph keeps blocks and what holds them: keys 20 to 2a of the database, and its
// go-datastore. It writes what walks fetch, reports what is whole and the totals of a DAG,
// drops what released attempts hold, and deletes blocks that nothing holds any more.
//
// It knows nothing of requests. When the record of a DAG cannot be read, [Store.WorkOut] works
// it out from the requests.
//
// A link goes from a holder to a block. Claims, drops and deletions of a block exclude each
// other by locks, which are striped by multihash. The comment of package store has the order.
//
// # Files
//
// There are many, as each thing that happens to a block has one: it is written, looked for,
// needed, climbed from, dropped, deleted, found unreadable. They share the locks and the keys,
// and packages of their own would have to hand these around.
package graph

import (
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ipfs/boxo/blockstore"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
	"github.com/holdfast-ipfs/holdfast/store/internal/space"
)

// Store keeps blocks and what holds them. All methods may be called concurrently.
type Store struct {
	log   *slog.Logger
	now   func() time.Time
	space *space.Space
	kv    *kv.DB

	// WorkOut works out the record of a DAG that cannot be read, from the requests for it. It
	// is set before any other use.
	WorkOut func(r *kv.Reader, d pin.DAG) (DAGRecord, bool, error)

	claims claimLocks
	keeps  keeps
	wrote  atomic.Int64 // when blocks of a pin were last written, in Unix nanoseconds
	blocks blockstore.Blockstore
	// dropping is held by the one Drop that runs.
	dropping chan struct{}
	drops    drops
	// For tests, if not nil: beforeDelete gets the blocks that are about to be deleted,
	// and beforeRelease the nodes that are about to be released. duringWrite is called
	// during the write of a batch. All three are called with the stripes held.
	beforeDelete  func([]graph.Ref)
	beforeRelease func([]graph.Node)
	duringWrite   func()
	holders       struct { // numbers that were taken from the committer and not given out
		mu   sync.Mutex
		next graph.Holder
		left int
	}
	unreadable unreadable
}

// New opens this room on a database. It ends with the database.
func New(sp *space.Space, log *slog.Logger, now func() time.Time) *Store {
	g := &Store{log: log, now: now, space: sp, kv: sp.DB(), dropping: make(chan struct{}, 1)}
	g.claims.seed = maphash.MakeSeed()
	g.blocks = blockstore.NewBlockstore(gated{g})
	return g
}
