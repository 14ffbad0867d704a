package store

import (
	"errors"
	"slices"
	"testing"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
)

// Accounts of before have no count of their live requests, and are given one.
func TestMigrationOfLiveCounts(t *testing.T) {
	dir := t.TempDir()
	lock, err := Lock(dir)
	must(t, err)
	clock := new(benchClock)
	old, err := openWith(t.Context(), dir, Config{Now: clock.now}.withDefaults(), badgerOptions(), migrations()[:1])
	must(t, err)
	const accounts, more = maxChangesPerCommit + 10, chunkBits + 10 // more than one change, and more than one chunk
	addMany(t, old, accounts, more)
	first := manyAccount(0)
	// Of the first account all are pinned but one of each other status.
	d := pintest.DAGSpec(1).DAG()
	a, _, err := old.Begin(t.Context(), d)
	must(t, err)
	_, err = old.Complete(t.Context(), d, a, pin.Totals{Blocks: 1})
	must(t, err)
	for n := 2; n <= 4; n++ {
		r, err := old.Add(t.Context(), first, pintest.DAGSpec(n))
		must(t, err)
		switch n {
		case 3:
			_, _, err = old.Begin(t.Context(), r.DAG())
		case 4:
			_, err = old.Fail(t.Context(), r.DAG(), "why")
		}
		must(t, err)
	}
	var keys [][]byte
	must(t, old.view(t.Context(), func(r *reader) error {
		return r.scan(span{prefix: []byte{kAccount}, keysOnly: true}, func(key, _ []byte) (bool, error) {
			keys = append(keys, slices.Clone(key))
			return true, nil
		})
	}))
	if len(keys) != accounts {
		t.Fatalf("%d accounts have records, want %d", len(keys), accounts)
	}
	must(t, old.update(t.Context(), func(t *tx) error {
		for i, key := range keys {
			if i%7 == 3 { // as an interrupted migration leaves it
				continue
			}
			var rec accountRecord
			if _, err := old.take(&t.reader, key, &rec); err != nil {
				return err
			}
			if err := old.put(t, key, accountRecord2{Last: rec.Last, NextSeq: rec.NextSeq, Clock: rec.Clock, Back: rec.Back}); err != nil {
				return err
			}
		}
		return nil
	}))
	must(t, old.Close())
	must(t, lock.Close())

	s := openTest(t, dir, Config{Now: clock.now})
	checkInvariants(t, s)
	const live = 1 + more + 2
	u, err := s.Usage(t.Context(), first)
	must(t, err)
	if u.Pins != live {
		t.Errorf("%d pins, want %d", u.Pins, live)
	}
	most := uint64(live)
	s.SetQuotas(pintest.QuotaFunc(func(string) pin.Quota { return pin.Quota{Pins: most} }))
	var over *pin.QuotaError
	if _, err := s.Add(t.Context(), first, pintest.DAGSpec(5)); !errors.As(err, &over) || over.Used != live {
		t.Errorf("one more than may be: %v", err)
	}
	most++
	if _, err := s.Add(t.Context(), first, pintest.DAGSpec(5)); err != nil {
		t.Errorf("as many as may be: %v", err)
	}
	checkInvariants(t, s)
}
