package provide

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ipfs/boxo/datastore/dshelp"
	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/namespace"
	"github.com/ipfs/go-datastore/query"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// ledger remembers for each root since when it is to be announced, and when it last was. It is
// on disk. What is needed often is in memory, some 35 bytes for each root. The methods that
// take a context are for one goroutine.
type ledger struct {
	ds   datastore.Batching
	seed maphash.Seed

	mu    sync.RWMutex
	roots map[uint64]line     // by a hash of the multihash, for which nobody can make a collision
	dirty map[string]struct{} // multihashes of the roots announced since the last flush
	last  time.Time           // when a root was last announced
}

// line is the part of a root's record that is in memory. Times are Unix seconds; 0 is never.
type line struct {
	since, told uint32
	stand       uint32 // when it was announced in a network that stood in for another
	codecs      uint8  // how many DAGs have the root, read by one codec each
	seen        uint8  // how many of these a comparison has met
	by          int8   // the rank of the strategy by which it was walked; -1 is none
}

// at gives when the root was announced. Announcements in stand-ins count while one stands in.
func (ln line) at(standIn bool) uint32 {
	if standIn {
		return max(ln.told, ln.stand)
	}
	return ln.told
}

// record is a root's record on disk.
type record struct {
	since, told time.Time // the zero time is never
	stand       time.Time
	by          int8
	codecs      []uint64
}

// The versions of records.
const (
	recordPlain = 1
	recordStand = 2 // it also has when stand-ins got it; in others none did
)

func openLedger(ds datastore.Batching) *ledger {
	return &ledger{
		ds:    namespace.Wrap(ds, datastore.NewKey("/roots")),
		seed:  maphash.MakeSeed(),
		roots: make(map[uint64]line),
		dirty: make(map[string]struct{}),
	}
}

func (l *ledger) at(h multihash.Multihash) uint64 { return maphash.Bytes(l.seed, h) }

// load reads everything that is on disk. Times in the future count as now.
func (l *ledger) load(ctx context.Context, now time.Time) error {
	err := l.each(ctx, func(h multihash.Multihash, r record) error {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.roots[l.at(h)] = r.line()
		if r.told.After(l.last) {
			l.last = r.told
		}
		if r.stand.After(l.last) {
			l.last = r.stand
		}
		return nil
	})
	l.clamp(now)
	return err
}

// clamp replaces times in the future by now: the clock was ahead, and was set back. Else they
// would hide that a root is late, for as long as the clock was ahead. The records on disk stay
// until there is something to write, since the clock may also be behind now.
func (l *ledger) clamp(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := seconds(now)
	for at, ln := range l.roots {
		if ln.since > t || ln.told > t || ln.stand > t {
			ln.since, ln.told, ln.stand = min(ln.since, t), min(ln.told, t), min(ln.stand, t)
			l.roots[at] = ln
		}
	}
	if l.last.After(now) {
		l.last = now
	}
}

// each reads all records. A record that cannot be read counts as missing: if its root is
// pinned, it is announced again.
func (l *ledger) each(ctx context.Context, fn func(multihash.Multihash, record) error) error {
	for e, err := range datastore.QueryIter(ctx, l.ds, query.Query{}) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("read which roots were provided: %w", err)
		}
		h, err := dshelp.DsKeyToMultihash(datastore.RawKey(e.Key))
		if err != nil {
			continue
		}
		r, err := decodeRecord(e.Value)
		if err != nil {
			continue
		}
		if err := fn(h, r); err != nil {
			return err
		}
	}
	return nil
}

