package graph

import (
	"errors"
	"math"

	"github.com/holdfast-ipfs/holdfast/internal/diskerr"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

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
	all, _, err = holdersAbove(r, BlockLinks(h), math.MaxInt)
	return all, err
}

// holdersAbove lists what is above the links with a prefix, each holder once. It looks at
// limit links at most, and whole is false if there were more.
func holdersAbove(r *kv.Reader, prefix []byte, limit int) (all []graph.Holder, whole bool, err error) {
	seen := map[graph.Holder]struct{}{}
	asked := map[string]struct{}{} // many holders are the same node, as so many attempts read it
	for todo := [][]byte{prefix}; len(todo) > 0; {
		prefix := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if _, twice := asked[string(prefix)]; twice {
			continue
		}
		asked[string(prefix)] = struct{}{}
		from := len(all)
		err := r.Scan(kv.Span{Prefix: prefix, KeysOnly: true}, func(key, _ []byte) (bool, error) {
			if limit--; limit < 0 {
				return false, nil
			}
			holder := TailHolder(key)
			if _, twice := seen[holder]; !twice {
				seen[holder] = struct{}{}
				all = append(all, holder)
			}
			return true, nil
		})
		if err != nil {
			return nil, false, err
		}
		if limit < 0 {
			return all, false, nil
		}
		for _, holder := range all[from:] {
			c, ok, err := nodeCID(r, holder)
			if err != nil {
				return nil, false, err
			}
			if ok {
				todo = append(todo, LinksTo(c.Hash(), c.Type()))
			}
		}
	}
	return all, true, nil
}

// nodeCID gives what a holder is the node of. ok is false if it is none.
func nodeCID(r *kv.Reader, h graph.Holder) (c cid.Cid, ok bool, err error) {
	d, found, err := r.Get(NodeKey(h))
	if err != nil && !errors.Is(err, diskerr.ErrUnreadable) || err == nil && !found {
		return cid.Undef, false, err
	}
	if c = pin.DAG(d).CID(); c.Defined() {
		return c, true, nil
	}
	// It cannot be read; the other side says the same, under keys of another order.
	err = r.Scan(kv.Span{Prefix: []byte{KNodes}, KeysOnly: true}, func(key, _ []byte) (bool, error) {
		if TailHolder(key) == h && len(key) > 3+8 {
			c = pin.DAG(key[3 : len(key)-8]).CID()
		}
		return !c.Defined(), nil
	})
	return c, c.Defined(), err
}
