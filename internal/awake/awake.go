// Package awake tells the time in which the process ran. A process that is stopped
// (SIGSTOP, a frozen container, a machine that is paused) does not run, and what it
// waits for cannot come meanwhile: such time must not count as silence of others.
package awake

import (
	"sync"
	"time"
)

// A gap of more than Gap between two readings is time in which the process did not
// run. It is five times [Beat], so that a machine which is merely busy counts on.
const (
	Beat = time.Second
	Gap  = 5 * Beat
)

// Clock tells the time, less that in which the process did not run. Nothing but
// readings tell it that the process runs, so its owner reads it every [Beat] at least.
// It never goes back. Its methods may be called concurrently.
type Clock struct {
	now func() time.Time

	mu   sync.Mutex
	last time.Time     // what now gave last
	lost time.Duration // by which it is behind now
}

// New starts a clock on now, such as [time.Now], whose monotonic reading it keeps. Nil
// is time.Now.
func New(now func() time.Time) *Clock {
	if now == nil {
		now = time.Now
	}
	return &Clock{now: now, last: now()}
}

// Now is the time, which is only good to be compared with other times of this clock.
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

// Lost is for how long the process did not run since the clock was started.
func (c *Clock) Lost() time.Duration {
	c.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lost
}
