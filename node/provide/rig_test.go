package provide

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
	dssync "github.com/ipfs/go-datastore/sync"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/logtest"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// rootOf makes a root that nobody else has.
func rootOf(n int) pin.DAG {
	h, err := multihash.Sum(binary.BigEndian.AppendUint64([]byte("root"), uint64(n)), multihash.SHA2_256, -1)
	if err != nil {
		panic(err)
	}
	return pin.DAGOf(cid.NewCidV1(cid.DagProtobuf, h))
}

func rootsOf(n int) (all []pin.DAG) {
	for i := range n {
		all = append(all, rootOf(i))
	}
	return all
}

func hashOf(d pin.DAG) multihash.Multihash { return d.CID().Hash() }

// pins is what is pinned.
type pins struct {
	mu   sync.Mutex
	dags map[pin.DAG]bool
	err  error   // of the next calls
	bad  pin.DAG // its record cannot be read
}

func (p *pins) set(on bool, ds ...pin.DAG) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range ds {
		if on {
			p.dags[d] = true
		} else {
			delete(p.dags, d)
		}
	}
}

func (p *pins) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

func (p *pins) complete(_ context.Context, d pin.DAG) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d == p.bad {
		return false, fmt.Errorf("look for a root: %w", pin.ErrUnreadable)
	}
	return p.dags[d], p.err
}

func (p *pins) roots(context.Context) iter.Seq2[pin.DAG, error] {
	p.mu.Lock()
	defer p.mu.Unlock()
	all, err, bad := slices.Sorted(maps.Keys(p.dags)), p.err, p.bad
	return func(yield func(pin.DAG, error) bool) {
		for _, d := range all {
			if d != bad && !yield(d, nil) {
				return
			}
		}
		if err != nil {
			yield("", err)
		}
	}
}

// rig is a provider in a simulated network, in a bubble of its own time.
type rig struct {
	t    *testing.T
	net  *network
	pins *pins
	ds   datastore.Batching
	log  *logtest.Buffer
	cfg  Config
	*Provider
}

// bubble runs a test with a network of some peers.
func bubble(t *testing.T, peers int, f func(*rig)) {
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, net: newNetwork(peers), pins: &pins{dags: make(map[pin.DAG]bool)}, log: new(logtest.Buffer),
			ds: dssync.MutexWrap(datastore.NewMapDatastore())}
		r.cfg = Config{
			Networks: []Network{r.net.network("wan")},
			Roots:    r.pins.roots,
			Complete: r.pins.complete,
			Logger:   slog.New(slog.NewTextHandler(r.log, nil)),
		}
		defer r.close()
		f(r)
	})
}

// start starts a provider on what the last one left.
func (r *rig) start() {
	r.t.Helper()
	r.cfg.Datastore = r.ds
	p, err := New(r.cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	r.Provider = p
}

func (r *rig) close() {
	r.t.Helper()
	if r.Provider == nil {
		return
	}
	if err := r.Close(); err != nil {
		r.t.Error(err)
	}
	r.Provider = nil
}

// kill ends the provider without its saying anything to the datastore.
func (r *rig) kill() {
	r.t.Helper()
	ds := datastore.NewMapDatastore()
	for e, err := range datastore.QueryIter(context.Background(), r.ds, query.Query{}) {
		if err != nil {
			r.t.Fatal(err)
		}
		if err := ds.Put(context.Background(), datastore.RawKey(e.Key), e.Value); err != nil {
			r.t.Fatal(err)
		}
	}
	r.close()
	r.ds = dssync.MutexWrap(ds)
}

// pin pins DAGs as the manager does.
func (r *rig) pin(ds ...pin.DAG) {
	r.pins.set(true, ds...)
	for _, d := range ds {
		r.Announce(d)
	}
}

func (r *rig) unpin(ds ...pin.DAG) {
	r.pins.set(false, ds...)
	for _, d := range ds {
		r.Withdraw(d)
	}
}

// wait lets time pass.
func (r *rig) wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// told fails unless exactly those who should keep each key were told of it so
// many times.
func (r *rig) told(times int, keys ...multihash.Multihash) {
	r.t.Helper()
	for i, k := range keys {
		if least, sum := r.net.times(k); least != times || sum != times*replicas {
			r.t.Fatalf("key %d of %d was told %d times to each, %d in all; want %d and %d", i, len(keys), least, sum, times, times*replicas)
		}
	}
}

func (r *rig) stats() Stats {
	r.t.Helper()
	s, err := r.Stats(context.Background())
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

func hashes(ds []pin.DAG) (all []multihash.Multihash) {
	for _, d := range ds {
		all = append(all, hashOf(d))
	}
	return all
}
