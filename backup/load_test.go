package backup_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/exchange/offline"
	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/backup"
	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// worker pins, replaces and unpins, one after the other, and remembers each step.
type worker struct {
	o     *opened
	net   *walktest.Network
	name  string
	roots []cid.Cid // of its own: a DAG is fetched once at a time
	rng   *rand.Rand
	clock *atomic.Int64 // counts the begins and ends of all workers' steps

	mu    sync.Mutex
	steps []step
}

// step is what a worker did, and what it had then.
type step struct {
	began, ended int64 // by the clock; ended is 0 while it is under way
	has          []string
}

// step runs one step, which returns what the worker has after it.
func (w *worker) step(do func(has []string) ([]string, error)) error {
	w.mu.Lock()
	has := w.steps[len(w.steps)-1].has
	w.steps = append(w.steps, step{began: w.clock.Add(1)})
	w.mu.Unlock()
	has, err := do(slices.Clone(has))
	w.mu.Lock()
	defer w.mu.Unlock()
	last := &w.steps[len(w.steps)-1]
	last.ended, last.has = w.clock.Add(1), has
	return err
}

// work pins, replaces and unpins until ctx ends. What it has is never twice the same.
func (w *worker) work(ctx context.Context) error {
	for n := 0; ctx.Err() == nil; n++ {
		root := w.roots[w.rng.IntN(len(w.roots))]
		spec := pin.Spec{CID: root.String(), Root: root, Name: w.name + " " + strconv.Itoa(n)}
		var made pin.Request
		err := w.step(func(has []string) (_ []string, err error) {
			if len(has) < 3 || w.rng.IntN(2) == 0 {
				made, err = w.o.Add(ctx, account, spec)
			} else {
				var released []pin.Attempt
				made, _, released, err = w.o.Replace(ctx, account, has[0], spec)
				has = has[1:]
				err = errors.Join(err, w.o.dropAll(ctx, released))
			}
			return append(has, made.ID), err
		})
		if err == nil {
			err = w.o.fetch(ctx, w.net, made)
		}
		if err == nil && w.has() > 6 {
			err = w.step(func(has []string) ([]string, error) { return has[1:], w.o.unpin(ctx, has[0]) })
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

func (w *worker) has() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.steps[len(w.steps)-1].has)
}

// seen gives the number of the step after which the worker had what a backup has.
func (w *worker) seen(has []string) (n int, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, s := range slices.Backward(w.steps) {
		if s.ended > 0 && slices.Equal(slices.Sorted(slices.Values(s.has)), has) {
			return i, true
		}
	}
	return 0, false
}

// at gives a step; ok is false if it did not begin.
func (w *worker) at(n int) (s step, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n >= len(w.steps) {
		return step{}, false
	}
	return w.steps[n], true
}

// A backup under load has one instant of the records, all that is pinned in it, and nothing that
// was removed before.
func TestBackupUnderLoad(t *testing.T) {
	o, p := open(t, t.TempDir()), place(t)
	roots, net := dags(45)
	ctx, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	defer load.Wait()
	defer stop()
	var clock atomic.Int64
	var workers []*worker
	for i := range 3 {
		w := &worker{
			o: o, net: net, name: fmt.Sprint("worker ", i), roots: roots[15*i : 15*i+15],
			rng: rand.New(rand.NewPCG(uint64(i), 11)), clock: &clock, steps: []step{{ended: clock.Add(1)}},
		}
		workers = append(workers, w)
		load.Go(func() {
			if err := w.work(ctx); err != nil {
				t.Errorf("%s: %v", w.name, err)
			}
		})
	}
	load.Go(func() {
		for ctx.Err() == nil {
			if _, err := o.Reclaim(ctx, nil); err != nil && ctx.Err() == nil {
				t.Errorf("reclaim: %v", err)
			}
		}
	})
	for range *loadRounds {
		before := clock.Load()
		m := run(t, o, p, nil)
		after := clock.Load()
		dir := t.TempDir()
		if done := restore(t, dir, p, nil, m.ID); len(done.Damaged) > 0 || done.Missing > 0 {
			t.Errorf("restored %+v", done)
		}
		back := open(t, dir)
		ofOneInstant(t, back, workers, before, after)
		back.verify(t)
		back.readAll(t)
		back.close()
		must(t, os.RemoveAll(dir))
		_, err := backup.Prune(t.Context(), p, nil, backup.Keep{Last: 2}, time.Now())
		must(t, err)
		if t.Failed() {
			return
		}
	}
}

// ofOneInstant checks that what a restored store has is what there was at one instant, between
// two times.
func ofOneInstant(t *testing.T, back *opened, workers []*worker, before, after int64) {
	t.Helper()
	has := map[string][]string{}
	page, err := back.Store.List(t.Context(), account, pin.Query{Statuses: pin.Statuses(), Limit: 1000})
	must(t, err)
	for _, r := range page.Requests {
		who := r.Name[:strings.LastIndexByte(r.Name, ' ')]
		has[who] = append(has[who], r.ID)
	}
	// The instant is after the begin of each step that is in the backup, and not after the end
	// of any that is not.
	earliest, latest := before, after
	for _, w := range workers {
		ids := has[w.name]
		slices.Sort(ids)
		var n int
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
			var ok bool
			if n, ok = w.seen(ids); ok { // else the step is still under way, its change being made
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s never had %v", w.name, ids)
			}
		}
		s, _ := w.at(n)
		earliest = max(earliest, s.began)
		if next, ok := w.at(n + 1); ok && next.ended > 0 {
			latest = min(latest, next.ended)
		}
	}
	if earliest > latest {
		t.Errorf("the records are not of one instant: what is there began until %d, and what is not there ended at %d", earliest, latest)
	}
	if extra := len(has) - len(workers); extra > 0 {
		t.Errorf("there are pins of %v", slices.Collect(maps.Keys(has)))
	}
}

// readAll reads all that is pinned with boxo's own reader, which knows nothing of the store's
// records.
func (o *opened) readAll(t *testing.T) {
	t.Helper()
	reader := merkledag.NewDAGService(blockservice.New(o.Blockstore(), offline.Exchange(o.Blockstore())))
	page, err := o.Store.List(t.Context(), account, pin.Query{Limit: 1000})
	must(t, err)
	for _, r := range page.Requests {
		if err := merkledag.FetchGraph(t.Context(), r.Root, reader); err != nil {
			t.Errorf("%s is pinned, and not whole: %v", r.Root, err)
		}
	}
}

// dropAll drops what was released.
func (o *opened) dropAll(ctx context.Context, released []pin.Attempt) error {
	for _, a := range released {
		if err := o.Drop(ctx, a); err != nil {
			return err
		}
	}
	return nil
}
