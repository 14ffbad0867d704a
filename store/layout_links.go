package store

import (
	"context"
	"fmt"

	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin/graph"
)

// linksWithCodecs is the step from layout 1, in which an attempt held every block of
// its DAG and the keys of that had no codec. Such an attempt stays as it is, all
// blocks linked to by it; only DAGs that are fetched from now on share nodes.
func linksWithCodecs(ctx context.Context, s *Store) error {
	const page = 512 // with four keys each, and as many that are kept: half of what a commit holds
	var links []graph.Link
	rewrite := func() error {
		err := s.step(ctx, func(t *tx) error {
			for _, l := range links {
				from, to := oldLinkKeys(l)
				t.set(linkToKey(l), encodeSize(l.Size))
				t.set(linkFromKey(l), encodeSize(l.Size))
				t.delete(to)
				t.delete(from)
			}
			return nil
		})
		links = links[:0]
		return err
	}
	err := s.walk(ctx, span{prefix: []byte{kLinkFrom}}, func(key, value []byte) error {
		n, h, err := multihash.MHFromBytes(key[9:])
		if err != nil {
			return fmt.Errorf("link %x: %w", key, err)
		}
		if 9+n < len(key) {
			return nil // done before the last interruption
		}
		size, err := decodeSize(key, value)
		if err != nil {
			return err
		}
		ref := graph.Ref{Hash: append(multihash.Multihash(nil), h...), Size: size}
		links = append(links, graph.Link{Holder: tailHolder(key[:9]), Ref: ref, Codec: codecUnknown})
		if len(links) == page {
			return rewrite()
		}
		return nil
	})
	if err != nil {
		return err
	}
	return rewrite()
}

// oldLinkKeys gives the two sides of a link in layout 1.
func oldLinkKeys(l graph.Link) (from, to []byte) {
	from = append(holderKey(kLinkFrom, l.Holder), l.Hash...)
	return from, holderTail(blockLinks(l.Hash), l.Holder)
}
