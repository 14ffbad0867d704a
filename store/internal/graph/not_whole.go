package graph

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

// MarksPerBatch is how many marks are taken back with one sync. A DAG of many small files, all
// of them damaged, has a mark for each.
const MarksPerBatch = 4096

// NotWhole implements [pin.Refetcher].
func (g *Store) NotWhole(ctx context.Context, blocks []multihash.Multihash) (dags []pin.DAG, marks int, err error) {
	if err := g.kv.Enter(ctx); err != nil {
		return nil, 0, err
	}
	defer g.kv.Leave()
	// A mark of a fetch that has ended may still be waiting. After this it is there, or will never be.
	if err := g.kv.Update(ctx, func(*kv.Tx) error { return nil }); ctx.Err() != nil {
		return nil, 0, err
	}
	found := map[pin.DAG]struct{}{}
	looked := map[graph.Holder]struct{}{} // what is at the ends of the ways up
	var climb Climb
	var whole []graph.Holder
	for i, h := range blocks {
		err := g.kv.View(ctx, func(r *kv.Reader) error {
			tops, err := climb.Above(r, h)
			if err != nil {
				return err
			}
			for _, top := range tops {
				if _, twice := looked[top]; twice {
					continue
				}
				looked[top] = struct{}{}
				d, inUse, err := g.AttemptDAG(r, pin.Attempt(top))
				if err != nil {
					return err
				}
				if inUse && d != "" {
					found[pin.DAG(d)] = struct{}{}
				}
			}
			for _, holder := range climb.Fresh() {
				if marked, err := r.Has(WholeKey(holder)); err != nil {
					return err
				} else if marked {
					whole = append(whole, holder)
				}
			}
			return nil
		})
		if err == nil && (len(whole) >= MarksPerBatch || i == len(blocks)-1) {
			err = g.TakeBackWhole(whole)
			marks += len(whole)
			whole = whole[:0]
		}
		if err != nil {
			return nil, 0, kv.Wrap(err, "take back the marks of being whole above %s", cid.NewCidV1(cid.Raw, h))
		}
	}
	return slices.Sorted(maps.Keys(found)), marks, nil
}

// MarkedWhole gives those of some holders that have the mark of being whole.
func (g *Store) MarkedWhole(ctx context.Context, holders []graph.Holder) (marked []graph.Holder, err error) {
	if len(holders) == 0 {
		return nil, nil
	}
	err = g.kv.View(ctx, func(r *kv.Reader) error {
		for _, h := range holders {
			has, err := r.Has(WholeKey(h))
			if err != nil {
				return err
			}
			if has {
				marked = append(marked, h)
			}
		}
		return nil
	})
	return marked, err
}

// TakeBackWhole deletes the marks that holders are whole. Then no walk passes over what is below
// them: the next one that comes there looks for itself, and fetches what is damaged.
func (g *Store) TakeBackWhole(holders []graph.Holder) error {
	if len(holders) == 0 {
		return nil
	}
	if err := g.space.RoomForUpkeep(); err != nil {
		return err
	}
	wb := g.kv.NewBatch()
	defer wb.Cancel()
	for _, h := range holders {
		if err := wb.Delete(WholeKey(h)); err != nil {
			return err
		}
	}
	return wb.Flush()
}
