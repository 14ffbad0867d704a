package store

import (
	"context"
	"slices"

	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
	badger4 "github.com/ipfs/go-ds-badger4"
	"github.com/multiformats/go-multihash"
)

// gated is the go-datastore with the store's gate before it: Badger must not
// be called once it is closed. Queries hold what they need open themselves, as
// go-ds-badger4 waits for them when it closes.
type gated struct {
	ds *badger4.Datastore
	s  *Store
}

var _ datastore.Batching = gated{}

func (g gated) Put(ctx context.Context, key datastore.Key, value []byte) error {
	if err := g.s.enter(ctx); err != nil {
		return err
	}
	defer g.s.leave()
	if err := g.s.mayUpkeep(); err != nil {
		return err
	}
	if h, ok := blockOf(key); ok {
		return g.s.putLoose([]looseBlock{{h, value}})
	}
	return g.s.wrote(g.ds.Put(ctx, key, value))
}

func (g gated) Delete(ctx context.Context, key datastore.Key) error {
	if err := g.s.enter(ctx); err != nil {
		return err
	}
	defer g.s.leave()
	if err := g.s.mayUpkeep(); err != nil {
		return err
	}
	return g.s.wrote(g.ds.Delete(ctx, key))
}

func (g gated) Get(ctx context.Context, key datastore.Key) (value []byte, err error) {
	if err := g.s.enter(ctx); err != nil {
		return nil, err
	}
	defer g.s.leave()
	err = readAgain(func() error {
		value, err = g.ds.Get(ctx, key)
		return err
	})
	return value, err
}

func (g gated) Has(ctx context.Context, key datastore.Key) (bool, error) {
	if err := g.s.enter(ctx); err != nil {
		return false, err
	}
	defer g.s.leave()
	return g.ds.Has(ctx, key)
}

func (g gated) GetSize(ctx context.Context, key datastore.Key) (int, error) {
	if err := g.s.enter(ctx); err != nil {
		return -1, err
	}
	defer g.s.leave()
	return g.ds.GetSize(ctx, key)
}

func (g gated) Query(ctx context.Context, q query.Query) (query.Results, error) {
	if err := g.s.enter(ctx); err != nil {
		return nil, err
	}
	defer g.s.leave()
	// Without a prefix a query would come upon the records.
	q.Filters = append(slices.Clone(q.Filters), query.FilterKeyPrefix{Prefix: "/"})
	return g.ds.Query(ctx, q)
}

func (g gated) Sync(ctx context.Context, prefix datastore.Key) error {
	if err := g.s.enter(ctx); err != nil {
		return err
	}
	defer g.s.leave()
	return g.ds.Sync(ctx, prefix)
}

// Close does nothing: the store closes the database.
func (g gated) Close() error { return nil }

func (g gated) Batch(ctx context.Context) (datastore.Batch, error) {
	if err := g.s.enter(ctx); err != nil {
		return nil, err
	}
	defer g.s.leave()
	b, err := g.ds.Batch(ctx)
	if err != nil {
		return nil, err
	}
	return &gatedBatch{b: b, s: g.s}, nil
}

// gatedBatch keeps blocks to itself until Commit, which writes them last.
type gatedBatch struct {
	b      datastore.Batch
	s      *Store
	blocks []looseBlock
}

func (b *gatedBatch) Put(ctx context.Context, key datastore.Key, value []byte) error {
	if err := b.s.enter(ctx); err != nil {
		return err
	}
	defer b.s.leave()
	if err := b.s.mayUpkeep(); err != nil { // a full batch is written at once
		return err
	}
	if h, ok := blockOf(key); ok {
		b.blocks = append(b.blocks, looseBlock{h, value})
		return nil
	}
	return b.b.Put(ctx, key, value)
}

func (b *gatedBatch) Delete(ctx context.Context, key datastore.Key) error {
	if err := b.s.enter(ctx); err != nil {
		return err
	}
	defer b.s.leave()
	if err := b.s.mayUpkeep(); err != nil {
		return err
	}
	if h, ok := blockOf(key); ok {
		b.blocks = slices.DeleteFunc(b.blocks, func(l looseBlock) bool { return string(l.hash) == string(h) })
	}
	return b.b.Delete(ctx, key)
}

func (b *gatedBatch) Commit(ctx context.Context) error {
	if err := b.s.enter(ctx); err != nil {
		return err
	}
	defer b.s.leave()
	if err := b.s.mayUpkeep(); err != nil {
		return err
	}
	if err := b.s.wrote(b.b.Commit(ctx)); err != nil {
		return err
	}
	return b.s.putLoose(b.blocks)
}

// looseBlock is a block that no attempt claims.
type looseBlock struct {
	hash multihash.Multihash
	data []byte
}

// putLoose writes blocks that came by the go-datastore, each with a note for the
// next reclaim, which else would not find them.
func (s *Store) putLoose(bs []looseBlock) error {
	if len(bs) == 0 {
		return nil
	}
	hashes := make([]multihash.Multihash, len(bs))
	for i, b := range bs {
		hashes[i] = b.hash
	}
	defer s.claims.share(hashes)()
	wb := s.db.NewWriteBatch()
	defer wb.Cancel()
	for _, b := range bs {
		if err := wb.Set(looseKey(b.hash), encodeSize(len(b.data))); err != nil {
			return err
		}
		if err := wb.Set(blockKey(b.hash), b.data); err != nil {
			return err
		}
	}
	return s.wrote(wb.Flush())
}
