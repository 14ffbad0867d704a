package pin

import (
	"testing"
	"time"
)

// While requests come turns begin at a pace, and what a late loop missed is made up for, but not what idle time
// would have had room for. When none came for a moment they begin faster.
func TestYielding(t *testing.T) {
	const every = 5 * time.Millisecond
	now := time.Now()
	y := yielding{every: every}
	begin := func() (n int) {
		for ; ; n++ {
			if may, _ := y.may(now); may <= 0 {
				return n
			}
			y.begun(now)
		}
	}
	if n := begin(); n < yieldFaster {
		t.Errorf("at first %d turns begin", n)
	}
	now = now.Add(time.Hour)
	y.asking()
	if n := begin(); n != 1+int(yieldBurst/every) {
		t.Errorf("after idle time %d turns begin at once", n)
	}
	if _, wait := y.may(now); wait != every {
		t.Errorf("the next turn waits %v", wait)
	}
	total := 0
	for range 100 { // a loop that is late
		now = now.Add(13 * time.Millisecond)
		total += begin()
		y.left(now) // those who shared a commit have their answers, and ask again
		total += begin()
		y.asking()
	}
	if want := int(1300 * time.Millisecond / every); total != want {
		t.Errorf("%d turns begin in 1.3 s, want %d", total, want)
	}
	y.left(now)
	if _, wait := y.may(now); wait > every {
		t.Errorf("when the last client has its answer the next turn waits %v", wait)
	}
	now = now.Add(yieldQuiet + 1)
	if n := begin(); n > yieldFaster*int(1+yieldQuiet/every) {
		t.Errorf("in a moment without requests %d turns begin", n)
	}
	total = 0
	for range 100 {
		now = now.Add(10 * time.Millisecond)
		total += begin()
	}
	if want := int(time.Second/every) * yieldFaster; total != want {
		t.Errorf("without requests %d turns begin in a second, want %d", total, want)
	}
	y.left(now.Add(time.Hour).Round(0)) // before the clock was set back
	y.clients.Add(1)
	if d, _ := y.interval(now); d != every/yieldFaster {
		t.Errorf("after the clock was set back there are %v between turns", d)
	}
	y.asking()
	now = now.Add(every)
	if n := begin(); n != 1 { // those that began meanwhile make none wait longer
		t.Errorf("%d turns begin when a client waits again", n)
	}
}

// Without an interval nothing is held back.
func TestYieldingOfNone(t *testing.T) {
	var y yielding
	y.asking()
	for range 1000 {
		y.begun(time.Now())
	}
	if n, wait := y.may(time.Now()); n < 1000 || wait != 0 {
		t.Errorf("%d turns may begin in %v", n, wait)
	}
}
