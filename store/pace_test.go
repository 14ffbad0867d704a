package store

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// A backup waits longer than it works, in no more than a second at a time, and ends when it is
// told to.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace()
		waited := func(took time.Duration, want time.Duration) {
			t.Helper()
			began := time.Now()
			if err := p.wait(t.Context(), took); err != nil || time.Since(began) != want {
				t.Errorf("after %v it waited %v, want %v: %v", took, time.Since(began), want, err)
			}
		}
		waited(time.Millisecond, 10*time.Millisecond)
		waited(200*time.Microsecond, 0) // it is made up for later
		waited(300*time.Microsecond, 5*time.Millisecond)
		waited(time.Minute, kv.MaxPause)
		began := time.Now()
		var readers sync.WaitGroup
		for range 4 {
			readers.Go(func() { _ = p.wait(t.Context(), 10*time.Millisecond) })
		}
		readers.Wait()
		if took := time.Since(began); took != 400*time.Millisecond {
			t.Errorf("four readers waited %v together", took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := p.wait(ctx, time.Second); err == nil {
			t.Error("it waits on after the end")
		}
	})
}
