package graph

import (
	"context"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/internal/diskerr"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
	"github.com/holdfast-ipfs/holdfast/store/internal/space/reading"
)

// Look reads a block as it was within the last moments, without waiting for
// what is being written. found is false if it is not there, or was put too
// recently: only Blockstore tells for sure. The data is the caller's. Errors: diskerr.ErrUnreadable.
func (g *Store) Look(ctx context.Context, h multihash.Multihash) (data []byte, found bool, err error) {
	if err := g.kv.Enter(ctx); err != nil {
		return nil, false, err
	}
	defer g.kv.Leave()
	r, release := g.kv.Glimpse()
	defer release()
	data, err = reading.Fetch(r.Txn, blockKey(h), nil)
	if errors.Is(err, diskerr.ErrUnreadable) {
		// What was deleted since may be gone from its file already.
		now, done := g.kv.Snapshot()
		defer done()
		data, err = reading.Fetch(now.Txn, blockKey(h), nil)
	}
	err = g.noteRead(h, err)
	switch {
	case errors.Is(err, badger.ErrKeyNotFound):
		return nil, false, nil
	case err != nil:
		return nil, false, fmt.Errorf("look for block %s: %w", h.B58String(), err)
	}
	return data, true, nil
}

// LookSize gives how many bytes a block has, as Look gives those. found is false as with
// Look. Errors: diskerr.ErrUnreadable, if it is known of the block.
func (g *Store) LookSize(ctx context.Context, h multihash.Multihash) (size int, found bool, err error) {
	if g.isUnreadable(h) { // it may be readable again
		data, found, err := g.Look(ctx, h)
		return len(data), found, err
	}
	err = g.kv.Glance(ctx, func(r *kv.Reader) error {
		item, err := reading.Find(r.Txn, blockKey(h))
		if err == nil {
			size, found = reading.SizeOf(item), true
		}
		if errors.Is(err, badger.ErrKeyNotFound) {
			err = nil
		}
		return err
	})
	if err != nil {
		return 0, false, kv.Wrap(err, "look for block %s", h.B58String())
	}
	return size, found, nil
}
