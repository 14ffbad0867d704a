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

// A file that is cut has thousands of unreadable blocks. maxUnreadable is how many are remembered,
// and maxUnreadableLogged for how many of them there is a line in the log.
const maxUnreadable, maxUnreadableLogged = 1000, 10

// unreadable is the blocks that were read since the store was opened, and that could not be read
// or had another hash. Only a check of the store finds all that there are.
type unreadable struct {
	n  atomic.Int64 // how many there are; nearly always none
	mu sync.Mutex
	is map[string]damageSeen
}

type damageSeen int

const (
	seenUnreadable damageSeen = iota // the next read may work
	seenCorrupt                      // it was written with another hash
)

// errHash: the bytes of a block have another hash.
var errHash = fmt.Errorf("%w: it has another hash", diskerr.ErrUnreadable)

// readBlock reads a block, and remembers it if it cannot be read. Errors:
// badger.ErrKeyNotFound; diskerr.ErrUnreadable.
func (g *Store) readBlock(txn *badger.Txn, h multihash.Multihash) ([]byte, error) {
	data, err := reading.Fetch(txn, blockKey(h), nil)
	if err = g.noteRead(h, err); err != nil {
		return nil, err
	}
	return data, nil
}

// noteRead remembers how a read of a block ended. It returns the read's error, or errHash if the
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
		if len(u.is) <= maxUnreadableLogged {
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

// noteCorrupt remembers that a block has another hash, until it is written again.
func (g *Store) noteCorrupt(h multihash.Multihash) {
	g.unreadable.mu.Lock()
	defer g.unreadable.mu.Unlock()
	g.unreadable.add(h, seenCorrupt)
}

// noteWritten forgets the damage of blocks that were written again.
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
	if _, known := u.is[string(h)]; !known && len(u.is) == maxUnreadable {
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

// UnreadableBlocks gives how many blocks are known to be unreadable: up to maxUnreadable.
func (g *Store) UnreadableBlocks() int { return int(g.unreadable.n.Load()) }

// isUnreadable reports whether the last read of a block failed.
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

// StillUnreadable reads the blocks again that are known to be unreadable, and lists those that
// still are. The others were mended or deleted.
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
