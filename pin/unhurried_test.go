package pin_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
)

// An account that makes more than one request a millisecond is slowed down. It is refused
// only if it makes too many at the same time for that to help.
func TestUnhurried(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		const many, clients = 2500, 8
		began := time.Now()
		var wg sync.WaitGroup
		for c := range clients {
			wg.Go(func() {
				for n := c; n < many; n += clients {
					r.add(alice, n)
				}
			})
		}
		wg.Wait()
		if took := time.Since(began); took < time.Second || took > 3*time.Second {
			t.Errorf("%d requests took %v", many, took)
		}
	})
	run(t, pin.Config{}, func(r *rig) {
		r.recs.SetFault(func(m string) error {
			if m == "Add" {
				return pin.ErrTooFast
			}
			return nil
		})
		began := time.Now()
		_, err := r.Add(r.t.Context(), alice, pintest.DAGSpec(1))
		if took := time.Since(began); !errors.Is(err, pin.ErrTooFast) || took > 3*time.Second {
			t.Errorf("%v after %v", err, took)
		}
		r.recs.SetFault(nil)
	})
}
