package node

import (
	"context"
	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"
	"testing"
	"time"
)

// What was found on disk alone does not keep a worker for what is not there.
func TestNoWorkerIsKeptForNothing(t *testing.T) {
	all := dagtest.Tree(dagtest.Leaves(50, 100), 10)
	store := walktest.NewStore(t, all[1:]...)
	n := newTestNode(t, store)
	job := newJob(dagtest.Last(all))
	done, result := start(t.Context(), n, job)
	slot := job.Slot.(*testSlot)
	began := time.Now()
	eventually(t, "the worker is given back", func() bool {
		held, acquired, released := slot.state()
		return !held && acquired > 0 && released > 0
	})
	if took := time.Since(began); took > job.IdleTimeout/2 {
		t.Errorf("it took %v", took)
	}
	count, _ := dagtest.Distinct(all)
	if got := job.Progress.Blocks.Load(); got != uint64(count-1) {
		t.Errorf("%d blocks are here, and %d of %d should be", got, count-1, count)
	}
	newSource(t, all[0]).connect(t, n)
	if _, err := wait(t, done, result); err != nil {
		t.Fatal(err)
	}
	store.CheckWhole(1, all)
	if _, acquired, _ := slot.state(); acquired < 2 {
		t.Errorf("the last block was handled without a worker")
	}
}

// A worker that is taken back and given again costs time and nothing else.
func TestWorkersTakeTurns(t *testing.T) {
	all := dagtest.Tree(dagtest.Leaves(500, 100), 20)
	store := walktest.NewStore(t)
	n := newTestNode(t, store)
	job := newJob(dagtest.Last(all), newSource(t, all...).addr())
	job.Slot = &turnSlot{}
	done, result := start(t.Context(), n, job)
	if _, err := wait(t, done, result); err != nil {
		t.Fatal(err)
	}
	store.CheckWhole(1, all)
	if count, _ := dagtest.Distinct(all); store.Stored() != count {
		t.Errorf("%d blocks were stored, the DAG has %d", store.Stored(), count)
	}
}

// turnSlot makes every two hundredth block wait for longer than a want is given.
type turnSlot struct{ n int }

func (s *turnSlot) Acquire(ctx context.Context) error {
	if s.n++; s.n%200 != 0 {
		return nil
	}
	select {
	case <-time.After(1200 * time.Millisecond):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *turnSlot) Release() {}
