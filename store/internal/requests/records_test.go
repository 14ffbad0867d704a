package requests_test

import (
	"flag"
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

var recordsSeed = flag.Uint64("records-seed", 0, "`number` to repeat the choices of TestRecordsAgainstModel with; 0 is a new one")

func TestRecordsAgainstModel(t *testing.T) {
	seeds := []uint64{1, 2, uint64(time.Now().UnixNano())}
	if *recordsSeed != 0 {
		seeds = []uint64{*recordsSeed}
	}
	for _, seed := range seeds {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			pintest.RunModel(t, openRecords, seed, roomtest.Rounds(600, 2000))
		})
	}
}
