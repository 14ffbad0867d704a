package denylist

import (
	"bytes"
	"context"
	"iter"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
)

// fakeRules deny some blocks.
type fakeRules struct {
	mu   sync.Mutex
	deny map[string]bool // by multihash
	next chan struct{}
}

func (r *fakeRules) set(cs ...cid.Cid) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deny = make(map[string]bool)
	for _, c := range cs {
		r.deny[string(c.Hash())] = true
	}
	close(r.next)
	r.next = make(chan struct{})
}

func (r *fakeRules) Denied(c cid.Cid) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.deny[string(c.Hash())] {
		return pin.ErrDenied
	}
	return nil
}

func (r *fakeRules) DeniedPath(string) error { return nil }
func (r *fakeRules) Empty() bool             { return false }
func (r *fakeRules) Run(ctx context.Context) { <-ctx.Done() }

func (r *fakeRules) Changes() (uint64, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return 0, r.next
}

// largeStore has blocks, each of one DAG, and takes an hour to go through them.
type largeStore struct {
	blocks []cid.Cid
	looks  atomic.Int64 // that have begun
	runs   atomic.Int64 // now
}

func (s *largeStore) BlocksHeld(ctx context.Context) iter.Seq2[multihash.Multihash, error] {
	return func(yield func(multihash.Multihash, error) bool) {
		s.looks.Add(1)
		s.runs.Add(1)
		defer s.runs.Add(-1)
		for _, c := range s.blocks {
			if !yield(c.Hash(), nil) {
				return
			}
		}
		select {
		case <-time.After(time.Hour):
		case <-ctx.Done():
			yield(nil, ctx.Err())
		}
	}
}

func (s *largeStore) AboveBlock(_ context.Context, h multihash.Multihash) (graph.Above, error) {
	return graph.Above{DAGs: []pin.DAG{pin.DAGOf(cid.NewCidV1(cid.DagProtobuf, h))}}, nil
}

// A change of the lists while it is looked through all blocks counts at once: walks
// begin again, and so does the look.
func TestDenialsChangeWhileLooking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := dagtest.Raw("one").Cid(), dagtest.Raw("two").Cid()
		rules, blocks := &fakeRules{next: make(chan struct{})}, &largeStore{blocks: []cid.Cid{one, two}}
		log := new(bytes.Buffer)
		d := &Denials{List: rules, store: blocks, log: slog.New(slog.NewTextHandler(log, nil)), next: make(chan struct{})}
		rules.set(one)
		ctx, cancel := context.WithCancel(t.Context())
		var told atomic.Int64
		done := make(chan struct{})
		go func() {
			defer close(done)
			d.Watch(ctx, func() { told.Add(1) })
		}()
		time.Sleep(time.Minute) // in the midst of a look
		_, next := d.Changes()
		rules.set(two)
		synctest.Wait()
		select {
		case <-next:
		default:
			t.Error("walks do not begin again")
		}
		if told.Load() != 1 || blocks.looks.Load() != 2 || blocks.runs.Load() != 1 {
			t.Errorf("%d times it was told, %d looks have begun, %d run", told.Load(), blocks.looks.Load(), blocks.runs.Load())
		}
		dag := func(c cid.Cid) pin.DAG { return pin.DAGOf(cid.NewCidV1(cid.DagProtobuf, c.Hash())) }
		time.Sleep(time.Hour)
		synctest.Wait()
		if _, denied := d.DeniedBelow(dag(two)); !denied {
			t.Error("what is denied is not found")
		}
		if _, denied := d.DeniedBelow(dag(one)); denied {
			t.Error("what is not denied any more is found")
		}
		if n := strings.Count(log.String(), "a pin has a block"); n != 1 {
			t.Errorf("the log has\n%s", log)
		}
		if told.Load() != 2 {
			t.Errorf("%d times it was told", told.Load())
		}
		cancel()
		<-done
	})
}
