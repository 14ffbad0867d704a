package graph

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/internal/diskerr"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
	"github.com/holdfast-ipfs/holdfast/store/internal/space/reading"
)

// unreadableMost bounds how many blocks are known by name to be unreadable, and
// unreadableLogged how many of them have a line in the log: a file that is cut has thousands.
const unreadableMost, unreadableLogged = 1000, 10

// unreadable is the blocks that somebody wanted and that could not be read, or that did
// not have their hash, since the store was opened. A check of the store finds all that there are.
type unreadable struct {
	n  atomic.Int64 // how many there are; nearly always none
	mu sync.Mutex
	is map[string]damageSeen
}

type damageSeen int

const (
	seenUnreadable damageSeen = iota // it may be readable the next time
	seenCorrupt                      // it is read as it was written, and has another hash
)

// errHash: the bytes of a block are not those that its hash is of.
var errHash = fmt.Errorf("%w: it has another hash", diskerr.ErrUnreadable)

// readBlock reads a block, and notes it if it cannot be read. Errors:
// badger.ErrKeyNotFound; diskerr.ErrUnreadable.
func (g *Store) readBlock(txn *badger.Txn, h multihash.Multihash) ([]byte, error) {
	data, err := reading.Fetch(txn, blockKey(h), nil)
	if err = g.noteRead(h, err); err != nil {
		return nil, err
	}
	return data, nil
}

// noteRead notes how it went to read a block. It gives the error back, or another if the
// block is known to be corrupt.
func (g *Store) noteRead(h multihash.Multihash, err error) error {
	u := &g.unreadable
	bad := errors.Is(err, diskerr.ErrUnreadable)
	if !bad && u.n.Load() == 0 {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	seen, known := u.is[string(h)]
	switch {
	case bad && !known:
		u.add(h, seenUnreadable)
		if len(u.is) <= unreadableLogged {
			g.log.Error("a block cannot be read, and is not served", "cid", cid.NewCidV1(cid.Raw, h), "err", err,
				"hint", "run holdfast store verify --repair, and look at the disk; holdfast store stats names more such blocks")
		}
	case bad || !known:
	case err == nil && seen == seenCorrupt:
		return errHash
	default:
		u.drop(h)
	}
	return err
}

// noteCorrupt notes that a block does not have its hash, until it is written again.
func (g *Store) noteCorrupt(h multihash.Multihash) {
	g.unreadable.mu.Lock()
	defer g.unreadable.mu.Unlock()
	g.unreadable.add(h, seenCorrupt)
}

// noteWritten notes that blocks were written, which mends them.
func (g *Store) noteWritten(bs []graph.Block) {
	u := &g.unreadable
	if u.n.Load() == 0 {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, b := range bs {
		u.drop(b.Hash)
	}
}

func (u *unreadable) add(h multihash.Multihash, how damageSeen) {
	if _, known := u.is[string(h)]; !known && len(u.is) == unreadableMost {
		return
	}
	if u.is == nil {
		u.is = map[string]damageSeen{}
	}
	u.is[string(h)] = how
	u.n.Store(int64(len(u.is)))
}

func (u *unreadable) drop(h multihash.Multihash) {
	delete(u.is, string(h))
	u.n.Store(int64(len(u.is)))
}

// isUnreadable reports whether a block could not be read when somebody wanted it last.
func (g *Store) isUnreadable(h multihash.Multihash) bool {
	u := &g.unreadable
	if u.n.Load() == 0 {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	_, known := u.is[string(h)]
	return known
}

// StillUnreadable lists the blocks that cannot be read, of those that are known. Others
// may have been mended, or deleted.
func (g *Store) StillUnreadable(ctx context.Context) (bad []cid.Cid, err error) {
	u := &g.unreadable
	u.mu.Lock()
	known := make([]multihash.Multihash, 0, len(u.is))
	for h := range u.is {
		known = append(known, multihash.Multihash(h))
	}
	u.mu.Unlock()
	slices.SortFunc(known, func(a, b multihash.Multihash) int { return slices.Compare(a, b) })
	for _, h := range known {
		err := g.kv.View(ctx, func(r *kv.Reader) error {
			_, err := g.readBlock(r.Txn, h)
			return err
		})
		switch {
		case errors.Is(err, diskerr.ErrUnreadable):
			bad = append(bad, cid.NewCidV1(cid.Raw, h))
		case err != nil && !errors.Is(err, badger.ErrKeyNotFound):
			return nil, err
		}
	}
	return bad, nil
}
