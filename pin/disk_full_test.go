package pin_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// It is logged, now and then, that pins and removals are refused because the disk is full,
// and once when there is space again.
func TestFullDiskIsLogged(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		v := r.add(alice, 1)
		full := &pin.DiskFullError{Free: 1, Kept: 2, Upkeep: true}
		r.recs.SetFault(func(method string) error {
			if method == "Add" || method == "Remove" || method == "Room" {
				return full
			}
			return nil
		})
		for range 100 {
			if err := r.Remove(t.Context(), alice, v.ID); !errors.Is(err, pin.ErrDiskFull) {
				t.Fatalf("a removal: %v", err)
			}
			if _, err := r.Add(t.Context(), alice, pin.Spec{CID: v.CID, Root: v.Root}); !errors.Is(err, pin.ErrDiskFull) {
				t.Fatalf("a pin: %v", err)
			}
		}
		for _, text := range []string{"removals are refused", "pins are refused"} {
			if lines := r.logged(text); len(lines) != 1 || !strings.Contains(lines[0], "level=WARN") {
				t.Errorf("the log has %q", lines)
			}
		}
		time.Sleep(time.Minute)
		if lines := r.logged("there is room"); len(lines) != 0 {
			t.Errorf("there is no room, and the log has %q", lines)
		}
		r.recs.SetFault(nil)
		time.Sleep(10 * time.Second)
		if lines := r.logged("there is room on the disk again"); len(lines) != 1 {
			t.Errorf("the log has %q", lines)
		}
		if err := r.Remove(t.Context(), alice, v.ID); err != nil {
			t.Errorf("a removal when there is room: %v", err)
		}
	})
}

// That there is room again is not logged while a pin waits for more of it than a new
// request needs.
func TestRoomForNewPinsIsNotRoomForAll(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		r.net.set(dag(1), content{blocks: 2})
		r.net.mu.Lock()
		r.net.full = true
		r.net.mu.Unlock()
		v := r.add(alice, 1)
		synctest.Wait()
		r.WarnFull(&pin.DiskFullError{Free: 1, Kept: 2})
		r.after(time.Minute, v, pin.Pinning)
		if lines := r.logged("there is room"); len(lines) != 0 || r.Blocked() != 1 {
			t.Errorf("%d pins wait for room, and the log has %q", r.Blocked(), lines)
		}
		r.net.mu.Lock()
		r.net.full = false
		r.net.mu.Unlock()
		r.after(10*time.Minute, v, pin.Pinned)
		if lines := r.logged("there is room on the disk again"); len(lines) != 1 {
			t.Errorf("the log has %q", lines)
		}
	})
}

// A run that ends because its request was removed is not counted as interrupted, whatever
// call met the end.
func TestRemovedIsNotInterrupted(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		var v pin.View
		begun := make(chan struct{})
		removed := false
		r.recs.SetFault(func(method string) error {
			if method != "Begin" || removed {
				return nil
			}
			removed = true
			<-begun
			if err := r.Remove(t.Context(), alice, v.ID); err != nil {
				t.Errorf("remove: %v", err)
			}
			return fmt.Errorf("read key 1: %w", context.Canceled)
		})
		v = r.add(alice, 1)
		close(begun)
		synctest.Wait()
		time.Sleep(time.Minute)
		if lines := r.logged("pin interrupted"); len(lines) != 0 {
			t.Errorf("the log has %q", lines)
		}
		if n := r.Stats().Interrupted; n != 0 {
			t.Errorf("%d interruptions are counted", n)
		}
	})
}
