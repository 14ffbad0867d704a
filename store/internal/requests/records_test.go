package requests_test

import (
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
)

func openRecords(t *testing.T, now func() time.Time) (pin.Records, func() pin.Records) {
	dir := t.TempDir()
	var s *roomtest.Store
	check := func() {
		roomtest.CheckInvariants(t, s.KV)
		must(t, s.Close())
	}
	open := func() pin.Records {
		if s != nil {
			check()
		}
		s = roomtest.Open(t, dir, roomtest.Config{Now: now})
		opened := s
		t.Cleanup(func() {
			if s == opened {
				check()
			}
		})
		return s
	}
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
