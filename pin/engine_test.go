package pin_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
)

// The engine of the manager's tests keeps the contract that real engines keep.
func TestFakeEngine(t *testing.T) {
	pintest.RunEngine(t, func(t *testing.T) pintest.EngineRig {
		net := newNetwork(t)
		recs := pintest.NewRecords(time.Now)
		net.number = func(ctx context.Context) (pin.Attempt, error) { return recs.NewUpload(ctx) }
		var blocks sync.Map // how many the n-th DAG has
		return pintest.EngineRig{
			Records: recs, Engine: net,
			Content: func(n, count int) (pin.Spec, pin.Totals) {
				blocks.Store(n, count)
				return pintest.DAGSpec(n), pin.Totals{Blocks: uint64(count), Bytes: uint64(count) * 100}
			},
			Serve: func(n int, all bool) {
				count, _ := blocks.Load(n)
				c := content{blocks: count.(int)}
				if !all {
					c.serve = 1
				}
				net.set(dag(n), c)
			},
			Blocks: func(n int) []pintest.Block {
				count, _ := blocks.Load(n)
				return uploadOf(n, count.(int))
			},
			Kept: func(n int) (all, some bool) { return net.keeps(dag(n)) },
			Fill: func(full bool) {
				net.mu.Lock()
				net.full = full
				net.mu.Unlock()
				net.setFault(func(string) error { return nil })
				if full {
					net.setFault(func(string) error { return pin.ErrDiskFull })
				}
			},
			Restart: func() (pin.Records, pin.Engine) {
				recs = recs.Reopen()
				return recs, net
			},
		}
	})
}
