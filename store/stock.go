package store

import (
	"context"
	"errors"

	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	holding "github.com/holdfast-ipfs/holdfast/store/internal/graph"
)

// Stock keeps blocks that walks are about to look for. Until it is closed no reclaim deletes a
// block, unless the disk needs the room. It is in memory alone: after a crash the next reclaim
// deletes what nothing links to.
type Stock struct {
	s    *Store
	keep *holding.Keep
}

// Stock begins one. The caller closes it.
func (s *Store) Stock() *Stock {
	return &Stock{s, s.held.KeepBlocks(func() {})}
}

// Close lets go of the blocks. It may be called twice.
func (k *Stock) Close() { k.keep.End() }

// Lost reports whether blocks may have been deleted, as the disk became too full.
func (k *Stock) Lost() bool { return k.keep.Lost() }

// Put makes blocks durable which the caller has compared with their hashes. Blocks that are
// there are not written again; written is how many were, and bytes of how many bytes. Errors:
// pin.ErrDiskFull; ErrKeepLost; pin.ErrClosed; the context's.
func (k *Stock) Put(ctx context.Context, blocks []graph.Block) (written int, bytes uint64, err error) {
	written, bytes, err = k.s.held.PutLoose(ctx, blocks)
	if k.keep.Lost() {
		return written, bytes, ErrKeepLost
	}
	return written, bytes, err
}

// Has reports whether a block is there, and has its hash. Errors: pin.ErrClosed; the context's.
func (k *Stock) Has(ctx context.Context, h multihash.Multihash) (bool, error) {
	_, err := k.s.held.ReadHashed(ctx, h)
	if err != nil && (ctx.Err() != nil || errors.Is(err, pin.ErrClosed)) {
		return false, err
	}
	return err == nil, nil
}
