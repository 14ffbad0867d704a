package graph

import (
	"context"
	"errors"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// Dropped implements [pin.Releases]. After [Store.Drop] it finds nothing to do: that
// forgets the attempt in its own last commit. After the Drop of another engine the mark is
// still there.
func (g *Store) Dropped(ctx context.Context, a pin.Attempt) error {
	marked := false
	err := g.kv.View(ctx, func(r *kv.Reader) error {
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
