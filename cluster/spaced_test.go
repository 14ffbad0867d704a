package cluster

import (
	"testing"
	"time"
)

// A few fetches look as often as they like. The looks of many are spread, so that peers have at most
// 500 of them a second to answer, and none waits for longer than the longest time between two looks.
func TestLooksAreSpaced(t *testing.T) {
	const limit = 3 * time.Second
	for n, want := range map[int64]time.Duration{
		1: 50 * time.Millisecond, 25: 50 * time.Millisecond, 100: 200 * time.Millisecond, 512: 1024 * time.Millisecond, 100_000: limit,
	} {
		if got := spaced(50*time.Millisecond, n, limit); got != want {
			t.Errorf("of %d fetches each waits %v, want %v", n, got, want)
		}
	}
	if got := spaced(2*time.Second, 10, limit); got != 2*time.Second {
		t.Errorf("a longer pause becomes %v", got)
	}
}
