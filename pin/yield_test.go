package pin_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
)

// While a client waits for its request to become durable, turns begin at a pace. They go on all the same, and
// faster once it has its answer.
func TestTurnsYieldToClients(t *testing.T) {
	const every, n = 5 * time.Millisecond, 100
	run(t, pin.Config{Yield: every}, func(r *rig) {
		answer := make(chan struct{})
		var asked atomic.Bool
		r.recs.SetFault(func(m string) error {
			if m == "Add" && asked.CompareAndSwap(false, true) {
				<-answer
			}
			return nil
		})
		began := time.Now()
		waits := make(chan error)
		go func() {
			_, err := r.Add(r.t.Context(), bob, pintest.DAGSpec(n))
			waits <- err
		}()
		synctest.Wait()
		for i := range n {
			r.add(alice, i)
		}
		time.Sleep(50 * time.Millisecond)
		synctest.Wait()
		paced := int(time.Since(began) / every)
		if got := r.net.walks(); got < paced/2 || got > paced+20 || got >= n {
			t.Errorf("while a client waits %d of %d turns begin in %v", got, n, time.Since(began))
		}
		close(answer)
		if err := <-waits; err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
		synctest.Wait()
		if got := r.net.walks(); got != n+1 {
			t.Errorf("then %d of %d have begun", got, n+1)
		}
	})
}
