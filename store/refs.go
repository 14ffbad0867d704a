package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"

	"github.com/dgraph-io/badger/v4"
	blocks "github.com/ipfs/go-block-format"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// refBytes is about what a reference takes on disk, both sides of it.
const refBytes = 128

// Claim writes a reference from the attempt to each block. Only after it
// returned may the presence of a block be trusted. Errors: pin.ErrDiskFull,
// with nothing written; after another error some references may be there,
// which is harmless.
func (s *Store) Claim(ctx context.Context, a pin.Attempt, refs []pin.Ref) error {
	hashes := make([]multihash.Multihash, len(refs))
	for i, r := range refs {
		hashes[i] = r.Hash
	}
	err := s.writeClaims(ctx, hashes, s.roomForUpkeep, func(b *badger.WriteBatch) error {
		for _, r := range refs {
			if err := claim(b, a, r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return wrap(err, "claim %d blocks for attempt %d", len(refs), a)
	}
	return nil
}

// PutClaimed writes a reference to each block and then the block itself.
// Batches of several MiB are worth while. Blocks must have been checked against
// their hash; one that is there already is written again. Errors:
// pin.ErrDiskFull, with nothing written; after another error some blocks and
// references may be there, which is harmless.
func (s *Store) PutClaimed(ctx context.Context, a pin.Attempt, bs []blocks.Block) error {
	hashes := make([]multihash.Multihash, len(bs))
	var size uint64
	for i, b := range bs {
		hashes[i] = b.Cid().Hash()
		size += uint64(len(b.RawData())) + refBytes
	}
	room := func() error { return s.roomFor(size) }
	err := s.writeClaims(ctx, hashes, room, func(wb *badger.WriteBatch) error {
		for i, b := range bs {
			// In this order: the batch may be cut into transactions anywhere,
			// and they are written in turn.
			if err := claim(wb, a, pin.Ref{Hash: hashes[i], Size: len(b.RawData())}); err != nil {
				return err
			}
			if err := wb.Set(blockKey(hashes[i]), b.RawData()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return wrap(err, "store %d blocks for attempt %d", len(bs), a)
	}
	return nil
}

// claim writes both sides of a reference, the attempt's first: a batch that is
// cut off between them leaves what Drop can find.
func claim(wb *badger.WriteBatch, a pin.Attempt, r pin.Ref) error {
	size := encodeSize(r.Size)
	if err := wb.Set(dagBlockKey(a, r.Hash), size); err != nil {
		return err
	}
	return wb.Set(blockDAGKey(r.Hash, a), size)
}

func encodeSize(n int) []byte { return binary.AppendUvarint(nil, uint64(n)) }

// decodeSize gives the size in the value of a key.
func decodeSize(key, value []byte) (int, error) {
	n, w := binary.Uvarint(value)
	if w <= 0 {
		return 0, fmt.Errorf("key %x has size %x", key, value)
	}
	return int(n), nil
}

// writeClaims writes a batch of claims, under their locks until it is durable.
func (s *Store) writeClaims(ctx context.Context, hashes []multihash.Multihash, room func() error, fill func(*badger.WriteBatch) error) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	if len(hashes) == 0 {
		return nil
	}
	if err := room(); err != nil {
		return err
	}
	defer s.claims.share(hashes)()
	wb := s.db.NewWriteBatch()
	defer wb.Cancel()
	if err := fill(wb); err != nil {
		return err
	}
	return wb.Flush()
}

// dropsPerBatch bounds how many references are deleted at a time.
const dropsPerBatch = 4096

// Drop implements [pin.Records].
func (s *Store) Drop(ctx context.Context, a pin.Attempt) error {
	marked := false
	err := s.view(ctx, func(r *reader) error {
		_, inUse, err := r.get(attemptKey(a))
		if err != nil {
			return err
		}
		if inUse {
			return fmt.Errorf("attempt %d is not released", a)
		}
		_, marked, err = r.get(deletingKey(a))
		return err
	})
	for more := marked; err == nil && more; {
		more, err = s.dropSome(ctx, a)
	}
	if err == nil && marked {
		err = s.update(ctx, func(t *tx) error {
			t.delete(deletingKey(a))
			return nil
		})
	}
	if err != nil {
		return wrap(err, "drop attempt %d", a)
	}
	return nil
}

// dropSome deletes some of an attempt's references, and says whether there may
// be more. Each block is noted, for the next reclaim to look at. The stripes are
// held meanwhile, so that no reclaim takes a note as settled by a reference that
// is just going.
func (s *Store) dropSome(ctx context.Context, a pin.Attempt) (more bool, err error) {
	refs, err := s.refsFrom(ctx, a, nil, dropsPerBatch)
	if err != nil || len(refs) == 0 {
		return false, err
	}
	if err := s.enter(ctx); err != nil {
		return false, err
	}
	defer s.leave()
	if err := s.roomForUpkeep(); err != nil {
		return false, err
	}
	hashes := make([]multihash.Multihash, len(refs))
	for i, r := range refs {
		hashes[i] = r.Hash
	}
	defer s.claims.share(hashes)()
	wb := s.db.NewWriteBatch()
	defer wb.Cancel()
	for _, r := range refs {
		if err := wb.Set(looseKey(r.Hash), encodeSize(r.Size)); err != nil {
			return false, err
		}
		// The attempt's side last: it is what the rest is found by.
		if err := wb.Delete(blockDAGKey(r.Hash, a)); err != nil {
			return false, err
		}
		if err := wb.Delete(dagBlockKey(a, r.Hash)); err != nil {
			return false, err
		}
	}
	return len(refs) == dropsPerBatch, wb.Flush()
}

// References yields what an attempt refers to, in the order of hashes. It reads
// a piece at a time. It yields an error once, last, if reading failed.
func (s *Store) References(ctx context.Context, a pin.Attempt) iter.Seq2[pin.Ref, error] {
	return func(yield func(pin.Ref, error) bool) {
		var after multihash.Multihash
		for {
			refs, err := s.refsFrom(ctx, a, after, pageSize)
			if err != nil {
				yield(pin.Ref{}, wrap(err, "read references of attempt %d", a))
				return
			}
			for _, r := range refs {
				if !yield(r, nil) {
					return
				}
			}
			if len(refs) < pageSize {
				return
			}
			after = refs[len(refs)-1].Hash
		}
	}
}

// refsFrom reads up to limit references of an attempt, those after a hash.
func (s *Store) refsFrom(ctx context.Context, a pin.Attempt, after multihash.Multihash, limit int) (refs []pin.Ref, err error) {
	prefix := attemptPrefix(kDAGBlock, a)
	sp := span{prefix: prefix}
	if after != nil {
		sp.from = append(dagBlockKey(a, after), 0) // the least key behind it
	}
	err = s.view(ctx, func(r *reader) error {
		return r.scan(sp, func(key, value []byte) (bool, error) {
			size, err := decodeSize(key, value)
			if err != nil {
				return false, err
			}
			h := append(multihash.Multihash(nil), key[len(prefix):]...)
			refs = append(refs, pin.Ref{Hash: h, Size: size})
			return len(refs) < limit, nil
		})
	})
	return refs, err
}

// DAGTotals gives the totals of a DAG that is complete. ok is false if it is
// not, or nothing holds it.
func (s *Store) DAGTotals(ctx context.Context, d pin.DAG) (t pin.Totals, ok bool, err error) {
	err = s.view(ctx, func(r *reader) error {
		var rec dagRecord
		_, err := s.take(r, dagKey(d), &rec)
		t, ok = pin.Totals{Blocks: rec.Blocks, Bytes: rec.Bytes}, rec.Complete
		return err
	})
	if err != nil {
		return pin.Totals{}, false, wrap(err, "read totals of %s", d)
	}
	return t, ok, nil
}
