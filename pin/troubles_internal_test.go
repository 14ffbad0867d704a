package pin

import (
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin/turns"
)

// The details name blocks for which other bytes came: while others are received, and beside
// the note on origins while none are.
func TestTroublesAreTold(t *testing.T) {
	now := time.Now()
	p := &Progress{now: func() time.Time { return now }}
	j := &job{progress: p, moved: now}
	turns.New(turns.Config{Places: 1}).Start(&j.Job, turns.Newest, now)
	p.SetNote("origin X is not dialled")
	p.SetTroubles("block Y: peer Z sends other bytes for it")
	if got, want := j.details(now), "origin X is not dialled; block Y: peer Z sends other bytes for it"; got != want {
		t.Errorf("before the first block it says %q", got)
	}
	p.Advance(1, true)
	if got, want := j.details(now), "receiving blocks; block Y: peer Z sends other bytes for it"; got != want {
		t.Errorf("while blocks come it says %q", got)
	}
	if got, want := j.details(now.Add(10*time.Second)), "nothing received for 10s; origin X is not dialled; block Y: peer Z sends other bytes for it"; got != want {
		t.Errorf("when none come it says %q", got)
	}
	p.SetTroubles("")
	if got := j.details(now); got != "receiving blocks" {
		t.Errorf("afterwards it says %q", got)
	}
}
