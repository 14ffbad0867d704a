package graph

import (
	"context"
	"errors"
	"slices"

	"github.com/dgraph-io/badger/v4"
	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
	"github.com/holdfast-ipfs/holdfast/store/internal/space/reading"
)

// gated is the go-datastore. Every call enters the database first, since Badger must not be
// called once it is closed. It reads as the rest of the store does.
type gated struct {
	s *Store
}

var _ datastore.Batching = gated{}

// change runs fn in the database, if it may be written.
func (g *Store) change(ctx context.Context, fn func() error) error {
	if err := g.kv.Enter(ctx); err != nil {
		return err
	}
	defer g.kv.Leave()
	if err := g.kv.MayUpkeep(); err != nil {
		return err
	}
	return fn()
}

func (g gated) Put(ctx context.Context, key datastore.Key, value []byte) error {
	return g.s.change(ctx, func() error {
		if h, ok := BlockOf(key); ok {
			return g.s.putLoose([]looseBlock{{h, value}})
		}
		if value == nil {
			value = []byte{}
		}
		return g.s.kv.SetAlone(key.Bytes(), value)
	})
}

func (g gated) Delete(ctx context.Context, key datastore.Key) error {
	return g.s.change(ctx, func() error { return g.s.kv.SetAlone(key.Bytes(), nil) })
}

// Get's errors: datastore.ErrNotFound; diskerr.ErrUnreadable.
func (g gated) Get(ctx context.Context, key datastore.Key) (value []byte, err error) {
	err = g.read(ctx, func(r *kv.Reader) error {
		if h, ok := BlockOf(key); ok {
			value, err = g.s.readBlock(r.Txn, h)
		} else {
			value, err = reading.Fetch(r.Txn, key.Bytes(), nil)
		}
		return err
	})
	return value, err
}

