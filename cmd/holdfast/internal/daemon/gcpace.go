package daemon

import (
	"context"
	"runtime/debug"
	gometrics "runtime/metrics"
	"time"
)

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
