package graph

import (
	"context"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
	"github.com/holdfast-ipfs/holdfast/store/internal/space/reading"
)

// HashesFrom reads some links from a key on. It gives their hashes, each once, the number of
// links, and the key of the next page; nil at the end.
func (g *Store) HashesFrom(ctx context.Context, from []byte) (hashes []multihash.Multihash, refs uint64, next []byte, err error) {
	err = g.kv.View(ctx, func(r *kv.Reader) error {
		return r.Scan(kv.Span{Prefix: []byte{KLinkTo}, From: from, KeysOnly: true}, func(key, _ []byte) (bool, error) {
			l, err := SplitLinkTo(key)
			if err != nil {
				return false, err
			}
			h := l.Hash
			if n := len(hashes); n == 0 || string(hashes[n-1]) != string(h) {
				if n == kv.PageSize {
					next = append(next, key...)
					return false, nil
				}
				hashes = append(hashes, append(multihash.Multihash(nil), h...))
			}
			refs++
			return true, nil
		})
	})
	return hashes, refs, next, err
}

// HashBlock reads and hashes a block. kind says what is wrong with it; "" is nothing.
func (g *Store) HashBlock(ctx context.Context, h multihash.Multihash) (size int, kind string, err error) {
	data, err := g.ReadHashed(ctx, h)
	switch {
	case errors.Is(err, badger.ErrKeyNotFound):
		return 0, DamageMissing, nil
	case errors.Is(err, errUnhashable) || err != nil && (ctx.Err() != nil || errors.Is(err, pin.ErrClosed)):
		return 0, "", err
	case err != nil: // what is damaged around the bytes makes them unreadable
		return len(data), DamageCorrupt, nil
	}
	return len(data), "", nil
}

// errUnhashable: nothing can be compared with the hash.
var errUnhashable = errors.New("the hash of a block cannot be computed")

// ReadHashed reads a block and compares it with its hash. Errors: badger.ErrKeyNotFound;
// diskerr.ErrUnreadable, with the bytes if they have another hash; diskerr.ErrClosed; the
// context's.
func (g *Store) ReadHashed(ctx context.Context, h multihash.Multihash) (data []byte, err error) {
	return g.ReadHashedInto(ctx, h, nil)
}

// ReadHashedInto is ReadHashed into buf, or into new memory if buf is too small.
func (g *Store) ReadHashedInto(ctx context.Context, h multihash.Multihash, buf []byte) (data []byte, err error) {
	decoded, err := multihash.Decode(h)
	if err != nil {
		return nil, fmt.Errorf("%w: %x: %w", errUnhashable, h, err)
	}
	err = g.kv.View(ctx, func(r *kv.Reader) error {
		data, err = reading.Fetch(r.Txn, blockKey(h), buf)
		if err != nil {
			return g.noteRead(h, err)
		}
		sum, err := multihash.Sum(data, decoded.Code, decoded.Length)
		if err != nil {
			return fmt.Errorf("%w: %x: %w", errUnhashable, h, err)
		}
		if string(sum) != string(h) {
			g.noteCorrupt(h)
			return errHash
		}
		return g.noteRead(h, nil)
	})
	return data, err
}

// NoteStrays writes a note for each of the blocks that nothing links to and that has none yet,
// so that the next reclaim looks at it. It gives how many notes it wrote.
func (g *Store) NoteStrays(blocks []graph.Ref) (n uint64, err error) {
	loose, err := g.Unclaimed(blocks)
	if err != nil || len(loose) == 0 {
		return 0, err
	}
	if err := g.space.RoomForUpkeep(); err != nil {
		return 0, err
	}
	wb := g.kv.NewBatch()
	defer wb.Cancel()
	r, done := g.kv.Snapshot()
	defer done()
	txn := r.Txn
	err = func() error {
		for _, l := range loose {
			if _, err := reading.Find(txn, looseKey(l.Hash)); !errors.Is(err, badger.ErrKeyNotFound) {
				if err != nil {
					return err
				}
				continue
			}
			item, err := reading.Find(txn, blockKey(l.Hash))
			if errors.Is(err, badger.ErrKeyNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			if err := wb.Set(looseKey(l.Hash), encodeSize(reading.SizeOf(item))); err != nil {
				return err
			}
			n++
		}
		return nil
	}()
	if err != nil {
		return 0, fmt.Errorf("look for blocks that nothing links to: %w", err)
	}
	return n, wb.Flush()
}

// What may be wrong with a block.
const (
	DamageMissing = "missing" // a complete DAG needs it, and it is not there
	DamageCorrupt = "corrupt" // its bytes have another hash, or cannot be read
)
