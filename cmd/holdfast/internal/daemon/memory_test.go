package daemon

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// After a burst, memory is given back once, if there is enough of it.
func TestTrim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		const floor = 40 << 20
		var moved, held atomic.Uint64
		var trims atomic.Int64
		held.Store(floor)
		tr := &trimmer{moved: moved.Load, held: held.Load, trim: func() { trims.Add(1); held.Store(floor) }}
		go tr.run(ctx)
		after := func(what string, d time.Duration, want int64) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			if got := trims.Load(); got != want {
				t.Errorf("%s: given back %d times, want %d", what, got, want)
			}
		}
		synctest.Wait()
		held.Store(1 << 30)
		after("nothing happened", time.Minute, 0)
		for range 6 {
			moved.Add(100 << 20)
			after("busy", trimLook, 0)
		}
		after("idle", trimLook, 1)
		held.Store(1 << 30)
		after("the database was not done", trimLook, 2)
		after("idle for long", time.Minute, 2)
		held.Store(1 << 30)
		after("idle for longer", time.Hour, 2)
		for range 100 {
			moved.Add(10 << 10)
			after("a little to do", trimLook, 2)
		}
		held.Store(floor)
		moved.Add(100 << 20)
		held.Store(floor + trimMin - 1)
		after("a small burst", 2*trimLook, 2)
		held.Store(floor + trimMin)
		after("which left something after all", trimLook, 3)
	})
}

// The memory of this process is measured, and giving it back makes it less.
func TestHeldMemory(t *testing.T) {
	const size = 256 << 20
	tr := newTrimmer(nil)
	tr.trim()
	before := tr.held()
	b := make([]byte, size)
	for i := 0; i < len(b); i += 4096 {
		b[i] = 1
	}
	if got := tr.held(); got < before+size/2 {
		t.Errorf("%d bytes are held, and were %d before %d were used", got, before, size)
	}
	runtime.KeepAlive(b)
	tr.trim()
	if got := tr.held(); got >= before+size/2 {
		t.Errorf("%d bytes are held after all was given back, and were %d before", got, before)
	}
}
