// Package awake measures the time in which the process ran. A stopped process (SIGSTOP, a
// frozen container, a paused machine) does not run, and nothing that it waits for can come.
// So such time must not count as silence of others.
package awake

import (
	"sync"
	"time"
)

// If more than Gap is between two readings, the process did not run in that time. Gap is five
// times [Beat], so that time on a machine that is only busy still counts.
const (
	Beat = time.Second
	Gap  = 5 * Beat
)

// Clock tells the time, without the time in which the process did not run. It knows only from
// its readings that the process runs, so its owner must read it at least every [Beat]. It
// never goes back. Its methods may be called concurrently.
type Clock struct {
	now func() time.Time

	mu   sync.Mutex
	last time.Time     // the last result of now
	lost time.Duration // how far the clock is behind now
}

// New starts a clock on now, such as [time.Now]. It keeps the monotonic reading of now's
// times. Nil means time.Now.
func New(now func() time.Time) *Clock {
	if now == nil {
		now = time.Now
	}
	return &Clock{now: now, last: now()}
}

// Now is the time. It can only be compared with other times of this clock.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.now()
	if gap := t.Sub(c.last); gap > Gap || gap < 0 {
		c.lost += gap
	}
	c.last = t
	return t.Add(-c.lost)
}

// Lost is how long the process did not run since the clock was started.
func (c *Clock) Lost() time.Duration {
	c.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lost
}
