package provide

import (
	"context"
	"errors"
	"testing"

	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
	dssync "github.com/ipfs/go-datastore/sync"
)

// strict is a datastore that does nothing for who has gone, as the store does, and
// counts its batches.
type strict struct {
	datastore.Batching
	batches int
}

func (s *strict) Get(ctx context.Context, k datastore.Key) ([]byte, error) {
	return nil, errors.Join(ctx.Err(), datastore.ErrNotFound)
}

func (s *strict) Put(ctx context.Context, k datastore.Key, v []byte) error { return ctx.Err() }

func (s *strict) Delete(ctx context.Context, k datastore.Key) error { return ctx.Err() }

func (s *strict) Sync(ctx context.Context, k datastore.Key) error { return ctx.Err() }

func (s *strict) Has(ctx context.Context, k datastore.Key) (bool, error) { return false, ctx.Err() }

func (s *strict) GetSize(ctx context.Context, k datastore.Key) (int, error) { return 0, ctx.Err() }

func (s *strict) Query(ctx context.Context, q query.Query) (query.Results, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return s.Batching.Query(ctx, q)
}

func (s *strict) Batch(ctx context.Context) (datastore.Batch, error) {
	s.batches++
	return strictBatch{}, ctx.Err()
}

type strictBatch struct{}

func (strictBatch) Put(ctx context.Context, _ datastore.Key, _ []byte) error { return ctx.Err() }
func (strictBatch) Delete(ctx context.Context, _ datastore.Key) error        { return ctx.Err() }
func (strictBatch) Commit(ctx context.Context) error                         { return ctx.Err() }

func TestSteadyIsNotCutOff(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	under := &strict{Batching: dssync.MutexWrap(datastore.NewMapDatastore())}
	ds, k := uncancelled{under}, datastore.NewKey("/a")
	_, getErr := ds.Get(ctx, k)
	_, hasErr := ds.Has(ctx, k)
	_, sizeErr := ds.GetSize(ctx, k)
	res, queryErr := ds.Query(ctx, query.Query{})
	if queryErr == nil {
		res.Close()
	}
	b, batchErr := ds.Batch(ctx)
	for what, err := range map[string]error{
		"get": getErr, "has": hasErr, "size": sizeErr, "query": queryErr, "batch": batchErr,
		"put": ds.Put(ctx, k, nil), "delete": ds.Delete(ctx, k), "sync": ds.Sync(ctx, k),
		"put in a batch": b.Put(ctx, k, nil), "delete in a batch": b.Delete(ctx, k), "commit": b.Commit(ctx),
	} {
		if errors.Is(err, context.Canceled) {
			t.Errorf("%s is cut off", what)
		}
	}
	if under.batches != 1 {
		t.Errorf("%d batches", under.batches)
	}
	b, _ = ds.Batch(ctx)
	if err := b.Commit(ctx); err != nil || under.batches != 1 {
		t.Errorf("an empty batch: %v, %d batches", err, under.batches)
	}
}
