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
			if err == nil && !node { // a node goes with the attempt that comes to be dropped
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

// releasedNode says whether what is released is a node. A record that cannot be read is an
// attempt's: nodes have none.
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
		if !found || len(value) == 0 { // a node has the same key, and nothing in it
			return pin.ErrNotFound
		}
		d = pin.DAG(rec.DAG)
		return nil
	})
	if err != nil {
		return "", kv.Wrap(err, "read what released attempt %d was for", a)
	}
	return d, nil
}
