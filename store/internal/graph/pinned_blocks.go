package graph

import (
	"context"
	"iter"
	"math"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// AboveBlock gives the nodes and DAGs that a block is part of. It costs as much as there are.
func (g *Store) AboveBlock(ctx context.Context, h multihash.Multihash) (a graph.Above, err error) {
	err = g.kv.View(ctx, func(r *kv.Reader) error {
		holders, _, err := holdersAbove(r, BlockLinks(h), math.MaxInt)
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

// DAGsAbove lists the DAGs, pinned or being fetched, that contain the block of c: as c reads
// it, or under any codec if c is raw. A DAG whose root it is is among them. It looks at limit
// links at most, and whole is false if there were more: then some DAGs may be missing.
func (g *Store) DAGsAbove(ctx context.Context, c cid.Cid, limit int) (dags []pin.DAG, whole bool, err error) {
	prefix := linksTo(c.Hash(), c.Type())
	if c.Type() == cid.Raw {
		prefix = BlockLinks(c.Hash())
	}
	err = g.kv.View(ctx, func(r *kv.Reader) error {
		dags = nil
		var holders []graph.Holder
		if holders, whole, err = holdersAbove(r, prefix, limit); err != nil {
			return err
		}
		for _, holder := range holders {
			d, inUse, err := g.AttemptDAG(r, pin.Attempt(holder))
			if err != nil {
				return err
			}
			if inUse && d != "" {
				dags = append(dags, pin.DAG(d))
			}
		}
		return nil
	})
	if err != nil {
		return nil, false, kv.Wrap(err, "look which DAGs contain %s", c)
	}
	return dags, whole, nil
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
