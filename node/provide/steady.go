package provide

import (
	"context"

	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
)

// steady is a datastore whose calls are not cut off. kad-dht's provider saves its
// state when it closes, under a context that has ended by then.
type steady struct{ datastore.Batching }

func (s steady) Get(ctx context.Context, k datastore.Key) ([]byte, error) {
	return s.Batching.Get(context.WithoutCancel(ctx), k)
}

func (s steady) Has(ctx context.Context, k datastore.Key) (bool, error) {
	return s.Batching.Has(context.WithoutCancel(ctx), k)
}

func (s steady) GetSize(ctx context.Context, k datastore.Key) (int, error) {
	return s.Batching.GetSize(context.WithoutCancel(ctx), k)
}

func (s steady) Query(ctx context.Context, q query.Query) (query.Results, error) {
	return s.Batching.Query(context.WithoutCancel(ctx), q)
}

func (s steady) Put(ctx context.Context, k datastore.Key, v []byte) error {
	return s.Batching.Put(context.WithoutCancel(ctx), k, v)
}

func (s steady) Delete(ctx context.Context, k datastore.Key) error {
	return s.Batching.Delete(context.WithoutCancel(ctx), k)
}

func (s steady) Sync(ctx context.Context, k datastore.Key) error {
	return s.Batching.Sync(context.WithoutCancel(ctx), k)
}

// Batch begins a batch once something is put into it: the provider abandons some
// that are empty, of which the database would hold on to something.
func (s steady) Batch(context.Context) (datastore.Batch, error) {
	return &steadyBatch{ds: s.Batching}, nil
}

// steadyBatch is a batch of a steady datastore.
type steadyBatch struct {
	ds   datastore.Batching
	real datastore.Batch // nil before something is in it
}

func (b *steadyBatch) begin(ctx context.Context) (err error) {
	if b.real == nil {
		b.real, err = b.ds.Batch(ctx)
	}
	return err
}

func (b *steadyBatch) Put(ctx context.Context, k datastore.Key, v []byte) error {
	ctx = context.WithoutCancel(ctx)
	if err := b.begin(ctx); err != nil {
		return err
	}
	return b.real.Put(ctx, k, v)
}

func (b *steadyBatch) Delete(ctx context.Context, k datastore.Key) error {
	ctx = context.WithoutCancel(ctx)
	if err := b.begin(ctx); err != nil {
		return err
	}
	return b.real.Delete(ctx, k)
}

func (b *steadyBatch) Commit(ctx context.Context) error {
	if b.real == nil {
		return nil
	}
	return b.real.Commit(context.WithoutCancel(ctx))
}
