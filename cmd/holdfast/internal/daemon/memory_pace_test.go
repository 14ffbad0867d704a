package daemon

import (
	"slices"
	"testing"
)

// A small heap may double, a large one grows by a limited part, and the percentage is set only
// if that makes a difference.
func TestGCPace(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		percent int
		alive   uint64
		want    int
	}{
		{100, 0, 100}, {100, 30 * mib, 100}, {100, 64 * mib, 100},
		{100, 80 * mib, 80}, {100, 100 * mib, 64}, {100, 128 * mib, 50}, {100, 4096 * mib, 50},
		{50, 64 * mib, 50}, {50, 128 * mib, 50}, {50, 160 * mib, 40}, {50, 4096 * mib, 25},
	} {
		if got := paced(c.percent, c.alive); got != c.want {
			t.Errorf("of %d%%, with %d MiB alive: %d%%, want %d%%", c.percent, c.alive/mib, got, c.want)
		}
	}

	var alive uint64
	var told []int
	p := &gcPace{percent: 100, now: 100, alive: func() uint64 { return alive }, set: func(percent int) { told = append(told, percent) }}
	for _, alive = range []uint64{20 * mib, 66 * mib, 100 * mib, 101 * mib, 200 * mib, 300 * mib, 20 * mib, 20 * mib} {
		p.look()
	}
	if want := []int{64, 50, 100}; !slices.Equal(told, want) {
		t.Errorf("the collector is told %v, want %v", told, want)
	}
}
