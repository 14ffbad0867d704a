package daemon

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-ipfs/holdfast/logtest"
)

// The watchdog gets reports while all is well, and none while it is not.
func TestWatchdog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var sick atomic.Bool
		var told atomic.Int32
		var lines logtest.Lines
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			watchdog(ctx, 30*time.Second,
				func(context.Context) error {
					if sick.Load() {
						return errors.New("the disk is on fire")
					}
					return nil
				},
				func(state string) {
					if state != notifyWatchdog {
						t.Errorf("told %q", state)
					}
					told.Add(1)
				},
				slog.New(slog.NewTextHandler(&lines, nil)))
		}()
		after := func(d time.Duration, want int32) {
			t.Helper()
			told.Store(0)
			time.Sleep(d)
			synctest.Wait()
			if n := told.Load(); n != want {
				t.Errorf("told %d times within %v, want %d", n, d, want)
			}
		}
		synctest.Wait()
		if n := told.Load(); n != 1 {
			t.Errorf("told %d times at once, want 1", n)
		}
		after(time.Minute, 6)
		sick.Store(true)
		after(time.Minute, 0)
		if n := strings.Count(lines.String(), "the disk is on fire"); n != 1 {
			t.Errorf("logged %d times why, want 1", n)
		}
		sick.Store(false)
		after(time.Minute, 6)
		cancel()
		<-ended
	})
}
