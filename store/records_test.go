package store

import (
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
)

// openTest opens a store on a directory, until the test ends.
func openTest(t testing.TB, dir string, cfg Config) *Store {
	t.Helper()
	lock, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), lock, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := lock.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func openRecords(t *testing.T, now func() time.Time) (pin.Records, func() pin.Records) {
	dir := t.TempDir()
	var s *Store
	var lock *DirLock
	closeBoth := func() {
		if s == nil {
			return
		}
		checkInvariants(t, s)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := lock.Close(); err != nil {
			t.Error(err)
		}
	}
	open := func() pin.Records {
		closeBoth()
		var err error
		if lock, err = Lock(dir); err != nil {
			t.Fatal(err)
		}
		if s, err = Open(t.Context(), lock, Config{Now: now}); err != nil {
			t.Fatal(err)
		}
		return s
	}
	t.Cleanup(closeBoth)
	return open(), open
}

func TestRecords(t *testing.T) { pintest.RunRecords(t, openRecords) }

func TestRecordsAgainstModel(t *testing.T) {
	for _, seed := range []uint64{1, 2, uint64(time.Now().UnixNano())} {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			pintest.RunModel(t, openRecords, seed, 2000)
		})
	}
}
