package store

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
)

// However little the operator keeps free, pins can be removed when no more are taken.
func TestRemovalsOutlastNewPins(t *testing.T) {
	for _, keep := range []uint64{0, 64 << 20, DefaultReserve} {
		free := uint64(1 << 40)
		s := openTest(t, t.TempDir(), Config{MinFreeSpace: keep, FreeSpace: func(string) (uint64, error) { return free, nil }})
		r, err := s.requestRecords.Add(t.Context(), benchAccount, pintest.DAGSpec(1))
		must(t, err)
		free = s.space.Reserve() + s.space.Reserve()/4 - 1
		if _, err := s.requestRecords.Add(t.Context(), benchAccount, pintest.DAGSpec(2)); !errors.Is(err, pin.ErrDiskFull) {
			t.Errorf("with %d kept free, a pin on a full disk: %v", keep, err)
		}
		free = s.space.Reserve()
		if _, _, err := s.requestRecords.Remove(t.Context(), benchAccount, r.ID); err != nil {
			t.Errorf("with %d kept free, no pin can be removed when none can be made: %v", keep, err)
		}
	}
}

// A file system that does not say what is free is one that cannot be written, for whoever
// asks, and nothing is changed.
func TestFreeSpaceIsNotTold(t *testing.T) {
	var fails error
	s := openTest(t, t.TempDir(), Config{FreeSpace: func(string) (uint64, error) { return 1 << 40, fails }})
	r, err := s.Add(t.Context(), benchAccount, pintest.DAGSpec(1))
	must(t, err)
	fails = syscall.EIO
	_, add := s.Add(t.Context(), benchAccount, pintest.DAGSpec(2))
	_, _, remove := s.Remove(t.Context(), benchAccount, r.ID)
	for name, err := range map[string]error{
		"a pin": add, "a removal": remove, "what room there is": s.Room(t.Context(), 0), "whether writes work": s.Writable(t.Context()),
	} {
		if !errors.Is(err, pin.ErrUnwritable) || !errors.Is(err, syscall.EIO) {
			t.Errorf("%s: %v", name, err)
		}
	}
	fails = nil
	if page, err := s.List(t.Context(), benchAccount, pin.Query{Statuses: pin.Statuses(), Limit: 10}); err != nil || len(page.Requests) != 1 {
		t.Errorf("there are %v, %v", page.Requests, err)
	}
}

// What a full disk is told by does not contradict itself: there may be more free than is
// kept, and too little for what is asked.
func TestFullDiskTexts(t *testing.T) {
	s := openTest(t, t.TempDir(), Config{MinFreeSpace: 1 << 30, FreeSpace: func(string) (uint64, error) { return 1100 << 20, nil }})
	for want, err := range map[string]error{
		"this needs 104857600 bytes beside the 1073741824 that are kept free, and 1153433600 are free": s.space.RoomFor(100 << 20),
		"1153433600 bytes are free, and 1153433601 have to be":                                         s.space.Floor(1100<<20+1, 0),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %q, want %q", err, want)
		}
	}
}
