package graph_test

import (
	"context"
	"sync"
	"testing"
	"time"

	blocks "github.com/ipfs/go-block-format"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
)

// asks says that a change waits for the committer, which looks then whether the context has ended.
type asks struct {
	context.Context
	waits chan<- struct{}
}

func (a asks) Done() <-chan struct{} {
	a.waits <- struct{}{}
	return nil
}

// Badger syncs each commit. So small batches of many walks that wait at the same time are one, also
// with changes of records; a large one waits for none of them.
func TestSmallBatchesShareACommit(t *testing.T) {
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{})
	started, end := make(chan struct{}), make(chan struct{})
	var calls sync.WaitGroup
	calls.Go(func() {
		if err := s.KV.Update(t.Context(), func(*kv.Tx) error {
			close(started)
			<-end
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
	<-started
	before := s.Badger.MaxVersion()
	must(t, roomtest.PutTo(s, t.Context(), 100, roomtest.SomeBlocks(1, 1, 256<<10)))
	if commits := s.Badger.MaxVersion() - before; commits != 1 {
		t.Errorf("a large batch took %d commits", commits)
	}

	before = s.Badger.MaxVersion()
	const n = 50
	waits := make(chan struct{})
	for i := range uint64(n) {
		calls.Go(func() {
			if err := roomtest.PutTo(s, asks{t.Context(), waits}, pin.Attempt(i+1), roomtest.SomeBlocks(i+10, 1, 1<<10)); err != nil {
				t.Error(err)
			}
		})
	}
	for range n {
		<-waits
	}
	close(end)
	calls.Wait()
	if commits := s.Badger.MaxVersion() - before; commits != 1 {
		t.Errorf("%d small batches took %d commits", n, commits)
	}
	for i := range uint64(n) {
		wantReferences(t, s, pin.Attempt(i+1), roomtest.SomeBlocks(i+10, 1, 1<<10)...)
	}
}

// After a write others are expected for a moment, whatever the clock does then.
func TestBusy(t *testing.T) {
	now := time.UnixMilli(1_772_366_400_000)
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{Now: func() time.Time { return now }})
	busy := func(want bool) {
		t.Helper()
		if s.Graph.Busy() != want {
			t.Errorf("busy is %v at %v", !want, now)
		}
	}
	busy(false)
	must(t, roomtest.PutTo(s, t.Context(), 1, []blocks.Block{blocks.NewBlock([]byte("block"))}))
	busy(true)
	now = now.Add(time.Second)
	busy(false)
	now = now.Add(-time.Hour)
	busy(false)
}
