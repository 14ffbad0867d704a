package awake

import (
	"testing"
	"time"
)

func TestClock(t *testing.T) {
	began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	now := began
	c := New(func() time.Time { return now })
	for _, s := range []struct {
		what string
		step time.Duration
		want time.Duration // since it began
	}{
		{"a beat", Beat, Beat},
		{"a busy machine", Gap, Beat + Gap},
		{"the process was stopped", time.Hour, Beat + Gap},
		{"and goes on", Beat, 2*Beat + Gap},
		{"the clock was set back", -time.Hour, 2*Beat + Gap},
		{"and goes on", Beat, 3*Beat + Gap},
		{"nothing", 0, 3*Beat + Gap},
	} {
		now = now.Add(s.step)
		if got := c.Now().Sub(began); got != s.want {
			t.Errorf("%s: %v since it began, want %v", s.what, got, s.want)
		}
	}
	now = now.Add(2 * Gap)
	if got := c.Lost(); got != 2*Gap {
		t.Errorf("lost %v, want %v", got, 2*Gap)
	}
}
