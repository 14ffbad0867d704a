package graph

import (
	"context"

	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// Needed reports whether a pin that is complete or being fetched needs a block, which may be
// here or not. It is cheap enough to be called for each block that a peer wants: like
// [Store.Look] it does not wait for what is being written. A block that is needed always
// counts as such. One that was let go of may count for another moment, and one below a node
// until the node was dropped.
func (g *Store) Needed(ctx context.Context, h multihash.Multihash) (needed bool, err error) {
	look := func(r *kv.Reader) (err error) {
		needed, err = isNeeded(r, h)
		return err
	}
	if err = g.kv.Glance(ctx, look); err == nil && !needed { // there may be a link since
		err = g.kv.View(ctx, look)
	}
	if err != nil {
		return false, kv.Wrap(err, "look for pins that need block %s", h.B58String())
	}
	return needed, nil
}

// isNeeded reports whether a node, or an attempt that is in use, links to the block. A released
// attempt has its links until they are dropped, but does not count. A node ends with the last
// link to it.
func isNeeded(r *kv.Reader, h multihash.Multihash) (needed bool, err error) {
	err = r.Scan(kv.Span{Prefix: BlockLinks(h), KeysOnly: true}, func(key, _ []byte) (bool, error) {
		needed, err = inUse(r, TailHolder(key))
		return !needed, err
	})
	return needed, err
}
