package pin

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// A gate that is shut stops the run that got through, and waits until that has left. Others
// wait until every call that shut the gate has opened it.
func TestGates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const d, other = DAG("d"), DAG("other")
		g := newGates()
		run, stop := context.WithCancelCause(t.Context())
		leave, err := g.pass(run, d, stop)
		if err != nil {
			t.Fatal(err)
		}
		var shut atomic.Int32
		for range 2 {
			go func() {
				g.shut(d)
				shut.Add(1)
			}()
		}
		synctest.Wait()
		if shut.Load() != 0 {
			t.Error("shut returned while the run goes on")
		}
		if !errors.Is(context.Cause(run), errRecheck) {
			t.Errorf("the run is stopped with %v", context.Cause(run))
		}
		leave()
		synctest.Wait()
		if shut.Load() != 2 {
			t.Errorf("%d calls of shut returned", shut.Load())
		}

		if _, err := g.pass(t.Context(), other, stop); err != nil {
			t.Errorf("another DAG: %v", err)
		}
		passed := false
		go func() {
			if _, err := g.pass(t.Context(), d, stop); err == nil {
				passed = true
			}
		}()
		ended, end := context.WithCancelCause(t.Context())
		end(errEvicted)
		if _, err := g.pass(ended, d, end); !errors.Is(err, errEvicted) {
			t.Errorf("a run that ends at the gate: %v", err)
		}
		g.open(d)
		synctest.Wait()
		if passed {
			t.Error("a run passed a gate that was shut twice and opened once")
		}
		g.open(d)
		synctest.Wait()
		if !passed {
			t.Error("no run passes the open gate")
		}
	})
}
