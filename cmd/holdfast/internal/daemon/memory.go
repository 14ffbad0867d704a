package daemon

import (
	"context"
	"runtime/debug"
	gometrics "runtime/metrics"
	"time"
)

const (
	// How often it is looked whether the server is idle.
	trimLook = 10 * time.Second
	// A server that moved less than this since the last look is idle: what
	// peers ask for now and then needs no memory in store.
	trimQuiet = 1 << 20
	// The database is busy for a while after the last block came: it is looked so
	// often before the burst counts as over.
	trimLooks = 6
	// What is not worth a collection, some 30 ms of one core.
	trimLeast = 8 << 20
)

// trimmer gives memory back to the system once a busy server has become idle.
// Go keeps what a burst of pins needed for minutes, for the next one, and a
// collection that would find it free comes every two minutes at most while
// nothing is allocated.
type trimmer struct {
	moved func() uint64 // bytes that came or went since the start
	held  func() uint64 // bytes that the heap has of the system's
	trim  func()

	last  uint64 // what moved had
	looks int    // that are left of those after a burst
	least uint64 // what was held after the last trim
}

// newTrimmer is for this process.
func newTrimmer(moved func() uint64) *trimmer {
	return &trimmer{moved: moved, held: heldMemory, trim: debug.FreeOSMemory}
}

// run looks now and then until ctx ends.
func (t *trimmer) run(ctx context.Context) {
	ticker := time.NewTicker(trimLook)
	defer ticker.Stop()
	t.least = t.held()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			t.look()
		}
	}
}

func (t *trimmer) look() {
	now := t.moved()
	quiet := now-t.last < trimQuiet
	t.last = now
	switch {
	case !quiet:
		t.looks = trimLooks
		return
	case t.looks == 0:
		return
	}
	t.looks--
	if t.held() >= t.least+trimLeast {
		t.trim()
		t.least = t.held()
	}
}

// heldMemory is what the heap has of the system's: what is in use, or was when
// that was last looked at, and what is free and was not given back.
func heldMemory() (n uint64) {
	samples := []gometrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
	}
	gometrics.Read(samples)
	for _, s := range samples {
		n += s.Value.Uint64()
	}
	return n
}
