package graph

import (
	"context"

	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// Needed reports whether a pin that is complete or being fetched needs the block,
// whether it is here or not. It is cheap enough to be asked for each block that
// somebody wants: like [Store.Look] it does not wait for what is being written.
// What was let go of may count for a moment yet, and what is below a node until
// that was dropped; what is needed always does.
func (g *Store) Needed(ctx context.Context, h multihash.Multihash) (needed bool, err error) {
	look := func(r *kv.Reader) (err error) {
		needed, err = isNeeded(r, h)
		return err
	}
	if err = g.kv.Glance(ctx, look); err == nil && !needed { // it may be linked to since
		err = g.kv.View(ctx, look)
	}
	if err != nil {
		return false, kv.Wrap(err, "look who needs block %s", h.B58String())
	}
	return needed, nil
}

// isNeeded reports whether an attempt that is in use or a node links to the block. An
// attempt that is released keeps its links until they are dropped, and counts no
// more; a node is none any more when nothing links to it.
func isNeeded(r *kv.Reader, h multihash.Multihash) (needed bool, err error) {
	err = r.Scan(kv.Span{Prefix: BlockLinks(h), KeysOnly: true}, func(key, _ []byte) (bool, error) {
		needed, err = inUse(r, TailHolder(key))
		return !needed, err
	})
	return needed, err
}
