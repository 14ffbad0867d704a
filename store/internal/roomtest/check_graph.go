package roomtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// CheckHeld fails unless the blocks that are there are those that are needed, each has its
// hash, and links and nodes are those that lead to them.
func CheckHeld(tb testing.TB, s *Store, needed map[string]int) {
	tb.Helper()
	ctx := context.WithoutCancel(tb.Context())
	there := map[string]int{}
	keys, err := s.Blockstore().AllKeysChan(ctx)
	Must(tb, err)
	for c := range keys {
		size, damage, err := s.HashBlock(ctx, c.Hash())
		if err != nil || damage != "" {
			tb.Errorf("block %s is %s, %v", c, damage, err)
		}
		there[string(c.Hash())] = size
	}
	compareSizes(tb, "there", there, needed)
	linked := map[string]int{}
	Must(tb, s.KV.View(ctx, func(r *kv.Reader) error {
		err := r.Scan(kv.Span{Prefix: []byte{KLinkTo}, KeysOnly: true}, func(key, _ []byte) (bool, error) {
			h := string(splitLinkTo(key).Hash)
			linked[h] = there[h]
			return true, nil
		})
		return errors.Join(err, CheckNodes(r))
	}))
	compareSizes(tb, "linked to", linked, needed)
}

func compareSizes(tb testing.TB, what string, got, want map[string]int) {
	tb.Helper()
	if maps.Equal(got, want) {
		return
	}
	for h, size := range got {
		if n, ok := want[h]; !ok || n != size {
			tb.Errorf("%s is %s with %d bytes, and needed (%v) with %d", multihash.Multihash(h), what, size, ok, n)
		}
	}
	for h := range want {
		if _, ok := got[h]; !ok {
			tb.Errorf("%s is needed, and is not %s", multihash.Multihash(h), what)
		}
	}
}

// CheckNodes looks whether links have both sides and their holders are in use, nodes
// are linked to, and marks are of holders.
func CheckNodes(r *kv.Reader) error {
	kinds := map[byte]int{}
	inUse := func(h graph.Holder) (bool, error) {
		for _, kind := range []byte{KAttempt, KNode, KKept} {
			if _, found, err := r.Get(key(kind, uint64(h))); found || err != nil {
				return found, err
			}
		}
		return false, nil
	}
	return errors.Join(
		r.Scan(kv.Span{Prefix: []byte{KLinkTo}}, func(key, value []byte) (bool, error) {
			kinds[KLinkTo]++
			l := splitLinkTo(key)
			other, found, err := r.Get(LinkFrom(l))
			if err != nil || !found || string(other) != string(value) {
				return false, fmt.Errorf("link %x has %x on its other side, %v", key, other, err)
			}
			if used, err := inUse(l.Holder); err != nil || !used {
				return false, fmt.Errorf("holder %d of %s is not in use, %v", l.Holder, l.DAG(), err)
			}
			return true, nil
		}),
		r.Scan(kv.Span{Prefix: []byte{KLinkFrom}, KeysOnly: true}, func(_, _ []byte) (bool, error) {
			kinds[KLinkFrom]++
			return true, nil
		}),
		r.Scan(kv.Span{Prefix: []byte{KNode}}, func(k, value []byte) (bool, error) {
			kinds[KNode]++
			c := pin.DAG(value).CID()
			if linked, err := isLinked(r, c); err != nil || !linked {
				return false, fmt.Errorf("nothing links to node %x of %s, %v", k, c, err)
			}
			return true, nil
		}),
		r.Scan(kv.Span{Prefix: []byte{KNodes}}, func(k, _ []byte) (bool, error) {
			kinds[KNodes]++
			d, found, err := r.Get(key(KNode, uint64(holderAt(k))))
			if err != nil || !found || string(key(KNodes, pin.DAG(d))) != string(k[:len(k)-8]) {
				return false, fmt.Errorf("node %x is of %x, %v", k, d, err)
			}
			return true, nil
		}),
		r.Scan(kv.Span{Prefix: []byte{KWhole}, KeysOnly: true}, func(k, _ []byte) (bool, error) {
			if used, err := inUse(holderAt(k)); err != nil || !used {
				return false, fmt.Errorf("%d is marked as whole and not in use, %v", holderAt(k), err)
			}
			return true, nil
		}),
		func() error {
			if kinds[KLinkTo] != kinds[KLinkFrom] || kinds[KNode] != kinds[KNodes] {
				return fmt.Errorf("keys of kinds %v", kinds)
			}
			return nil
		}(),
	)
}

// isLinked reports whether anything links to a block under the codec of its CID.
func isLinked(r *kv.Reader, c cid.Cid) (linked bool, err error) {
	prefix := key(KLinkTo, []byte(c.Hash()), uint16(c.Type()))
	err = r.Scan(kv.Span{Prefix: prefix, KeysOnly: true}, func(_, _ []byte) (bool, error) {
		linked = true
		return false, nil
	})
	return linked, err
}
