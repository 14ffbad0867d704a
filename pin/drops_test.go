package pin_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// Who waits for what was unpinned waits for all of it, however long the disk fails to
// take it, and for nothing that is unpinned later.
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
		// The next manager has it to do still.
		r.start()
		go func() { done <- r.WaitUnpinned(r.t.Context()) }()
		synctest.Wait()
		r.recs.SetFault(nil)
		if err := <-done; err != nil {
			r.t.Error(err)
		}
	})
}
