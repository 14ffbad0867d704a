package store

import (
	"slices"
	"testing"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
	"github.com/holdfast-ipfs/holdfast/store/internal/requests"
)

// A directory in which each live request counts against a quota of pins is brought to one
// in which each DAG does.
func TestLayoutCountsDAGs(t *testing.T) {
	dir := t.TempDir()
	lock, err := Lock(dir)
	must(t, err)
	s, err := Open(t.Context(), lock, Config{Now: new(benchClock).now})
	must(t, err)
	accounts := []string{manyAccount(0), manyAccount(1), manyAccount(2)}
	for n, of := range [][]int{{1, 1, 1, 2}, {1}, {3}} {
		for _, d := range of {
			_, err := s.requestRecords.Add(t.Context(), accounts[n], pintest.DAGSpec(d))
			must(t, err)
		}
	}
	_, err = s.requestRecords.Fail(t.Context(), pintest.DAGSpec(3).DAG(), "why")
	must(t, err)
	// As layout 4 had it.
	must(t, s.kv.Update(t.Context(), func(tx *kv.Tx) error {
		for n, live := range []uint64{4, 1, 0} {
			a, _ := kv.AccountOf(accounts[n])
			var rec requests.AccountRecord
			if _, err := s.kv.Take(&tx.Reader, requests.AccountKey(a), &rec); err != nil {
				return err
			}
			rec.Live = live
			if err := s.kv.Put(tx, requests.AccountKey(a), rec); err != nil {
				return err
			}
		}
		return nil
	}))
	must(t, s.setLayout(t.Context(), 4))
	must(t, s.Close())
	must(t, writeMarker(dir, 4))

	s, err = Open(t.Context(), lock, Config{})
	must(t, err)
	defer func() { must(t, lock.Close()) }()
	defer func() { must(t, s.Close()) }()
	checkInvariants(t, s)
	var got []uint64
	for _, account := range accounts {
		u, err := s.requestRecords.Usage(t.Context(), account)
		must(t, err)
		got = append(got, u.Pins)
	}
	if want := []uint64{2, 1, 0}; !slices.Equal(got, want) {
		t.Errorf("accounts have %d pins, want %d", got, want)
	}
}

// Whether other requests for a DAG are live is seen across the pieces of the lists.
func TestLiveCountAcrossPieces(t *testing.T) {
	s := openTest(t, t.TempDir(), Config{Now: new(benchClock).now})
	addMany(t, s, 1, 2*requests.ChunkBits)
	d := pintest.DAGSpec(1).DAG()
	check := func(want uint64) {
		t.Helper()
		u, err := s.requestRecords.Usage(t.Context(), manyAccount(0))
		must(t, err)
		if u.Pins != want {
			t.Errorf("%d pins, want %d", u.Pins, want)
		}
		checkInvariants(t, s)
	}
	check(1)
	_, err := s.requestRecords.Fail(t.Context(), d, "why")
	must(t, err)
	check(0)
	page, err := s.requestRecords.List(t.Context(), manyAccount(0), pin.Query{Statuses: pin.Statuses(), Limit: 2*requests.ChunkBits + 1})
	must(t, err)
	oldest, newest := page.Requests[len(page.Requests)-1], page.Requests[0]
	for _, r := range []pin.Request{oldest, newest} {
		_, err = s.requestRecords.Retry(t.Context(), r.Account, r.ID)
		must(t, err)
		check(1)
	}
	_, _, err = s.requestRecords.Remove(t.Context(), newest.Account, newest.ID)
	must(t, err)
	check(1)
	_, _, err = s.requestRecords.Remove(t.Context(), oldest.Account, oldest.ID)
	must(t, err)
	check(0)
}
