package daemon

import (
	"context"
	"runtime/debug"
	gometrics "runtime/metrics"
	"time"

	"github.com/holdfast-ipfs/holdfast/internal/room"
)

const (
	// answersAll is what large answers of the RPC and the gateway take in memory together, if the machine has 1 GiB
	// or more. Else it is a part of what it has, and never less than answersLeast, as one answer may take
	// answersOne.
	answersAll   = 512 << 20
	answersPart  = 2
	answersOne   = 128 << 20
	answersLeast = 3 * answersOne / 2
)

// newAnswers is for a machine with so much memory. One account has half of it, but enough for one answer,
// and so have all clients of the gateway together.
func newAnswers(memory uint64) *room.Room {
	all := max(answersLeast, min(answersAll, memory/answersPart))
	return room.New(int64(all), int64(max(answersOne, all/2)))
}

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

const (
	// paceLook is how often the percentage is adjusted to what is alive. Even if requests
	// come as fast as possible, a heap takes seconds to double.
	paceLook = time.Second
	// paceRoom is how many bytes may be added to what is alive before the next collection.
	// If less than that is alive, nothing changes. docs/benchmarks.md has the memory that
	// waiting requests then take.
	paceRoom = 64 << 20
	// paceMin limits the reduction, in percent of the profile's percentage. Below it the
	// collector would cost more than it saves.
	paceMin = 50
	// paceStep is the smallest change that is worth the short stop of all goroutines.
	paceStep = 5
)

// gcPace limits how much garbage Go's collector leaves. By itself Go lets the heap double, so
// that a large heap wastes as much memory as it uses.
type gcPace struct {
	percent int           // of the profile
	alive   func() uint64 // bytes that the last collection found alive
	set     func(percent int)
	now     int // what set was last called with
}

// newGCPace is for this process. percent is the percentage that is set already.
func newGCPace(percent int) *gcPace {
	return &gcPace{percent: percent, now: percent, alive: aliveMemory, set: func(percent int) { debug.SetGCPercent(percent) }}
}

// run adjusts the percentage until ctx ends, and then restores that of the profile.
func (p *gcPace) run(ctx context.Context) {
	ticker := time.NewTicker(paceLook)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			p.set(p.percent)
			return
		case <-ticker.C:
			p.look()
		}
	}
}

func (p *gcPace) look() {
	want := paced(p.percent, p.alive())
	if want-p.now < paceStep && p.now-want < paceStep {
		return
	}
	p.now = want
	p.set(want)
}

// paced is the percentage with which the heap grows by no more than paceRoom, but no lower
// than paceMin allows.
func paced(percent int, alive uint64) int {
	if alive*uint64(percent)/100 <= paceRoom {
		return percent
	}
	return max(percent*paceMin/100, int(paceRoom*100/alive))
}

// aliveMemory is what the last collection found in use.
func aliveMemory() uint64 {
	sample := []gometrics.Sample{{Name: "/gc/heap/live:bytes"}}
	gometrics.Read(sample)
	return sample[0].Value.Uint64()
}
