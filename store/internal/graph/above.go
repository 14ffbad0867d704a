package graph

import (
	"errors"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/internal/diskerr"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// To find what holds a block we go up: from its links to their holders, from holders that are
// nodes to the links to those, and so on to attempts. That costs what is above the block. To
// go down from a root would cost the whole DAG.

// holdersAbove lists all nodes and attempts above a block, under any codec, each once.
func holdersAbove(r *kv.Reader, h multihash.Multihash) (all []graph.Holder, err error) {
	seen := map[graph.Holder]struct{}{}
	for todo := [][]byte{BlockLinks(h)}; len(todo) > 0; {
		prefix := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		from := len(all)
		err := r.Scan(kv.Span{Prefix: prefix, KeysOnly: true}, func(key, _ []byte) (bool, error) {
			holder := TailHolder(key)
			if _, twice := seen[holder]; !twice {
				seen[holder] = struct{}{}
				all = append(all, holder)
			}
			return true, nil
		})
		if err != nil {
			return nil, err
		}
		for _, holder := range all[from:] {
			c, ok, err := nodeCID(r, holder)
			if err != nil {
				return nil, err
			}
			if ok {
				todo = append(todo, linksTo(c.Hash(), c.Type()))
			}
		}
	}
	return all, nil
}

// nodeCID gives the block that a holder is a node of. ok is false if the holder is no node.
func nodeCID(r *kv.Reader, h graph.Holder) (c cid.Cid, ok bool, err error) {
	d, found, err := r.Get(nodeKey(h))
	if err != nil && !errors.Is(err, diskerr.ErrUnreadable) || err == nil && !found {
		return cid.Undef, false, err
	}
	if c = pin.DAG(d).CID(); c.Defined() {
		return c, true, nil
	}
	// It cannot be read. The keys 26 have the same, in another order.
	err = r.Scan(kv.Span{Prefix: []byte{kNodes}, KeysOnly: true}, func(key, _ []byte) (bool, error) {
		if TailHolder(key) == h && len(key) > 3+8 {
			c = pin.DAG(key[3 : len(key)-8]).CID()
		}
		return !c.Defined(), nil
	})
	return c, c.Defined(), err
}
