package store

import (
	"context"
	"slices"

	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
	badger4 "github.com/ipfs/go-ds-badger4"
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
	if err := g.s.roomForUpkeep(); err != nil {
		return err
	}
	return g.ds.Put(ctx, key, value)
}

func (g gated) Delete(ctx context.Context, key datastore.Key) error {
	if err := g.s.enter(ctx); err != nil {
		return err
	}
	defer g.s.leave()
	if err := g.s.roomForUpkeep(); err != nil {
		return err
	}
	return g.ds.Delete(ctx, key)
}

func (g gated) Get(ctx context.Context, key datastore.Key) ([]byte, error) {
	if err := g.s.enter(ctx); err != nil {
		return nil, err
	}
	defer g.s.leave()
	return g.ds.Get(ctx, key)
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
	return gatedBatch{b, g.s}, nil
}

type gatedBatch struct {
	b datastore.Batch
	s *Store
}

func (b gatedBatch) Put(ctx context.Context, key datastore.Key, value []byte) error {
	if err := b.s.enter(ctx); err != nil {
		return err
	}
	defer b.s.leave()
	if err := b.s.roomForUpkeep(); err != nil { // a full batch is written at once
		return err
	}
	return b.b.Put(ctx, key, value)
}

func (b gatedBatch) Delete(ctx context.Context, key datastore.Key) error {
	if err := b.s.enter(ctx); err != nil {
		return err
	}
	defer b.s.leave()
	if err := b.s.roomForUpkeep(); err != nil {
		return err
	}
	return b.b.Delete(ctx, key)
}

func (b gatedBatch) Commit(ctx context.Context) error {
	if err := b.s.enter(ctx); err != nil {
		return err
	}
	defer b.s.leave()
	if err := b.s.roomForUpkeep(); err != nil {
		return err
	}
	return b.b.Commit(ctx)
}
