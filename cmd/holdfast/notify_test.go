package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// The watchdog is fed while all is well, no more when it is not, and again
// when it is.
func TestWatchdog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var sick error
		told := 0
		var lines logLines
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			watchdog(ctx, 30*time.Second,
				func(context.Context) error { return sick },
				func(state string) {
					if state != notifyWatchdog {
						t.Errorf("told %q", state)
					}
					told++
				},
				slog.New(slog.NewTextHandler(&lines, nil)))
		}()
		after := func(d time.Duration, want int) {
			t.Helper()
			told = 0
			time.Sleep(d)
			synctest.Wait()
			if told != want {
				t.Errorf("told %d times within %v, want %d", told, d, want)
			}
		}
		synctest.Wait()
		if told != 1 {
			t.Errorf("told %d times at once, want 1", told)
		}
		after(time.Minute, 6)
		sick = errors.New("the disk is on fire")
		after(time.Minute, 0)
		if n := strings.Count(lines.String(), "the disk is on fire"); n != 1 {
			t.Errorf("logged %d times why, want 1", n)
		}
		sick = nil
		after(time.Minute, 6)
		cancel()
		<-ended
	})
}
