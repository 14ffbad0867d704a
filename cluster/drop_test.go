package cluster

import (
	"context"
	"errors"
	"testing"

	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// countedWrites counts what is made durable.
type countedWrites struct {
	datastore.Batching
	syncs int
}

func (c *countedWrites) Sync(ctx context.Context, prefix datastore.Key) error {
	c.syncs++
	return c.Batching.Sync(ctx, prefix)
}

// While no peer answers nothing is written for a drop, however often it is tried.
func TestDropWhileNoPeerAnswers(t *testing.T) {
	ds := &countedWrites{Batching: dssync.MutexWrap(datastore.NewMapDatastore())}
	f := newFront(t, 2, func(c *Config) { c.Journal = ds })
	f.content(1, 10)
	f.serve(1)
	r, j := f.pinned(alice, 1, nil)
	_, released, err := f.store.Remove(t.Context(), r.Account, r.ID)
	if err != nil || len(released) != 1 || released[0] != j.Attempt {
		t.Fatalf("released are %v, not %d: %v", released, j.Attempt, err)
	}
	for i := range 2 {
		f.c.Peer(i).Kill()
	}
	eventually(t, "the cluster is away", func() bool { return f.engine.Reachable() != nil })
	for range 3 {
		err := f.engine.Drop(t.Context(), j.Attempt, j.DAG)
		if _, away := errors.AsType[*pin.AwayError](err); !away {
			t.Errorf("it ends with %v", err)
		}
	}
	if ds.syncs != 0 {
		t.Errorf("%d times something was made durable", ds.syncs)
	}
	for i := range 2 {
		f.c.Peer(i).Start()
	}
	eventually(t, "the cluster is back", func() bool { return f.engine.Reachable() == nil })
	if err := f.engine.Drop(t.Context(), j.Attempt, j.DAG); err != nil {
		t.Error(err)
	}
	if got := f.c.Pinset(); len(got) != 0 || ds.syncs == 0 {
		t.Errorf("the pinset has %v after %d syncs", got, ds.syncs)
	}
}
