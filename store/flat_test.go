package store

import (
	"context"
	"testing"

	"github.com/dgraph-io/badger/v4"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// The simplest DAG is flat: its attempt holds raw blocks. Much of what the store
// has to keep to shows with these already.

// claimTo writes links from an attempt to raw blocks.
func claimTo(s *Store, ctx context.Context, a pin.Attempt, refs []pin.Ref) error {
	return s.Write(ctx, pin.Batch{Links: rawLinks(a, refs)})
}

// putTo writes raw blocks and the links from an attempt to them.
func putTo(s *Store, ctx context.Context, a pin.Attempt, bs []blocks.Block) error {
	refs, written := make([]pin.Ref, len(bs)), make([]pin.Block, len(bs))
	for i, b := range bs {
		refs[i] = refOf(b)
		written[i] = pin.Block{Hash: b.Cid().Hash(), Data: b.RawData()}
	}
	return s.Write(ctx, pin.Batch{Links: rawLinks(a, refs), Blocks: written})
}

func rawLinks(a pin.Attempt, refs []pin.Ref) []pin.Link {
	links := make([]pin.Link, len(refs))
	for i, r := range refs {
		links[i] = pin.Link{Holder: a.Holder(), Ref: r, Codec: cid.Raw}
	}
	return links
}

// links collects what a holder holds.
func links(t testing.TB, s *Store, h pin.Holder) (all []pin.Link) {
	t.Helper()
	for l, err := range s.Links(t.Context(), h) {
		must(t, err)
		all = append(all, l)
	}
	return all
}

// set writes a key beside all rules, as damage does; nil deletes it.
func (s *Store) set(key, value []byte) error {
	return s.db.Update(func(txn *badger.Txn) error {
		if value == nil {
			return txn.Delete(key)
		}
		return txn.Set(key, value)
	})
}
