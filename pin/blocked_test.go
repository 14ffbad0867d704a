package pin_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
)

const waitForRoom = 200

// noRoom is the fault of an engine whose disk is full.
func noRoom(method string) error {
	if method == "Room" {
		return pin.ErrDiskFull
	}
	return nil
}

// fillDisk makes pins wait for disk space for a while, and returns how often they were tried.
func fillDisk(r *rig) (tries func() int) {
	r.t.Helper()
	r.net.mu.Lock()
	r.net.full = true
	r.net.mu.Unlock()
	for i := range waitForRoom {
		r.net.set(dag(i), content{blocks: 2})
		r.add(alice, i)
	}
	time.Sleep(20 * time.Minute)
	synctest.Wait()
	if n := r.Blocked(); n == 0 {
		r.t.Error("no pin waits for room")
	}
	return func() (n int) {
		for i := range waitForRoom {
			n += r.net.fetches(dag(i))
		}
		return n
	}
}

// Pins that wait for disk space go on soon after there is some, however long they have
// waited.
func TestRoomAgain(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		r.recs.SetFault(noRoom)
		fillDisk(r)
		r.recs.SetFault(nil)
		r.net.mu.Lock()
		r.net.full = false
		r.net.mu.Unlock()
		time.Sleep(15 * time.Second)
		synctest.Wait()
		if n := len(r.net.completed()); n != waitForRoom {
			t.Errorf("%d of %d pins went on", n, waitForRoom)
		}
		if n := r.Blocked(); n != 0 {
			t.Errorf("%d are blocked when there is room", n)
		}
	})
}

// If there is some space, but too little for the pins that wait, few of them are tried.
func TestRoomForTooLittle(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		tries := fillDisk(r)
		before := tries()
		const seconds = 600
		time.Sleep(seconds * time.Second)
		synctest.Wait()
		// One a second, beside every pin's own tries, 5 minutes from each other.
		if n := tries() - before; n > seconds+3*waitForRoom {
			t.Errorf("%d tries in %d s", n, seconds)
		}
	})
}
