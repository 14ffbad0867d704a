package graph

import (
	"context"
	"errors"

	"github.com/holdfast-ipfs/holdfast/internal/diskerr"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// Released implements [pin.Releases].
func (g *Store) Released(ctx context.Context) (all []pin.Attempt, err error) {
	err = g.kv.View(ctx, func(r *kv.Reader) error {
		return r.Scan(kv.Span{Prefix: []byte{kReleased}, KeysOnly: true}, func(key, _ []byte) (bool, error) {
			node, err := g.releasedNode(r, key)
			if err != nil || node { // released nodes are dropped with any attempt
				return err == nil, err
			}
			kept, err := isKept(r, TailHolder(key))
			if err == nil && !kept {
				all = append(all, pin.Attempt(TailHolder(key)))
			}
			return true, err
		})
	})
	if err != nil {
		return nil, kv.Wrap(err, "read released attempts")
	}
	return all, nil
}

// releasedNode reports whether a mark is that of a node. One whose value cannot be read is that
// of an attempt: nodes have no value.
func (g *Store) releasedNode(r *kv.Reader, key []byte) (bool, error) {
	value, _, err := r.Get(key)
	if errors.Is(err, diskerr.ErrUnreadable) {
		g.kv.LogUnreadable(key, err)
		return false, nil
	}
	return len(value) == 0, err
}

// ReleasedDAG implements [pin.Releases].
func (g *Store) ReleasedDAG(ctx context.Context, a pin.Attempt) (d pin.DAG, err error) {
	err = g.kv.View(ctx, func(r *kv.Reader) error {
		value, found, err := r.Get(releasedKey(graph.HolderOf(a)))
		var rec releasedRecord
		if err == nil && len(value) > 0 {
			err = kv.Decode(value, &rec)
		}
		if errors.Is(err, diskerr.ErrUnreadable) {
			g.kv.LogUnreadable(releasedKey(graph.HolderOf(a)), err)
			return pin.ErrNotFound
		}
		if err != nil {
			return err
		}
		if !found || len(rec.DAG) == 0 { // a node's mark has no value, and an upload's no DAG
			return pin.ErrNotFound
		}
		d = pin.DAG(rec.DAG)
		return nil
	})
	if err != nil {
		return "", kv.Wrap(err, "read the DAG of released attempt %d", a)
	}
	return d, nil
}

// Dropped implements [pin.Releases]. After [Store.Drop] there is nothing to do, as that forgets
// the attempt in its own last commit. After the Drop of another engine the mark is still there.
func (g *Store) Dropped(ctx context.Context, a pin.Attempt) error {
	marked, err := g.isMarked(ctx, a)
	if err == nil && marked {
		err = g.kv.Update(ctx, func(t *kv.Tx) error {
			t.Delete(releasedKey(graph.HolderOf(a)))
			return nil
		})
	}
	if err != nil {
		return kv.Wrap(err, "forget attempt %d", a)
	}
	return nil
}

// isMarked reports whether an attempt is marked as released, and is not that of an upload that is
// kept. Neither of the two keys is there if it was dropped. It is an error if the attempt is in use.
func (g *Store) isMarked(ctx context.Context, a pin.Attempt) (marked bool, err error) {
	err = g.kv.View(ctx, func(r *kv.Reader) error {
		inUse, err := r.Has(attemptKey(a))
		if err != nil {
			return err
		}
		if inUse {
			return errors.New("it is not released")
		}
		if kept, err := isKept(r, graph.HolderOf(a)); err != nil || kept {
			return err
		}
		marked, err = r.Has(releasedKey(graph.HolderOf(a)))
		return err
	})
	return marked, err
}
