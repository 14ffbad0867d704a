package provide

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/boxo/dag/walker"
	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-libdht/kad/key/bitstr"
	_ "github.com/ipld/go-codec-dagpb" // by which the walker reads directories
	"github.com/libp2p/go-libp2p-kad-dht/provider/keystore"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/node/links"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// walkBatch is how many keys of a DAG are handed on in one commit.
const walkBatch = 1024

// walk gives the keys of a DAG that a strategy announces beside its root, from the blocks on
// disk. It leaves out blocks that are not there any more.
func walk(ctx context.Context, s Strategy, bs blockstore.Blockstore, d pin.DAG, hand func([]multihash.Multihash) error) error {
	seen, err := newVisited()
	if err != nil {
		return err
	}
	var (
		batch  []multihash.Multihash
		failed error
	)
	emit := func(c cid.Cid) bool {
		batch = append(batch, c.Hash())
		if len(batch) == walkBatch {
			failed = hand(batch)
			batch = nil
		}
		return failed == nil
	}
	root := d.CID()
	switch s {
	case Entities:
		fetch := walker.NodeFetcherFromBlockstore(bs)
		err = walker.WalkEntityRoots(ctx, root, func(ctx context.Context, c cid.Cid) ([]cid.Cid, walker.EntityType, error) {
			switch c.Type() {
			case cid.Raw:
				return nil, walker.EntityFile, nil // which needs no reading
			case cid.DagProtobuf:
				return fetch(ctx, c)
			}
			below, err := linksOf(ctx, bs, c)
			return below, walker.EntityUnknown, err
		}, emit, walker.WithVisitedTracker(seen))
	case All:
		err = walker.WalkDAG(ctx, root, func(ctx context.Context, c cid.Cid) ([]cid.Cid, error) {
			return linksOf(ctx, bs, c)
		}, emit, walker.WithVisitedTracker(seen))
	}
	if err == nil {
		err = failed
	}
	if err == nil && len(batch) > 0 {
		err = hand(batch)
	}
	if err != nil {
		return fmt.Errorf("walk %s to provide it: %w", d, err)
	}
	return nil
}

// linksOf gives what a block on disk links to.
func linksOf(ctx context.Context, bs blockstore.Blockstore, c cid.Cid) ([]cid.Cid, error) {
	if c.Type() == cid.Raw {
		return nil, nil
	}
	data, ok := links.Inline(c)
	if !ok {
		b, err := bs.Get(ctx, c)
		if err != nil {
			return nil, err
		}
		data = b.RawData()
	}
	return links.Of(c, data)
}

// visited remembers the nodes that a walk has visited, in some four bytes each. A set of CIDs
// would take a gigabyte for the largest DAGs. One node in millions is taken for one that was
// visited, and is not announced, nor is what is below it.
type visited struct {
	raw, rest *walker.BloomTracker // the same bytes may be both, and are then two nodes
}

func newVisited() (v visited, err error) {
	if v.raw, err = walker.NewBloomTracker(walker.MinBloomCapacity, walker.DefaultBloomFPRate); err != nil {
		return v, fmt.Errorf("make a set of what is walked: %w", err)
	}
	if v.rest, err = walker.NewBloomTracker(walker.MinBloomCapacity, walker.DefaultBloomFPRate); err != nil {
		return v, fmt.Errorf("make a set of what is walked: %w", err)
	}
	return v, nil
}

func (v visited) of(c cid.Cid) *walker.BloomTracker {
	if c.Type() == cid.Raw {
		return v.raw
	}
	return v.rest
}

func (v visited) Visit(c cid.Cid) bool { return v.of(c).Visit(c) }
func (v visited) Has(c cid.Cid) bool   { return v.of(c).Has(c) }

// held leaves out keys whose blocks are not held any more. The blocks of an unpinned DAG may be
// part of other DAGs. Which are not is found out when their turn comes.
type held struct {
	keystore.Keystore
	holds func(context.Context, multihash.Multihash) (bool, error)
	log   *slog.Logger
}

// Get gives the keys of a region that is about to be announced.
func (h *held) Get(ctx context.Context, prefix bitstr.Key) ([]multihash.Multihash, error) {
	keys, err := h.Keystore.Get(ctx, prefix)
	if err != nil {
		return nil, err
	}
	kept, gone, err := split(ctx, keys, h.holds)
	if err != nil {
		return nil, err
	}
	if len(gone) > 0 {
		if err := h.Keystore.Delete(ctx, gone...); err != nil {
			// They are left out this time, and deleted the next time.
			h.log.Warn("cannot forget keys that are not provided any more", "keys", len(gone), "error", err)
		}
	}
	return kept, nil
}

// split divides keys by whether their blocks are held.
func split(ctx context.Context, keys []multihash.Multihash, holds func(context.Context, multihash.Multihash) (bool, error)) (kept, gone []multihash.Multihash, err error) {
	for _, k := range keys {
		ok, err := holds(ctx, k)
		if err != nil {
			return nil, nil, fmt.Errorf("look for a block to provide: %w", err)
		}
		if ok {
			kept = append(kept, k)
		} else {
			gone = append(gone, k)
		}
	}
	return kept, gone, nil
}
