package store

import (
	"context"
	"testing"

	"github.com/dgraph-io/badger/v4"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
)

// The simplest DAG is flat: its attempt holds raw blocks. Much of what the store
// has to keep to shows with these already.

// claimTo writes links from an attempt to raw blocks.
func claimTo(s *Store, ctx context.Context, a pin.Attempt, refs []graph.Ref) error {
	return s.held.Write(ctx, graph.Batch{Links: rawLinks(a, refs)})
}

// putTo writes raw blocks and the links from an attempt to them.
func putTo(s *Store, ctx context.Context, a pin.Attempt, bs []blocks.Block) error {
	refs, written := make([]graph.Ref, len(bs)), make([]graph.Block, len(bs))
	for i, b := range bs {
		refs[i] = refOf(b)
		written[i] = graph.Block{Hash: b.Cid().Hash(), Data: b.RawData()}
	}
	return s.held.Write(ctx, graph.Batch{Links: rawLinks(a, refs), Blocks: written})
}

func rawLinks(a pin.Attempt, refs []graph.Ref) []graph.Link {
	links := make([]graph.Link, len(refs))
	for i, r := range refs {
		links[i] = graph.Link{Holder: graph.HolderOf(a), Ref: r, Codec: cid.Raw}
	}
	return links
}

// links collects what a holder holds.
func links(t testing.TB, s *Store, h graph.Holder) (all []graph.Link) {
	t.Helper()
	for l, err := range s.held.Links(t.Context(), h) {
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
