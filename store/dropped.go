package store

import (
	"context"
	"errors"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
)

// Dropped implements [pin.Releases]. After [Store.Drop] it finds nothing to do: that
// forgets the attempt in its own last commit. After the Drop of another engine the mark is
// still there.
func (s *Store) Dropped(ctx context.Context, a pin.Attempt) error {
	marked := false
	err := s.view(ctx, func(r *reader) error {
		inUse, err := r.has(attemptKey(a))
		if err != nil {
			return err
		}
		if inUse {
			return errors.New("it is not released")
		}
		marked, err = r.has(releasedKey(graph.HolderOf(a)))
		return err
	})
	if err == nil && marked {
		err = s.update(ctx, func(t *tx) error {
			t.delete(releasedKey(graph.HolderOf(a)))
			return nil
		})
	}
	if err != nil {
		return wrap(err, "forget attempt %d", a)
	}
	return nil
}
