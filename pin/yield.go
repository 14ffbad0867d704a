package pin

import (
	"math"
	"sync/atomic"
	"time"
)

// yielding holds turns back while requests come, which share processor and disk with them. Then one turn begins in
// each interval, so that no flood of requests starves the pins. At any other time they begin much faster, but not
// all at once: it may be but a moment in which no request comes.
type yielding struct {
	every   time.Duration // the interval while requests come; 0 never holds turns back
	clients atomic.Int64  // that wait for their requests to become durable
	last    atomic.Int64  // when the last of them had its answer, in nanoseconds
	next    time.Time     // when the next turn may begin
}

const (
	// yieldQuiet is how long no client waits before requests count as over: those that shared a commit come
	// again at about the same time.
	yieldQuiet = 10 * time.Millisecond
	// yieldFaster is how many times as fast turns begin then.
	yieldFaster = 32
	// yieldBurst is how much of the time in which no turn began is made up for: some beats of a loop that has no
	// processor at once.
	yieldBurst = 50 * time.Millisecond
)

// asking notes that a client waits. left notes that it has its answer.
func (y *yielding) asking() { y.clients.Add(1) }

func (y *yielding) left(now time.Time) {
	y.last.Store(now.UnixNano())
	y.clients.Add(-1)
}

// interval is how long there is between two turns. coming is how long requests count as coming, if no other one
// comes; 0 is that none do.
func (y *yielding) interval(now time.Time) (d, coming time.Duration) {
	if coming = time.Unix(0, y.last.Load()).Add(yieldQuiet).Sub(now); coming < 0 || coming > yieldQuiet { // or the clock was set back
		coming = 0
	}
	if y.clients.Load() > 0 {
		coming = yieldQuiet
	}
	if coming > 0 {
		return y.every, coming
	}
	return y.every / yieldFaster, 0
}

// may is how many turns may begin now. If it is none, wait is how long until one may.
func (y *yielding) may(now time.Time) (n int, wait time.Duration) {
	if y.every == 0 {
		return math.MaxInt, 0
	}
	d, coming := y.interval(now)
	if wait = y.due(now).Sub(now); wait <= 0 {
		return 1 + int(-wait/d), 0
	}
	if coming > 0 {
		wait = min(wait, coming)
	}
	return 0, wait
}

// begun notes that a turn began.
func (y *yielding) begun(now time.Time) {
	if y.every == 0 {
		return
	}
	d, _ := y.interval(now)
	y.next = y.due(now).Add(d)
}

// due is when the next turn may begin, or might have begun, no longer ago than is made up for.
func (y *yielding) due(now time.Time) time.Time {
	if late := now.Add(-yieldBurst); y.next.Before(late) {
		return late
	}
	return y.next
}
