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

// Look reads a block as it was a moment ago, without waiting for what is being written. found
// is false if the block is not there, or was put too recently: only Blockstore knows for sure.
// The caller may keep and change the data. Errors: diskerr.ErrUnreadable.
func (g *Store) Look(ctx context.Context, h multihash.Multihash) (data []byte, found bool, err error) {
	if err := g.kv.Enter(ctx); err != nil {
		return nil, false, err
	}
	defer g.kv.Leave()
	r, release := g.kv.Glimpse()
	defer release()
	data, err = reading.Fetch(r.Txn, blockKey(h), nil)
	if errors.Is(err, diskerr.ErrUnreadable) {
		// The block may have been deleted since, and be gone from its file.
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

// LookEach runs fn with look, which reads blocks as Look does, but many in one look at the
// database. The bytes of a block come into the memory that room gives for
// their number, from its beginning, if its capacity is large enough. room may be asked again. look is for one goroutine, and until fn returns. fn should be quick: while it
// runs, the space of what it may see cannot be given back. Its error is returned as it is.
func (g *Store) LookEach(ctx context.Context, fn func(look func(h multihash.Multihash, room func(size int) []byte) (data []byte, found bool, err error)) error) error {
	if err := g.kv.Enter(ctx); err != nil {
		return err
	}
	defer g.kv.Leave()
	r, release := g.kv.Glimpse()
	defer release()
	var now *kv.Reader // for what the glimpse does not have
	done := func() {}
	defer func() { done() }()
	return fn(func(h multihash.Multihash, room func(size int) []byte) ([]byte, bool, error) {
		data, err := reading.FetchInto(r.Txn, blockKey(h), room)
		if errors.Is(err, badger.ErrKeyNotFound) || errors.Is(err, diskerr.ErrUnreadable) {
			if now == nil {
				now, done = g.kv.Snapshot()
			}
			data, err = reading.FetchInto(now.Txn, blockKey(h), room)
		}
		err = g.noteRead(h, err)
		switch {
		case errors.Is(err, badger.ErrKeyNotFound):
			return nil, false, nil
		case err != nil:
			return nil, false, fmt.Errorf("look for block %s: %w", h.B58String(), err)
		}
		return data, true, nil
	})
}

// LookSize gives the size of a block that Look would read. found is as with Look. Errors:
// diskerr.ErrUnreadable, if the block is known to be unreadable.
func (g *Store) LookSize(ctx context.Context, h multihash.Multihash) (size int, found bool, err error) {
	if g.isUnreadable(h) { // reading it shows whether it still is
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
