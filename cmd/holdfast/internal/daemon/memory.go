package daemon

import (
	"context"
	"runtime/debug"
	gometrics "runtime/metrics"
	"time"
)

const (
	// trimLook is how often the trimmer looks whether the server is idle.
	trimLook = 10 * time.Second
	// A server that moved less than trimQuiet bytes since the last look is idle. The rare
	// requests of peers need no spare memory.
	trimQuiet = 1 << 20
	// trimLooks is how many looks at an idle server follow a burst. The database works on for
	// a while after the last block.
	trimLooks = 6
	// Less than trimMin bytes are not worth a collection, which takes some 30 ms of one core.
	trimMin = 8 << 20
)

// trimmer gives memory back to the system once a busy server has become idle. By itself Go
// keeps the memory of a burst of pins for minutes. While nothing is allocated, it collects
// only every two minutes.
type trimmer struct {
	moved func() uint64 // bytes received and sent since the start
	held  func() uint64 // bytes that the heap holds of the system
	trim  func()

	last  uint64 // moved at the last look
	looks int    // how many looks are left after a burst
	least uint64 // held after the last trim
}

// newTrimmer is for this process.
func newTrimmer(moved func() uint64) *trimmer {
	return &trimmer{moved: moved, held: heldMemory, trim: debug.FreeOSMemory}
}

// run looks each trimLook until ctx ends.
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
	if t.held() >= t.least+trimMin {
		t.trim()
		t.least = t.held()
	}
}

// heldMemory is how many bytes the heap holds of the system: those in use (as of the last
// collection), and those that are free but not given back.
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
