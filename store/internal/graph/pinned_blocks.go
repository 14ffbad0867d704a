package graph

import (
	"context"
	"iter"
	"time"

	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// AboveBlock gives the nodes and DAGs that a block is part of. It costs as much as there are.
func (g *Store) AboveBlock(ctx context.Context, h multihash.Multihash) (a graph.Above, err error) {
	err = g.kv.View(ctx, func(r *kv.Reader) error {
		holders, err := holdersAbove(r, h)
		if err != nil {
			return err
		}
		for _, holder := range holders {
			c, ok, err := nodeCID(r, holder)
			if err != nil {
				return err
			}
			if ok {
				a.Nodes = append(a.Nodes, pin.DAGOf(c))
				continue
			}
			d, inUse, err := g.AttemptDAG(r, pin.Attempt(holder))
			if err != nil {
				return err
			}
			if inUse && d != "" {
				a.DAGs = append(a.DAGs, pin.DAG(d))
			}
		}
		return nil
	})
	if err != nil {
		return graph.Above{}, kv.Wrap(err, "look for what is above block %s", h.B58String())
	}
	return a, nil
}

// BlocksHeld yields the blocks that anything links to, each once. It goes through all links.
// After each page it pauses for as long as it and its caller worked on the page. What changes
// meanwhile may or may not be seen. If reading fails it yields one error, last.
func (g *Store) BlocksHeld(ctx context.Context) iter.Seq2[multihash.Multihash, error] {
	return func(yield func(multihash.Multihash, error) bool) {
		var from []byte
		for {
			began := time.Now()
			hashes, _, next, err := g.HashesFrom(ctx, from)
			if err == nil {
				for _, h := range hashes {
					if !yield(h, nil) {
						return
					}
				}
				if next == nil {
					return
				}
				err = kv.Sleep(ctx, min(time.Since(began), kv.MaxPause))
			}
			if err != nil {
				yield(nil, kv.Wrap(err, "go through the blocks that pins need"))
				return
			}
			from = next
		}
	}
}
