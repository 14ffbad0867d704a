package graph

import (
	"context"

	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// PutLoose makes blocks durable that nothing links to yet, and that the caller has compared with
// their hashes. Each has a note, so the next reclaim deletes those that nothing links to by then,
// unless there is a [Keep]. Blocks that are there and have their hashes are not written again.
// written is how many were, of so many bytes. Errors: pin.ErrDiskFull, with nothing written.
func (g *Store) PutLoose(ctx context.Context, blocks []graph.Block) (written int, bytes uint64, err error) {
	if err := g.kv.Enter(ctx); err != nil {
		return 0, 0, err
	}
	defer g.kv.Leave()
	var hashes []multihash.Multihash
	var absent []graph.Block
	for _, b := range blocks {
		if _, err := g.ReadHashed(ctx, b.Hash); err == nil {
			continue
		} else if ctx.Err() != nil {
			return 0, 0, ctx.Err()
		}
		bytes += uint64(len(b.Data))
		hashes, absent = append(hashes, b.Hash), append(absent, b)
	}
	if len(absent) == 0 {
		return 0, 0, nil
	}
	if err := g.kv.MayWrite(); err != nil {
		return 0, 0, err
	}
	if err := g.space.RoomFor(bytes + uint64(len(absent))*refBytes); err != nil {
		return 0, 0, err
	}
	defer g.claims.share(hashes)()
	wb := g.kv.NewBatch()
	defer wb.Cancel()
	for _, b := range absent { // first: by its note a block is found
		if err := wb.Set(looseKey(b.Hash), encodeSize(len(b.Data))); err != nil {
			return 0, 0, err
		}
	}
	for _, b := range absent {
		if err := wb.Set(blockKey(b.Hash), b.Data); err != nil {
			return 0, 0, err
		}
	}
	if err := wb.Flush(); err != nil {
		return 0, 0, kv.Wrap(err, "write %d blocks", len(absent))
	}
	g.noteWritten(absent)
	return len(absent), bytes, nil
}
