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
			if err == nil && !node { // released nodes are dropped with any attempt
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
		if !found || len(value) == 0 { // a node's mark has no value
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
