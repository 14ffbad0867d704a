package space_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
	"github.com/holdfast-ipfs/holdfast/store/internal/space"
)

// However little the operator keeps free, pins can be removed when no more are taken.
func TestRemovalsOutlastNewPins(t *testing.T) {
	for _, keep := range []uint64{0, 64 << 20, roomtest.DefaultReserve} {
		free := uint64(1 << 40)
		s := roomtest.Open(t, t.TempDir(), roomtest.Config{MinFreeSpace: keep, FreeSpace: func(string) (uint64, error) { return free, nil }})
		r, err := s.Requests.Add(t.Context(), roomtest.Account, pintest.DAGSpec(1))
		must(t, err)
		free = s.Space.Reserve() + s.Space.Reserve()/4 - 1
		if _, err := s.Requests.Add(t.Context(), roomtest.Account, pintest.DAGSpec(2)); !errors.Is(err, pin.ErrDiskFull) {
			t.Errorf("with %d kept free, a pin on a full disk: %v", keep, err)
		}
		free = s.Space.Reserve()
		if _, _, err := s.Requests.Remove(t.Context(), roomtest.Account, r.ID); err != nil {
			t.Errorf("with %d kept free, no pin can be removed when none can be made: %v", keep, err)
		}
	}
}

// What a full disk is told by does not contradict itself: there may be more free than is
// kept, and too little for what is asked.
func TestFullDiskTexts(t *testing.T) {
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{MinFreeSpace: 1 << 30, FreeSpace: func(string) (uint64, error) { return 1100 << 20, nil }})
	for want, err := range map[string]error{
		"this needs 104857600 bytes beside the 1073741824 that are kept free, and 1153433600 are free": s.Space.RoomFor(100 << 20),
		"1153433600 bytes are free, and 1153433601 have to be":                                         s.Space.Floor(1100<<20+1, 0),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %q, want %q", err, want)
		}
	}
}

// A disk of any size is full before a process may map no more files.
func TestValueLogFileSize(t *testing.T) {
	for _, c := range []struct{ used, capacityOf, want uint64 }{
		{0, 100 << 30, 64 << 20},
		{30 << 30, 1 << 40, 64 << 20},
		{33 << 30, 1 << 40, 128 << 20},
		{0, 10 << 40, 1 << 30},
		{300 << 30, 1 << 40, 1 << 30},
		{1 << 50, 1 << 50, 1 << 30},
	} {
		if got := space.ValueLogFileSize(c.used, c.capacityOf); got != int64(c.want) {
			t.Errorf("%d GiB of %d: files of %d MiB, want %d", c.used>>30, c.capacityOf>>30, got>>20, c.want>>20)
		}
	}
}
