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
	// Provider records of others that a DHT keeps. The public DHT has about 10,000
	// servers, and each key is announced to 20 of them: a server has this many when half a
	// billion keys are announced. A record takes about 160 bytes, or 240 if its key is as
	// long as it may be: 160 to 240 MiB in all.
	maxProviderRecords = 1 << 20
	// Other records, of IPNS names and public keys. There are far fewer of these. A record
	// of IPNS has up to 10 KiB, and the DHT writes its key and the time with it: 256 MiB
	// at most.
	maxValueRecords = 1 << 14
	maxValueRecord  = 16 << 10
	// How often the log may say that no more records are taken.
	recordsFullTold = time.Hour
)

// errRecordsFull: a record is not taken.
var errRecordsFull = errors.New("no more records are kept for the DHT")

// dhtRecords is a datastore for the records that a server of the DHT keeps. Peers may send
// anything: kad-dht checks neither whether a key is near nor how many keys there are. So
// dhtRecords bounds the number of others' records. Beyond that it leaves new records out of
// a batch and writes the rest; records that are here already are renewed. Reading is not
// affected, and expired records are deleted, which makes room.
//
// The node's own provider records are kept too, and do not count.
type dhtRecords struct {
	datastore.Batching
	own string // the end of the keys of the node's own provider records
	log *slog.Logger

	mu                sync.Mutex // held from reading what is there until the change is written
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

// room gives the room that a record counts in; nil if it does not count.
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

// recordChange is a write or a deletion of a record.
type recordChange struct {
	value   []byte
	deleted bool
	had     bool // it was there before
}

// write makes changes, all in one batch. It removes from the map those that it refuses, and
// returns their number.
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

// tellFull logs, now and then, that records are refused.
func (r *dhtRecords) tellFull() {
	if !r.told.IsZero() && time.Since(r.told) < recordsFullTold {
		return
	}
	r.told = time.Now()
	r.log.Warn("peers send the DHT more records than are kept for them; new ones are not taken until others expire",
		"providers", r.providers.n, "values", r.values.n)
}
