package provide

import (
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/ipfs/boxo/datastore/dshelp"
	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/failstore"
	"github.com/ipfs/go-datastore/namespace"
)

func TestLedgerOnDisk(t *testing.T) {
	ds := datastore.NewMapDatastore()
	now := time.Unix(1_700_000_000, 0)
	one, two, three := hashOf(rootOf(1)), hashOf(rootOf(2)), hashOf(rootOf(3))
	l := openLedger(ds)
	err := l.put(t.Context(), map[string]record{
		string(one):   {since: now, by: -1, codecs: []uint64{cid.DagProtobuf, cid.Raw}},
		string(two):   {since: now, told: now.Add(time.Hour), by: 2, codecs: []uint64{cid.DagJSON}},
		string(three): {since: now, codecs: []uint64{cid.Raw}},
	})
	if err != nil {
		t.Fatal(err)
	}
	l.told(one, now.Add(time.Second), false)
	l.told(one, now.Add(time.Minute), false)
	l.told(hashOf(rootOf(9)), now, false) // no root
	if r, _, err := l.get(t.Context(), one); err != nil || !r.told.Equal(now.Add(time.Minute)) {
		t.Errorf("before it is written it was told at %v, %v", r.told, err)
	}
	if err := l.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.put(t.Context(), map[string]record{string(three): {}}); err != nil {
		t.Fatal(err)
	}
	// What is not ours, or broken, is as if it were not there.
	raw := namespace.Wrap(ds, datastore.NewKey("/roots"))
	for _, v := range [][]byte{{}, {9, 1, 2}, append(make([]byte, 10), 0xff)} {
		if err := raw.Put(t.Context(), dshelp.MultihashToDsKey(hashOf(rootOf(10+len(v)))), v); err != nil {
			t.Fatal(err)
		}
	}
	if err := raw.Put(t.Context(), datastore.NewKey("/not a hash"), []byte("x")); err != nil {
		t.Fatal(err)
	}

	l = openLedger(ds)
	if err := l.load(t.Context(), now.Add(2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	var s Stats
	l.summary(&s, false)
	if s.Roots != 2 || s.Untold != 0 || !s.LastTold.Equal(now.Add(time.Hour)) || !s.Stalest.Equal(now.Add(time.Minute)) {
		t.Errorf("it has %+v", s)
	}
	r, found, err := l.get(t.Context(), one)
	if err != nil || !found || !r.since.Equal(now) || r.by != -1 || len(r.codecs) != 2 || r.codecs[1] != cid.Raw {
		t.Errorf("the first is %+v, %v, %v", r, found, err)
	}
	if ds := r.dags(one); len(ds) != 2 || ds[0] != rootOf(1) {
		t.Errorf("its DAGs are %v", ds)
	}
	if ln, ok := l.line(two); !ok || ln.by != 2 || ln.codecs != 1 {
		t.Errorf("the second is %+v, %v", ln, ok)
	}
	if _, found, err := l.get(t.Context(), three); found || err != nil {
		t.Errorf("the third is found: %v, %v", found, err)
	}
}

// Records are as they were before there was anything of stand-ins in them, unless
// there is.
func TestRecordVersions(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	old := []byte{1, 2, 0, 0, 0, 60, 0, 0, 0, 120, 0x55, 0xa9, 0x02}
	r, err := decodeRecord(old)
	if err != nil || r.since.Unix() != 60 || r.told.Unix() != 120 || !r.stand.IsZero() || r.by != 2 ||
		!slices.Equal(r.codecs, []uint64{cid.Raw, cid.DagJSON}) {
		t.Errorf("the old one is %+v, %v", r, err)
	}
	if again := r.encode(); !slices.Equal(again, old) {
		t.Errorf("it is written as %x", again)
	}
	r.stand = now
	if again, err := decodeRecord(r.encode()); err != nil || !reflect.DeepEqual(again, r) {
		t.Errorf("%+v is read as %+v, %v", r, again, err)
	}
	for _, b := range [][]byte{nil, old[:9], r.encode()[:13], {3, 2, 0, 0, 0, 60, 0, 0, 0, 120, 0x55}, {1, 2, 0, 0, 0, 60, 0, 0, 0, 120, 0xff}} {
		if r, err := decodeRecord(b); err == nil {
			t.Errorf("%x is read as %+v", b, r)
		}
	}
}

// Many that were told are written in pieces.
func TestLedgerFlushesAll(t *testing.T) {
	l := openLedger(datastore.NewMapDatastore())
	changes := make(map[string]record)
	const many = 10_000
	for i := range many {
		changes[string(hashOf(rootOf(i)))] = record{since: time.Now(), codecs: []uint64{cid.Raw}}
	}
	if err := l.put(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
	for i := range many {
		l.told(hashOf(rootOf(i)), time.Now(), false)
	}
	if err := l.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(l.dirty) > 0 {
		t.Errorf("%d are not written", len(l.dirty))
	}
	for i := range many {
		if r, _, err := l.get(t.Context(), hashOf(rootOf(i))); err != nil || r.told.IsZero() {
			t.Fatalf("number %d was told at %v, %v", i, r.told, err)
		}
	}
}

// What could not be written is written later.
func TestLedgerFlushFails(t *testing.T) {
	broken := errors.New("broken")
	var fail bool
	ds := datastore.NewMapDatastore()
	l := openLedger(failstore.NewFailstore(ds, func(op string) error {
		if fail && op == "batch-commit" {
			return broken
		}
		return nil
	}))
	h := hashOf(rootOf(1))
	if err := l.put(t.Context(), map[string]record{string(h): {since: time.Now(), codecs: []uint64{cid.Raw}}}); err != nil {
		t.Fatal(err)
	}
	l.told(h, time.Now(), false)
	fail = true
	if err := l.flush(t.Context()); !errors.Is(err, broken) {
		t.Errorf("it gives %v", err)
	}
	fail = false
	if err := l.flush(t.Context()); err != nil {
		t.Error(err)
	}
	if r, _, err := openLedger(ds).get(t.Context(), h); err != nil || r.told.IsZero() {
		t.Errorf("it was told at %v, %v", r.told, err)
	}
}

// What was told and pinned while the clock was a year ahead does not hide for a
// year, once it is right, when a root was told and that it waits.
func TestLedgerClockSetBack(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	ahead := now.AddDate(1, 0, 0)
	h, waits := hashOf(rootOf(1)), hashOf(rootOf(2))
	setUp := func(t *testing.T) (*ledger, datastore.Batching) {
		ds := datastore.NewMapDatastore()
		l := openLedger(ds)
		err := l.put(t.Context(), map[string]record{
			string(h):     {since: ahead, codecs: []uint64{cid.Raw}},
			string(waits): {since: ahead, codecs: []uint64{cid.Raw}},
		})
		if err != nil {
			t.Fatal(err)
		}
		l.told(h, ahead, false)
		if err := l.flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		return l, ds
	}
	stats := func(l *ledger) Stats {
		s := Stats{Interval: DefaultInterval}
		l.summary(&s, false)
		return s
	}
	late := DefaultInterval + watchSlack + time.Hour
	for name, after := range map[string]func(t *testing.T, l *ledger, ds datastore.Batching) *ledger{
		"while it runs": func(t *testing.T, l *ledger, _ datastore.Batching) *ledger {
			l.clamp(now)
			return l
		},
		"between two runs": func(t *testing.T, _ *ledger, ds datastore.Batching) *ledger {
			l := openLedger(ds)
			if err := l.load(t.Context(), now); err != nil {
				t.Fatal(err)
			}
			return l
		},
	} {
		t.Run(name, func(t *testing.T) {
			l, ds := setUp(t)
			l = after(t, l, ds)
			s := stats(l)
			if !s.Stalest.Equal(now) || s.LastTold.After(now) || s.OldestUntold.After(now) {
				t.Errorf("it has %+v", s)
			}
			if lag := s.Lag(now.Add(late)); lag != time.Hour {
				t.Errorf("what is not told any more is late by %v", lag)
			}
		})
	}
	t.Run("told again", func(t *testing.T) {
		l, ds := setUp(t)
		again := now.Add(time.Minute)
		l.told(h, again, false)
		if err := l.flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := stats(l); !s.Stalest.Equal(again) || !s.LastTold.Equal(again) {
			t.Errorf("it has %+v", s)
		}
		l = openLedger(ds)
		if err := l.load(t.Context(), again.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if s := stats(l); !s.Stalest.Equal(again) {
			t.Errorf("after a restart it has %+v", s)
		}
	})
	// A clock that is behind at the start takes nothing from what is on disk.
	t.Run("behind for a while", func(t *testing.T) {
		_, ds := setUp(t)
		if err := openLedger(ds).load(t.Context(), now); err != nil {
			t.Fatal(err)
		}
		l := openLedger(ds)
		if err := l.load(t.Context(), ahead.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if s := stats(l); !s.Stalest.Equal(ahead) {
			t.Errorf("it has %+v", s)
		}
	})
}
