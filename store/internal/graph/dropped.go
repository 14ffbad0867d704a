package graph

import (
	"context"
	"errors"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

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

// isMarked reports whether an attempt is marked as released. Neither of the two keys is there if
// it was dropped. It is an error if the attempt is in use.
func (g *Store) isMarked(ctx context.Context, a pin.Attempt) (marked bool, err error) {
	err = g.kv.View(ctx, func(r *kv.Reader) error {
		inUse, err := r.Has(attemptKey(a))
		if err != nil {
			return err
		}
		if inUse {
			return errors.New("it is not released")
		}
		marked, err = r.Has(releasedKey(graph.HolderOf(a)))
		return err
	})
	return marked, err
}
