package node

import (
	"context"
	"encoding/base32"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
	"github.com/libp2p/go-libp2p-kad-dht/records"
	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	// Provider records of others that a DHT keeps. If 10,000 servers, about as many
	// as the public DHT has, share what everybody announces, each with 20 of them,
	// they hold as many once half a billion keys are announced. They take about 160
	// bytes each, 240 if somebody makes their keys as long as they may be: 160 to
	// 240 MiB.
	maxProviderRecords = 1 << 20
	// And other records: names of IPNS and public keys, of which there are far
	// fewer. One of IPNS has up to 10 KiB, beside which the DHT writes its key and
	// the time: 256 MiB at most.
	maxValueRecords = 1 << 14
	maxValueRecord  = 16 << 10
	// How often the log may say that no more are taken.
	recordsFullTold = time.Hour
)

// errRecordsFull is what a value gets that is not taken.
var errRecordsFull = errors.New("no more records are kept for the DHT")

// dhtRecords is a datastore for the records that a server of the DHT keeps. Peers
// may send it whatever they like: kad-dht looks neither at whether a key is near nor
// at how many there are. So it takes no more of others than it may have. What comes
// beyond that is left out of a batch, whose other records count as they would: those
// that are here already are renewed. Reading goes on as ever, and expired records
// are deleted as ever, which makes room.
//
// What this node provides itself is kept too, and does not count.
type dhtRecords struct {
	datastore.Batching
	own string // what the keys of its own provider records end with
	log *slog.Logger

	mu                sync.Mutex // held from finding out what is there until it is written
	providers, values recordRoom
	told              time.Time // when the log last had that records are refused
}

// recordRoom is how many records of a kind there are and may be.
type recordRoom struct{ n, max int }

// newDHTRecords counts what is in ds.
func newDHTRecords(ctx context.Context, ds datastore.Batching, self peer.ID, log *slog.Logger) (*dhtRecords, error) {
	r := &dhtRecords{
		Batching: ds, log: log,
		own:       "/" + base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString([]byte(self)),
		providers: recordRoom{max: maxProviderRecords},
		values:    recordRoom{max: maxValueRecords},
	}
	for e, err := range datastore.QueryIter(ctx, ds, query.Query{KeysOnly: true}) {
		if err != nil {
			return nil, fmt.Errorf("count the records of the DHT: %w", err)
		}
		if room := r.room(e.Key); room != nil {
			room.n++
		}
	}
	return r, nil
}

// room is that for a record; nil if it does not count.
func (r *dhtRecords) room(key string) *recordRoom {
	switch {
	case !strings.HasPrefix(key, records.ProvidersKeyPrefix):
		return &r.values
	case strings.HasSuffix(key, r.own):
		return nil
	default:
		return &r.providers
	}
}

// Put implements [datastore.Datastore]. Errors: errRecordsFull.
func (r *dhtRecords) Put(ctx context.Context, key datastore.Key, value []byte) error {
	refused, err := r.write(ctx, map[datastore.Key]*recordChange{key: {value: value}})
	if err == nil && refused > 0 {
		err = errRecordsFull
	}
	return err
}

// Delete implements [datastore.Datastore].
func (r *dhtRecords) Delete(ctx context.Context, key datastore.Key) error {
	_, err := r.write(ctx, map[datastore.Key]*recordChange{key: {deleted: true}})
	return err
}

// Batch implements [datastore.Batching].
func (r *dhtRecords) Batch(context.Context) (datastore.Batch, error) {
	return &recordsBatch{r: r, changes: make(map[datastore.Key]*recordChange)}, nil
}

// recordsBatch is a batch of records; kad-dht puts a few hundred into one.
type recordsBatch struct {
	r       *dhtRecords
	changes map[datastore.Key]*recordChange
}

func (b *recordsBatch) Put(_ context.Context, key datastore.Key, value []byte) error {
	b.changes[key] = &recordChange{value: value}
	return nil
}

func (b *recordsBatch) Delete(_ context.Context, key datastore.Key) error {
	b.changes[key] = &recordChange{deleted: true}
	return nil
}

func (b *recordsBatch) Commit(ctx context.Context) error {
	_, err := b.r.write(ctx, b.changes)
	return err
}

// recordChange is what becomes of a record.
type recordChange struct {
	value   []byte
	deleted bool
	had     bool // it was there before
}

// write makes changes, all in one batch, and tells how many of them it refused. It
// takes those out of the map.
func (r *dhtRecords) write(ctx context.Context, changes map[datastore.Key]*recordChange) (refused int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fresh := make(map[*recordRoom]int)
	for key, c := range changes {
		room := r.room(key.String())
		if room == nil {
			continue
		}
		if c.had, err = r.Batching.Has(ctx, key); err != nil {
			return 0, err
		}
		switch {
		case c.deleted:
		case len(c.value) > maxValueRecord, !c.had && room.n+fresh[room] >= room.max:
			delete(changes, key)
			refused++
		case !c.had:
			fresh[room]++
		}
	}
	if refused > 0 {
		r.tellFull()
	}
	if len(changes) == 0 {
		return refused, nil
	}
	err = r.commit(ctx, changes)
	for key, c := range changes {
		room := r.room(key.String())
		if room == nil {
			continue
		}
		has := !c.deleted
		if err != nil { // some may be written
			if there, err := r.Batching.Has(ctx, key); err == nil {
				has = there
			}
		}
		switch {
		case has && !c.had:
			room.n++
		case !has && c.had:
			room.n--
		}
	}
	return refused, err
}

func (r *dhtRecords) commit(ctx context.Context, changes map[datastore.Key]*recordChange) error {
	b, err := r.Batching.Batch(ctx)
	if err != nil {
		return err
	}
	for key, c := range changes {
		if c.deleted {
			err = b.Delete(ctx, key)
		} else {
			err = b.Put(ctx, key, c.value)
		}
		if err != nil {
			return err
		}
	}
	return b.Commit(ctx)
}

// tellFull has the log say, now and then, that records are refused.
func (r *dhtRecords) tellFull() {
	if !r.told.IsZero() && time.Since(r.told) < recordsFullTold {
		return
	}
	r.told = time.Now()
	r.log.Warn("peers send the DHT more records than are kept for them; new ones are not taken until others expire",
		"providers", r.providers.n, "values", r.values.n)
}
