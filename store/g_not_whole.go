package store

import (
	"context"
	"maps"
	"slices"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// NotWhole implements [pin.Refetcher].
func (s *Store) NotWhole(ctx context.Context, blocks []multihash.Multihash) (dags []pin.DAG, marks int, err error) {
	if err := s.kv.Enter(ctx); err != nil {
		return nil, 0, err
	}
	defer s.kv.Leave()
	found := map[pin.DAG]struct{}{}
	for _, h := range blocks {
		var whole []graph.Holder
		err := s.kv.View(ctx, func(r *kv.Reader) error {
			above, err := holdersAbove(r, h)
			if err != nil {
				return err
			}
			for _, holder := range above {
				d, inUse, err := s.attemptDAG(r, pin.Attempt(holder))
				if err != nil {
					return err
				}
				if inUse && d != "" {
					found[pin.DAG(d)] = struct{}{}
				}
				if marked, err := r.Has(wholeKey(holder)); err != nil {
					return err
				} else if marked {
					whole = append(whole, holder)
				}
			}
			return nil
		})
		if err == nil && len(whole) > 0 {
			err = s.notWhole(whole)
		}
		if err != nil {
			return nil, 0, kv.Wrap(err, "take back what is whole above %s", cid.NewCidV1(cid.Raw, h))
		}
		marks += len(whole)
	}
	return slices.Sorted(maps.Keys(found)), marks, nil
}

// notWhole takes back that holders are whole, so that no walk takes what is below
// them as known: the next one that comes there looks for itself, and mends it.
func (s *Store) notWhole(holders []graph.Holder) error {
	if err := s.space.RoomForUpkeep(); err != nil {
		return err
	}
	wb := s.kv.NewBatch()
	defer wb.Cancel()
	for _, h := range holders {
		if err := wb.Delete(wholeKey(h)); err != nil {
			return err
		}
	}
	return wb.Flush()
}
