package store

import (
	"slices"
	"testing"

	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"

	"github.com/holdfast-ipfs/holdfast/pin/pintest"
)

// A directory in which each live request counts against a quota of pins is brought to one
// in which each DAG does.
func TestLayoutCountsDAGs(t *testing.T) {
	dir := t.TempDir()
	lock, err := Lock(dir)
	must(t, err)
	s, err := Open(t.Context(), lock, Config{Now: new(roomtest.Clock).Now})
	must(t, err)
	accounts := roomtest.ThreeAccounts
	for n, of := range [][]int{{1, 1, 1, 2}, {1}, {3}} {
		for _, d := range of {
			_, err := s.requestRecords.Add(t.Context(), accounts[n], pintest.DAGSpec(d))
			must(t, err)
		}
	}
	_, err = s.requestRecords.Fail(t.Context(), pintest.DAGSpec(3).DAG(), "why")
	must(t, err)
	// As layout 4 had it.
	for n, live := range []uint64{4, 1, 0} {
		roomtest.ChangeAccount(t, s.kv, accounts[n], func(n, _ *uint64) { *n = live })
	}
	must(t, s.setLayout(t.Context(), 4))
	must(t, s.Close())
	must(t, writeMarker(dir, 4))

	s, err = Open(t.Context(), lock, Config{})
	must(t, err)
	defer func() { must(t, lock.Close()) }()
	defer func() { must(t, s.Close()) }()
	roomtest.CheckInvariants(t, s.kv)
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
