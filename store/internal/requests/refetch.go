package requests

import (
	"context"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	holding "github.com/holdfast-ipfs/holdfast/store/internal/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// Refetch implements [pin.Refetcher].
func (s *Store) Refetch(ctx context.Context, d pin.DAG) (some []pin.Request, err error) {
	defer s.changes.note(d)
	var page []pin.Request
	err = inPieces(ctx, s.updateLearning, func(t *kv.Tx, work []chunkOf, first bool) (left []chunkOf, err error) {
		page = nil
		rec, found, err := s.held.DAG(&t.Reader, d)
		switch {
		case err != nil:
			return nil, err
		case !found && first:
			return nil, pin.ErrNotFound
		case !found, // all its requests went meanwhile
			!first && rec.Complete: // it was repaired meanwhile
			return nil, nil
		}
		if first {
			if work, err = chunksFor(&t.Reader, d); err != nil {
				return nil, err
			}
			if rec.Complete {
				rec.Complete = false // its totals stay: see Repairing
				if err := t.Put(holding.DAGKey(d), rec); err != nil {
					return nil, err
				}
				t.Delete(holding.WholeKey(graph.HolderOf(rec.Attempt)))
			}
		}
		left, page, err = s.refetchSome(t, d, work, first)
		return left, err
	}, func() {
		if len(some) == 0 {
			some = page
		}
	})
	if err != nil {
		return some, kv.Wrap(err, "refetch %s", d)
	}
	return some, nil
}

// Repairing implements [pin.Work].
func (s *Store) Repairing(ctx context.Context, d pin.DAG) (repairing bool, err error) {
	err = s.look(ctx, d, func(r *kv.Reader) error {
		rec, _, err := s.held.DAG(r, d)
		repairing = rec.Repairing()
		return err
	})
	if err != nil {
		return false, kv.Wrap(err, "look whether %s is repaired", d)
	}
	return repairing, nil
}

// refetchSome makes the pinned requests of the first chunks Pinning. It gives the chunks that are
// left, and some of the requests that are Pinning then. With atLeastOne it goes on until there is
// one: after a crash the others are found only by that.
func (s *Store) refetchSome(t *kv.Tx, d pin.DAG, work []chunkOf, atLeastOne bool) (left []chunkOf, some []pin.Request, err error) {
	for n := 0; len(work) > 0 && (n < chunksPerChange || atLeastOne && len(some) == 0); n++ {
		of := work[0]
		work = work[1:]
		which, err := requestsOf(&t.Reader, d, of, codePinned)
		if err != nil {
			return nil, nil, err
		}
		if err := flipChunk(t, of, which, codePinned, codePinning); err != nil {
			return nil, nil, err
		}
		if err := s.charge(t, of.account, d, -which.count()); err != nil {
			return nil, nil, err
		}
		pinning, err := requestsOf(&t.Reader, d, of, codePinning)
		if err != nil {
			return nil, nil, err
		}
		for bit := range pinning.up {
			if len(some) == kv.PageSize {
				break
			}
			req, found, err := s.load(&t.Reader, of.account, seqAt(of.number, bit), codePinning)
			if err != nil {
				return nil, nil, err
			}
			if found {
				some = append(some, req)
			}
		}
	}
	return work, some, nil
}
