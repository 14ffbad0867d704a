package graph

import (
	"context"
	"fmt"

	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// A link has two sides. The holder's side is written first and deleted last. A block's side
// without a holder's side is a key that was damaged before tables were verified: it names a
// block that never was, and the link to the block that it named before lacks that side.

// MendLinks deletes the block's sides of links that lack the holder's side, and gives the links
// of the same holders the sides that they lack. It returns how many it deleted.
func (g *Store) MendLinks(ctx context.Context, h multihash.Multihash) (halves int, err error) {
	half, err := g.halves(ctx, h)
	if err != nil || len(half) == 0 {
		return 0, err
	}
	for _, l := range half {
		var from []byte
		for {
			page, next, err := g.linksPage(ctx, l.Holder, from)
			if err != nil {
				return 0, err
			}
			if err := g.restoreSides(ctx, page); err != nil {
				return 0, err
			}
			if next == nil {
				break
			}
			from = next
		}
	}
	defer g.claims.alone([]multihash.Multihash{h})()
	if half, err = g.halves(ctx, h); err != nil {
		return 0, err
	}
	if err := g.writeAll(half, func(b *kv.Batch, l graph.Link) error { return b.Delete(linkToKey(l)) }); err != nil {
		return 0, err
	}
	for _, l := range half {
		g.log.Warn("a link to a block had only one side, and was deleted", "hash", fmt.Sprintf("%x", h), "holder", l.Holder)
	}
	return len(half), nil
}

// halves lists the links to a block that lack the holder's side.
func (g *Store) halves(ctx context.Context, h multihash.Multihash) (half []graph.Link, err error) {
	err = g.kv.View(ctx, func(r *kv.Reader) error {
		return r.Scan(kv.Span{Prefix: BlockLinks(h), KeysOnly: true}, func(key, _ []byte) (bool, error) {
			l, err := SplitLinkTo(key)
			if err != nil || string(l.Hash) != string(h) {
				return err == nil, err
			}
			l.Hash = append(multihash.Multihash(nil), l.Hash...)
			_, both, err := r.Get(linkFromKey(l))
			if !both && err == nil {
				half = append(half, l)
			}
			return true, err
		})
	})
	return half, err
}

// restoreSides writes the block's side of each link that lacks it. It holds the stripes alone, so
// that no link is being deleted meanwhile.
func (g *Store) restoreSides(ctx context.Context, page []graph.Link) error {
	lacking := func(links []graph.Link) (lack []graph.Link, err error) {
		err = g.kv.View(ctx, func(r *kv.Reader) error {
			for _, l := range links {
				_, from, err := r.Get(linkFromKey(l))
				if err != nil {
					return err
				}
				_, to, err := r.Get(linkToKey(l))
				if err != nil {
					return err
				}
				if from && !to {
					lack = append(lack, l)
				}
			}
			return nil
		})
		return lack, err
	}
	lack, err := lacking(page)
	if err != nil || len(lack) == 0 {
		return err
	}
	hashes := make([]multihash.Multihash, len(lack))
	for i, l := range lack {
		hashes[i] = l.Hash
	}
	defer g.claims.alone(hashes)()
	if lack, err = lacking(lack); err != nil {
		return err
	}
	return g.writeAll(lack, func(b *kv.Batch, l graph.Link) error { return b.Set(linkToKey(l), encodeSize(l.Size)) })
}

// writeAll writes something for each link, with one sync.
func (g *Store) writeAll(links []graph.Link, write func(*kv.Batch, graph.Link) error) error {
	wb := g.kv.NewBatch()
	defer wb.Cancel()
	for _, l := range links {
		if err := write(wb, l); err != nil {
			return err
		}
	}
	return wb.Flush()
}
