package daemon

import (
	"context"
	"runtime/debug"
	gometrics "runtime/metrics"
	"time"
)

const (
	// paceLook is how often the collector's percentage is fitted to what is alive: a heap
	// that grows as fast as requests can be posted takes seconds to double.
	paceLook = time.Second
	// paceRoom is how much may come to what is alive before the next collection. As long as
	// less than that is alive nothing changes. docs/benchmarks.md has the memory that
	// waiting requests take with it.
	paceRoom = 64 << 20
	// paceMin is the smallest part of the profile's percentage, in percent: below it the
	// collector would work more than it saves.
	paceMin = 50
	// paceStep is the smallest change that is worth stopping all goroutines for an instant.
	paceStep = 5
)

// gcPace bounds what Go's collector leaves uncollected. By itself Go lets the heap double,
// so that a large heap wastes as much memory as it has alive.
type gcPace struct {
	percent int           // of the profile
	alive   func() uint64 // bytes that the last collection found alive
	set     func(percent int)
	now     int // what set was last called with
}

// newGCPace is for this process. percent is what the collector goes by already.
func newGCPace(percent int) *gcPace {
	return &gcPace{percent: percent, now: percent, alive: aliveMemory, set: func(percent int) { debug.SetGCPercent(percent) }}
}

// run fits the percentage until ctx ends, and then sets the profile's again.
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

// paced is the percentage by which the heap grows no more than paceRoom beyond what is
// alive, within its bounds.
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
