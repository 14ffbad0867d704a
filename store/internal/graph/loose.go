package graph

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
	"github.com/holdfast-ipfs/holdfast/store/internal/space/reading"
)

// looseFrom reads up to limit notes from a key on (nil is the first), and gives the key of the
// next page; nil at the end.
func (g *Store) looseFrom(ctx context.Context, from []byte, limit int) (notes []graph.Ref, next []byte, err error) {
	err = g.kv.View(ctx, func(r *kv.Reader) error {
		return r.ScanEach(kv.Span{Prefix: []byte{KLoose}, From: from}, func(key, value []byte) (bool, error) {
			if len(notes) == limit {
				next = append(next, key...)
				return false, nil
			}
			notes = append(notes, graph.Ref{Hash: append(multihash.Multihash(nil), key[1:]...), Size: SizeOr0(key, value)})
			return true, nil
		})
	})
	return notes, next, err
}

// deleteUnclaimed deletes those of the blocks that nothing links to, and all of the notes. A
// claim of one of the blocks waits meanwhile. Either the claim came first, and the block stays;
// or it comes when the block is gone, which the claim's writer sees when it looks again.
func (g *Store) deleteUnclaimed(notes []graph.Ref, deleted func(blocks, bytes uint64)) error {
	if len(notes) == 0 {
		return nil
	}
	if err := g.kv.MayWrite(); err != nil { // it may be in doubt that nothing links to them
		return err
	}
	if err := g.space.RoomToOpen(); err != nil {
		return err
	}
	hashes := make([]multihash.Multihash, len(notes))
	for i, n := range notes {
		hashes[i] = n.Hash
	}
	g.keeps.mu.Lock()
	defer g.keeps.mu.Unlock()
	if !g.mayDelete() {
		return errKept
	}
	defer g.claims.alone(hashes)()
	dead, err := g.Unclaimed(notes)
	if err != nil {
		return err
	}
	if g.beforeDelete != nil {
		g.beforeDelete(dead)
	}
	wb := g.kv.NewBatch()
	defer wb.Cancel()
	size := uint64(0)
	for _, d := range dead {
		if err := wb.Delete(blockKey(d.Hash)); err != nil {
			return err
		}
		size += uint64(d.Size)
	}
	// The notes go last: by them an interrupted reclaim goes on.
	for _, n := range notes {
		if err := wb.Delete(looseKey(n.Hash)); err != nil {
			return err
		}
	}
	if len(dead) > 0 {
		before, err := g.DeadBytes(context.Background())
		if err != nil {
			return err
		}
		if err := wb.Set(kv.MetaKey(kv.MetaDead), binary.BigEndian.AppendUint64(nil, before+size)); err != nil {
			return err
		}
	}
	if err := wb.Flush(); err != nil {
		return fmt.Errorf("delete %d blocks: %w", len(dead), err)
	}
	deleted(uint64(len(dead)), size)
	return nil
}

// nearSteps is how many keys are stepped over before a seek, which costs as much as some steps
// in each table.
const nearSteps = 16

// Unclaimed gives those of the blocks that are there and that nothing links to. It is fastest
// if the blocks are in the order of their hashes. The caller must have entered.
func (g *Store) Unclaimed(blocks []graph.Ref) (loose []graph.Ref, err error) {
	r, done := g.kv.Snapshot() // after the stripes were taken: it sees every claim
	defer done()
	txn := r.Txn
	opt := badger.DefaultIteratorOptions
	opt.Prefix = []byte{KLinkTo}
	it := reading.Iterate(txn, opt)
	defer it.Close()
	// before reports whether the iterator is before what begins with a prefix.
	before := func(prefix []byte) bool {
		item, ok := it.At(nil)
		return ok && bytes.Compare(item.Key(), prefix) < 0
	}
	var last []byte
	for _, b := range blocks {
		prefix := BlockLinks(b.Hash)
		if bytes.Compare(prefix, last) < 0 || last == nil {
			it.Seek(prefix)
		}
		last = prefix
		for n := 0; before(prefix); n++ {
			if n == nearSteps {
				it.Seek(prefix)
				break
			}
			it.Next()
		}
		_, linked := it.At(prefix)
		if err := it.Failed(); err != nil {
			return nil, fmt.Errorf("look for links to block %x: %w", b.Hash, err)
		}
		if linked {
			continue
		}
		_, err := reading.Find(txn, blockKey(b.Hash))
		switch {
		case errors.Is(err, badger.ErrKeyNotFound):
		case err != nil:
			return nil, fmt.Errorf("look for block %x: %w", b.Hash, err)
		default:
			loose = append(loose, b)
		}
	}
	return loose, nil
}

// DeadBytes gives how much was deleted since space was last given back. Only reclaims write it,
// past the committer.
func (g *Store) DeadBytes(ctx context.Context) (n uint64, err error) {
	err = g.kv.View(ctx, func(r *kv.Reader) error {
		b, found, err := r.Get(kv.MetaKey(kv.MetaDead))
		if err == nil && found {
			n = binary.BigEndian.Uint64(b)
		}
		return err
	})
	return n, err
}

// DeletesPerBatch is how many blocks are decided on at a time. Claims may wait for as long as
// that takes, some 30 ms. Each batch is a sync.
const DeletesPerBatch = 4096

// LooseWork is the caller's side of DeleteLoose. All of it is needed.
type LooseWork struct {
	Progress func(done, total uint64)   // gets how many notes were looked at, before each batch
	Deleted  func(blocks, bytes uint64) // gets what one batch deleted
	// Pause is called between batches, with the time that the last one took.
	Pause func(ctx context.Context, took time.Duration) error
}

// errKept: a keep does not let blocks be deleted.
var errKept = errors.New("blocks are kept")

// DeleteLoose goes through all notes, and deletes the blocks that nothing links to. It stops
// when a keep begins: kept is then how many notes were not looked at.
func (g *Store) DeleteLoose(ctx context.Context, w LooseWork) (kept uint64, err error) {
	total, err := g.kv.CountKeys(ctx, []byte{KLoose})
	if err != nil {
		return 0, err
	}
	var from []byte
	for done := uint64(0); ; {
		w.Progress(done, max(done, total))
		began := time.Now()
		notes, next, err := g.looseFrom(ctx, from, DeletesPerBatch)
		if err != nil {
			return 0, err
		}
		if err := g.deleteUnclaimed(notes, w.Deleted); errors.Is(err, errKept) {
			return max(total, done+uint64(len(notes))) - done, nil
		} else if err != nil {
			return 0, err
		}
		done += uint64(len(notes))
		if next == nil {
			return 0, nil
		}
		from = next
		if err := w.Pause(ctx, time.Since(began)); err != nil {
			return 0, err
		}
	}
}

// AnyLoose reports whether there is any note.
func (g *Store) AnyLoose(ctx context.Context) (bool, error) {
	notes, _, err := g.looseFrom(ctx, nil, 1)
	return len(notes) > 0, err
}
