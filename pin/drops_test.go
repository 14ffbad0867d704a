package pin_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// WaitUnpinned waits for everything that was unpinned before it was called, however long the
// disk fails, and for nothing that is unpinned later.
func TestWaitUnpinned(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		for n := range 3 {
			r.net.set(dag(n), content{blocks: 2})
		}
		first := r.after(time.Second, r.add(alice, 0), pin.Pinned)
		second := r.after(time.Second, r.add(alice, 1), pin.Pinned)
		fetched := r.after(time.Second, r.add(alice, 9), pin.Pinning) // nobody has it
		if err := r.WaitUnpinned(r.t.Context()); err != nil {
			r.t.Errorf("with nothing to wait for: %v", err)
		}
		failing := func(method string) error {
			if method == "Drop" {
				return errors.New("input/output error")
			}
			return nil
		}
		remove := func(v pin.View) {
			if err := r.Remove(r.t.Context(), alice, v.ID); err != nil {
				r.t.Error(err)
			}
		}
		r.recs.SetFault(failing)
		remove(first)
		remove(fetched)
		done := make(chan error, 1)
		go func() { done <- r.WaitUnpinned(r.t.Context()) }()
		time.Sleep(time.Minute)
		synctest.Wait()
		select {
		case err := <-done:
			r.t.Errorf("it ended while nothing is let go of: %v", err)
		default:
		}
		ctx, cancel := context.WithTimeout(r.t.Context(), time.Second)
		defer cancel()
		if err := r.WaitUnpinned(ctx); !errors.Is(err, context.DeadlineExceeded) {
			r.t.Errorf("with a context that ends: %v", err)
		}
		r.recs.SetFault(nil)
		if err := <-done; err != nil {
			r.t.Error(err)
		}
		if n := r.dropped(); n < 2 {
			r.t.Errorf("%d attempts were dropped, want 2", n)
		}

		r.recs.SetFault(failing)
		remove(second)
		go func() { done <- r.WaitUnpinned(r.t.Context()) }()
		synctest.Wait()
		if err := r.Close(); err != nil {
			r.t.Error(err)
		}
		if err := <-done; !errors.Is(err, pin.ErrClosed) {
			r.t.Errorf("when it closes: %v", err)
		}
		// It is left for the next manager.
		r.start()
		go func() { done <- r.WaitUnpinned(r.t.Context()) }()
		synctest.Wait()
		r.recs.SetFault(nil)
		if err := <-done; err != nil {
			r.t.Error(err)
		}
	})
}

// A full disk ends the wait, since only a reclaim can make room. What was unpinned is dropped
// soon after that.
func TestWaitUnpinnedOnAFullDisk(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		r.net.set(dag(1), content{blocks: 2})
		v := r.after(time.Second, r.add(alice, 1), pin.Pinned)
		r.recs.SetFault(func(method string) error {
			if method == "Drop" {
				return pin.ErrDiskFull
			}
			return nil
		})
		if err := r.Remove(r.t.Context(), alice, v.ID); err != nil {
			r.t.Error(err)
		}
		time.Sleep(time.Hour)
		began := time.Now()
		if err := r.WaitUnpinned(r.t.Context()); !errors.Is(err, pin.ErrDiskFull) {
			r.t.Errorf("on a full disk: %v", err)
		}
		r.recs.SetFault(nil)
		if err := r.WaitUnpinned(r.t.Context()); err != nil {
			r.t.Error(err)
		}
		if took := time.Since(began); took > 20*time.Second {
			r.t.Errorf("it took %v", took)
		}
		if n := len(r.logged("drop what was unpinned")); n != 1 {
			r.t.Errorf("%d lines of log tell of it", n)
		}
	})
}

// WaitUnpinned also waits for attempts of which the manager does not know yet that they are
// released.
func TestWaitUnpinnedReadsWhatIsReleased(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		r.net.set(dag(1), content{blocks: 2})
		v := r.after(time.Second, r.add(alice, 1), pin.Pinned)
		if _, _, err := r.recs.Remove(r.t.Context(), alice, v.ID); err != nil { // past the manager
			r.t.Error(err)
		}
		if err := r.WaitUnpinned(r.t.Context()); err != nil {
			r.t.Error(err)
		}
		if n := r.dropped(); n != 1 {
			r.t.Errorf("%d attempts were dropped, want 1", n)
		}
	})
}

// While the place is away one attempt is tried at a time, each in its turn, and it is logged once.
func TestDropsWhileThePlaceIsAway(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		var all []pin.View
		for n := range 3 {
			r.net.set(dag(n), content{blocks: 2})
			all = append(all, r.after(time.Second, r.add(alice, n), pin.Pinned))
		}
		tries := 0
		back := time.Now().Add(time.Minute)
		r.recs.SetFault(func(method string) error {
			if method != "Drop" {
				return nil
			}
			if tries++; time.Now().Before(back) || tries%2 == 0 { // then it takes some
				return fmt.Errorf("unpin: %w", &pin.AwayError{Reason: "the place does not answer"})
			}
			return nil
		})
		for _, v := range all {
			if err := r.Remove(r.t.Context(), alice, v.ID); err != nil {
				r.t.Error(err)
			}
		}
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if tries > 10 { // one each 5 s, and one for each removal
			r.t.Errorf("it is tried %d times", tries)
		}
		if n := len(r.logged("drop what was unpinned")); n != 1 {
			r.t.Errorf("%d lines of log tell of it", n)
		}
		if err := r.WaitUnpinned(r.t.Context()); err != nil {
			r.t.Error(err)
		}
	})
}