// Has reports whether the key is there, also if its value cannot be read.
func (g gated) Has(ctx context.Context, key datastore.Key) (bool, error) {
	err := g.read(ctx, func(r *kv.Reader) error {
		_, err := reading.Find(r.Txn, key.Bytes())
		return err
	})
	if errors.Is(err, datastore.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

func (g gated) GetSize(ctx context.Context, key datastore.Key) (size int, err error) {
	size = -1
	err = g.read(ctx, func(r *kv.Reader) error {
		item, err := reading.Find(r.Txn, key.Bytes())
		if err == nil {
			size = reading.SizeOf(item)
		}
		return err
	})
	return size, err
}

// read is [kv.DB.View] with the errors of a datastore.
func (g gated) read(ctx context.Context, fn func(*kv.Reader) error) error {
	err := g.s.kv.View(ctx, fn)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return datastore.ErrNotFound
	}
	return err
}

// A query reads up to queryPage entries at a time, and no further entry after queryBytes.
const queryPage, queryBytes = 512, 1 << 20

// Query reads a page at a time, so that a slow caller keeps no transaction open. What changes
// meanwhile may or may not be in the result. Sizes come only with values. For a value that
// cannot be read there is an error in its place, and the rest follows.
func (g gated) Query(ctx context.Context, q query.Query) (query.Results, error) {
	prefix := datastore.NewKey(q.Prefix).String()
	if prefix != "/" {
		prefix += "/"
	}
	sp := kv.Span{Prefix: []byte(prefix), KeysOnly: true}
	var page []query.Result
	end := false
	next := func() (query.Result, bool) {
		for len(page) == 0 && !end {
			var err error
			if page, sp.From, err = g.page(ctx, sp, !q.KeysOnly); err != nil {
				page = append(page, query.Result{Error: err})
			}
			end = sp.From == nil
		}
		if len(page) == 0 {
			return query.Result{}, false
		}
		first := page[0]
		page = page[1:]
		return first, true
	}
	rest := q
	rest.Prefix = "" // this is done
	return query.NaiveQueryApply(rest, query.ResultsFromIterator(q, query.Iterator{Next: next})), nil
}

// page reads some entries, and gives the key of the next page; nil at the end, and with an
// error.
func (g gated) page(ctx context.Context, sp kv.Span, values bool) (page []query.Result, next []byte, err error) {
	err = g.s.kv.View(ctx, func(r *kv.Reader) error {
		bytes := 0
		return r.Scan(sp, func(key, _ []byte) (bool, error) {
			if len(page) == queryPage || bytes > queryBytes {
				next = append(next, key...)
				return false, nil
			}
			one := query.Result{Entry: query.Entry{Key: string(key), Size: -1}}
			if values {
				one.Value, _, one.Error = r.Get(key)
				one.Size = len(one.Value)
				bytes += one.Size
			}
			page = append(page, one)
			return true, nil
		})
	})
	if err != nil {
		return page, nil, err
	}
	return page, next, nil
}

// Sync does nothing: every write is synced.
func (g gated) Sync(ctx context.Context, _ datastore.Key) error {
	if err := g.s.kv.Enter(ctx); err != nil {
		return err
	}
	g.s.kv.Leave()
	return nil
}

// Close does nothing: the store closes the database.
func (g gated) Close() error { return nil }

func (g gated) Batch(ctx context.Context) (datastore.Batch, error) {
	return &gatedBatch{s: g.s}, g.Sync(ctx, datastore.Key{})
}

// gatedBatch keeps all changes in memory until Commit, which writes blocks last.
type gatedBatch struct {
	s       *Store
	changes []keyChange
	blocks  []looseBlock
}

func (b *gatedBatch) Put(ctx context.Context, key datastore.Key, value []byte) error {
	return b.s.change(ctx, func() error {
		if h, ok := BlockOf(key); ok {
			b.blocks = append(b.blocks, looseBlock{h, value})
		} else {
			b.changes = append(b.changes, keyChange{key.Bytes(), kv.Write{Value: value}})
		}
		return nil
	})
}

func (b *gatedBatch) Delete(ctx context.Context, key datastore.Key) error {
	return b.s.change(ctx, func() error {
		if h, ok := BlockOf(key); ok {
			b.blocks = slices.DeleteFunc(b.blocks, func(l looseBlock) bool { return string(l.hash) == string(h) })
		}
		b.changes = append(b.changes, keyChange{key.Bytes(), kv.Write{Deleted: true}})
		return nil
	})
}

func (b *gatedBatch) Commit(ctx context.Context) error {
	return b.s.change(ctx, func() error {
		wb := b.s.kv.NewBatch()
		defer wb.Cancel()
		if err := fillChanges(wb, b.changes); err != nil {
			return err
		}
		if err := wb.Flush(); err != nil {
			return err
		}
		return b.s.putLoose(b.blocks)
	})
}

// looseBlock is a block that no attempt claims.
type looseBlock struct {
	hash multihash.Multihash
	data []byte
}

// putLoose writes blocks that came through the go-datastore. Each gets a note, by which the
// next reclaim finds it.
func (g *Store) putLoose(bs []looseBlock) error {
	if len(bs) == 0 {
		return nil
	}
	hashes := make([]multihash.Multihash, len(bs))
	for i, b := range bs {
		hashes[i] = b.hash
	}
	defer g.claims.share(hashes)()
	wb := g.kv.NewBatch()
	defer wb.Cancel()
	for _, b := range bs {
		if err := wb.Set(looseKey(b.hash), encodeSize(len(b.data))); err != nil {
			return err
		}
		if err := wb.Set(blockKey(b.hash), b.data); err != nil {
			return err
		}
	}
	return wb.Flush()
}

// Blockstore gives the blocks, by multihash, as IPFS software expects them. No attempt claims
// a block that is Put here, so the next reclaim deletes it unless an attempt claims it before.
// Fetched blocks come through [Store.Write]. It ends with the store.
func (g *Store) Blockstore() blockstore.Blockstore { return g.blocks }

// Datastore is the go-datastore in the same database, for small state of other packages. Each
// of them uses a prefix of its own; "/blocks" is taken. It ends with the store, and closing it
// does nothing.
func (g *Store) Datastore() datastore.Batching { return gated{g} }
