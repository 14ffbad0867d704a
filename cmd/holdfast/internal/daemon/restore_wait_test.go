package daemon

import (
	"fmt"
	"testing"
	"time"
)

// A thousand pins that get no further cost one minute together, and one that gets further is
// waited for.
func TestRestoreWaitsOnceForAll(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	p := restorePace{moved: now}
	for i := range uint64(600) { // for ten minutes a block comes each second
		now = now.Add(time.Second)
		if p.over(now, pinningAt{id: "slow", blocks: i + 1, pending: 1001}) {
			t.Fatalf("a pin that gets further was given up after %d s", i+1)
		}
	}
	for i := range 300 { // then others are pinned, while it is fetched anew
		now = now.Add(30 * time.Second)
		if p.over(now, pinningAt{id: "slow", blocks: uint64(i % 2), pending: 1000 - i/2}) {
			t.Fatal("it was given up while others got pinned")
		}
	}
	began := now
	for i := range 1000 {
		for !p.over(now, pinningAt{id: fmt.Sprint(i), blocks: 5, pending: 850}) {
			now = now.Add(time.Second)
		}
	}
	if took := now.Sub(began); took > restoreWait+time.Second {
		t.Errorf("1,000 pins that get no further took %v", took)
	}
}

// A pin that goes between queued and pinning, and fetches again what it had, gets no further.
func TestRestoreDoesNotWaitForWhatGoesRound(t *testing.T) {
	began := time.Unix(1_000_000, 0)
	now, p := began, restorePace{moved: began}
	for i := uint64(0); !p.over(now, pinningAt{id: "one", blocks: i % 3, pending: 1}); i++ {
		if now = now.Add(time.Second); now.Sub(began) > 2*restoreWait {
			t.Fatal("it is waited for without end")
		}
	}
}
