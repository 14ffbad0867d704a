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

// What holds a block is found by going up: from its links to their holders, from
// those that are nodes to the links to them, and so on to attempts. Going down from
// a root costs what the DAG has; going up costs what is above.

// HoldersAbove lists what is above a block, read under whatever codec: every node and
// attempt, each once.
func HoldersAbove(r *kv.Reader, h multihash.Multihash) (all []graph.Holder, err error) {
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

// nodeCID gives what a holder is the node of. ok is false if it is none.
func nodeCID(r *kv.Reader, h graph.Holder) (c cid.Cid, ok bool, err error) {
	d, found, err := r.Get(nodeKey(h))
	if err != nil && !errors.Is(err, diskerr.ErrUnreadable) || err == nil && !found {
		return cid.Undef, false, err
	}
	if c = pin.DAG(d).CID(); c.Defined() {
		return c, true, nil
	}
	// It cannot be read; the other side says the same, under keys of another order.
	err = r.Scan(kv.Span{Prefix: []byte{kNodes}, KeysOnly: true}, func(key, _ []byte) (bool, error) {
		if TailHolder(key) == h && len(key) > 3+8 {
			c = pin.DAG(key[3 : len(key)-8]).CID()
		}
		return !c.Defined(), nil
	})
	return c, c.Defined(), err
}
