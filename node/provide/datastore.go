package provide

import (
	"context"

	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
)

// uncancelled is a datastore whose calls do not end with their context. When kad-dht's provider
// closes it saves its state under a context that has ended by then.
type uncancelled struct{ datastore.Batching }

func (s uncancelled) Get(ctx context.Context, k datastore.Key) ([]byte, error) {
	return s.Batching.Get(context.WithoutCancel(ctx), k)
}

func (s uncancelled) Has(ctx context.Context, k datastore.Key) (bool, error) {
	return s.Batching.Has(context.WithoutCancel(ctx), k)
}

func (s uncancelled) GetSize(ctx context.Context, k datastore.Key) (int, error) {
	return s.Batching.GetSize(context.WithoutCancel(ctx), k)
}

func (s uncancelled) Query(ctx context.Context, q query.Query) (query.Results, error) {
	return s.Batching.Query(context.WithoutCancel(ctx), q)
}

func (s uncancelled) Put(ctx context.Context, k datastore.Key, v []byte) error {
	return s.Batching.Put(context.WithoutCancel(ctx), k, v)
}

func (s uncancelled) Delete(ctx context.Context, k datastore.Key) error {
	return s.Batching.Delete(context.WithoutCancel(ctx), k)
}

func (s uncancelled) Sync(ctx context.Context, k datastore.Key) error {
	return s.Batching.Sync(context.WithoutCancel(ctx), k)
}

// Batch begins a batch when something is put into it. The provider abandons some batches
// that are empty, and the database would keep something of each.
func (s uncancelled) Batch(context.Context) (datastore.Batch, error) {
	return &uncancelledBatch{ds: s.Batching}, nil
}

// uncancelledBatch is a batch of an uncancelled datastore.
type uncancelledBatch struct {
	ds   datastore.Batching
	real datastore.Batch // nil before something is in it
}

func (b *uncancelledBatch) begin(ctx context.Context) (err error) {
	if b.real == nil {
		b.real, err = b.ds.Batch(ctx)
	}
	return err
}

func (b *uncancelledBatch) Put(ctx context.Context, k datastore.Key, v []byte) error {
	ctx = context.WithoutCancel(ctx)
	if err := b.begin(ctx); err != nil {
		return err
	}
	return b.real.Put(ctx, k, v)
}

func (b *uncancelledBatch) Delete(ctx context.Context, k datastore.Key) error {
	ctx = context.WithoutCancel(ctx)
	if err := b.begin(ctx); err != nil {
		return err
	}
	return b.real.Delete(ctx, k)
}

func (b *uncancelledBatch) Commit(ctx context.Context) error {
	if b.real == nil {
		return nil
	}
	return b.real.Commit(context.WithoutCancel(ctx))
}