// get reads one record, with the times that are in memory. A record that cannot be decoded
// counts as missing, as for each; put writes it anew.
func (l *ledger) get(ctx context.Context, h multihash.Multihash) (r record, found bool, err error) {
	b, err := l.ds.Get(ctx, dshelp.MultihashToDsKey(h))
	if errors.Is(err, datastore.ErrNotFound) {
		return record{by: -1}, false, nil
	}
	if err != nil {
		return record{by: -1}, false, fmt.Errorf("read whether a root was provided: %w", err)
	}
	if r, err = decodeRecord(b); err != nil {
		return record{by: -1}, false, nil
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	if ln, ok := l.roots[l.at(h)]; ok {
		r.since, r.told, r.stand = moment(ln.since), moment(ln.told), moment(ln.stand)
	}
	return r, true, nil
}

// put writes records, and deletes those without a codec.
func (l *ledger) put(ctx context.Context, changes map[string]record) error {
	if len(changes) == 0 {
		return nil
	}
	b, err := l.ds.Batch(ctx)
	for h, r := range changes {
		if err != nil {
			break
		}
		if key := dshelp.MultihashToDsKey(multihash.Multihash(h)); len(r.codecs) == 0 {
			err = b.Delete(ctx, key)
		} else {
			err = b.Put(ctx, key, r.encode())
		}
	}
	if err == nil {
		err = b.Commit(ctx)
	}
	if err != nil {
		return fmt.Errorf("record what is provided: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for h, r := range changes {
		at := l.at(multihash.Multihash(h))
		if len(r.codecs) == 0 {
			delete(l.roots, at)
			delete(l.dirty, h)
			continue
		}
		now := r.line()
		if have, ok := l.roots[at]; ok { // it may have been announced meanwhile
			now.told, now.stand, now.seen = have.told, have.stand, have.seen
		}
		l.roots[at] = now
	}
	return nil
}

// told notes that a peer of the network took a key, which may be a root's. What a stand-in took
// is kept apart. The newest call counts, even if its time is before the last one: the clock may
// have been set back.
func (l *ledger) told(h multihash.Multihash, now time.Time, standIn bool) {
	at, t := l.at(h), seconds(now)
	l.mu.RLock()
	ln, ok := l.roots[at]
	l.mu.RUnlock()
	if !ok || ln.told == t && !standIn || ln.stand == t && standIn {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if ln, ok = l.roots[at]; !ok {
		return
	}
	if standIn {
		ln.stand = t
	} else {
		ln.told = t
	}
	l.roots[at] = ln
	l.dirty[string(h)] = struct{}{}
	l.last = now
}

// flush writes what was announced since the last flush.
func (l *ledger) flush(ctx context.Context) error {
	const atOnce = 4096
	l.mu.RLock()
	hashes := slices.Collect(maps.Keys(l.dirty))
	l.mu.RUnlock()
	for some := range slices.Chunk(hashes, atOnce) {
		changes := make(map[string]record, len(some))
		for _, h := range some {
			r, found, err := l.get(ctx, multihash.Multihash(h))
			if err != nil {
				return err
			}
			if found { // else it was withdrawn
				changes[h] = r
			}
		}
		if err := l.put(ctx, changes); err != nil {
			return err
		}
		l.mu.Lock()
		for _, h := range some {
			ln := l.roots[l.at(multihash.Multihash(h))]
			if r, ok := changes[h]; !ok || ln.told == seconds(r.told) && ln.stand == seconds(r.stand) { // else it was announced again meanwhile
				delete(l.dirty, h)
			}
		}
		l.mu.Unlock()
	}
	return nil
}

// line gives the part of a root's record that is in memory.
func (l *ledger) line(h multihash.Multihash) (line, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	ln, ok := l.roots[l.at(h)]
	return ln, ok
}

// unsee begins a comparison.
func (l *ledger) unsee() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for at, ln := range l.roots {
		ln.seen = 0
		l.roots[at] = ln
	}
}

// see counts that a comparison has met a root.
func (l *ledger) see(h multihash.Multihash) (line, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.at(h)
	ln, ok := l.roots[at]
	if ok {
		ln.seen++
		l.roots[at] = ln
	}
	return ln, ok
}

// summary is the ledger's part of [Stats]. Announcements in stand-ins count if one stands in.
func (l *ledger) summary(s *Stats, standIn bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	s.Roots, s.LastTold = len(l.roots), l.last
	var waits, stalest uint32
	for _, ln := range l.roots {
		if told := ln.at(standIn); told == 0 {
			s.Untold++
			if waits == 0 || ln.since < waits {
				waits = ln.since
			}
		} else if stalest == 0 || told < stalest {
			stalest = told
		}
	}
	s.OldestUntold, s.Stalest = moment(waits), moment(stalest)
}

// seconds gives a time as it is kept in memory.
func seconds(t time.Time) uint32 {
	if t.IsZero() {
		return 0
	}
	return uint32(t.Unix())
}

func moment(s uint32) time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(int64(s), 0)
}

func (r record) line() line {
	return line{since: seconds(r.since), told: seconds(r.told), stand: seconds(r.stand),
		codecs: uint8(min(len(r.codecs), 255)), by: r.by}
}

// dags lists the DAGs that have the root.
func (r record) dags(h multihash.Multihash) (all []pin.DAG) {
	for _, codec := range r.codecs {
		all = append(all, pin.DAGOf(cid.NewCidV1(codec, h)))
	}
	return all
}

// with gives the record with a codec added, or removed.
func (r record) with(codec uint64, on bool) record {
	r.codecs = slices.DeleteFunc(slices.Clone(r.codecs), func(c uint64) bool { return c == codec })
	if on {
		r.codecs = append(r.codecs, codec)
	}
	return r
}

func (r record) encode() []byte {
	b := []byte{recordPlain, byte(r.by)}
	b = binary.BigEndian.AppendUint32(b, seconds(r.since))
	b = binary.BigEndian.AppendUint32(b, seconds(r.told))
	if !r.stand.IsZero() {
		b[0] = recordStand
		b = binary.BigEndian.AppendUint32(b, seconds(r.stand))
	}
	for _, codec := range r.codecs {
		b = binary.AppendUvarint(b, codec)
	}
	return b
}

func decodeRecord(b []byte) (r record, err error) {
	size := 10
	if len(b) > 0 && b[0] == recordStand {
		size = 14
	}
	if len(b) < size || b[0] != recordPlain && b[0] != recordStand {
		return record{}, fmt.Errorf("record of a root is %x", b)
	}
	r.by = int8(b[1])
	r.since, r.told = moment(binary.BigEndian.Uint32(b[2:])), moment(binary.BigEndian.Uint32(b[6:]))
	if b[0] == recordStand {
		r.stand = moment(binary.BigEndian.Uint32(b[10:]))
	}
	for b = b[size:]; len(b) > 0; {
		codec, n := binary.Uvarint(b)
		if n <= 0 {
			return record{}, fmt.Errorf("record of a root ends in %x", b)
		}
		r.codecs, b = append(r.codecs, codec), b[n:]
	}
	return r, nil
}
