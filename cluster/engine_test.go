package cluster

import (
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/cluster/clustertest"
	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
	"github.com/holdfast-ipfs/holdfast/store"
)

// A cluster is an engine.
func TestEngine(t *testing.T) {
	pintest.RunEngine(t, func(t *testing.T) pintest.EngineRig {
		f := &front{t: t, c: clustertest.New(t, 3), dir: t.TempDir()}
		f.start()
		t.Cleanup(f.stop)
		return pintest.EngineRig{
			Records: f.store, Engine: f.engine,
			Content: f.content,
			Serve: func(n int, all bool) {
				is := f.totals(n)
				f.c.Serve(f.cid(n), clustertest.Content{Blocks: is.Blocks, Bytes: is.Bytes, All: all})
			},
			Kept: func(n int) (all, some bool) {
				copies := f.c.Copies(f.cid(n))
				return copies >= 2, copies > 0
			},
			Fill: func(full bool) {
				for i := range 3 {
					f.c.Peer(i).Fill(full)
				}
			},
			Restart: func() (pin.Records, pin.Engine) {
				f.stop()
				f.start()
				return f.store, f.engine
			},
		}
	})
}

// front is an engine over a fake cluster, with a store on disk for its records.
type front struct {
	t      *testing.T
	c      *clustertest.Cluster
	dir    string
	change func(*Config) // nil changes nothing
	lock   *store.DirLock
	store  *store.Store
	engine *Engine

	mu   sync.Mutex
	dags map[int]dag
}

type dag struct {
	spec   pin.Spec
	totals pin.Totals
}

// instance names the server in tests.
const instance = "3f0c1ab2-0000-4000-8000-000000000001"

func newFront(t *testing.T, peers int, change func(*Config)) *front {
	t.Helper()
	f := &front{t: t, c: clustertest.New(t, peers), dir: t.TempDir(), change: change}
	f.start()
	t.Cleanup(f.stop)
	return f
}

func (f *front) start() {
	f.t.Helper()
	var err error
	if f.lock, err = store.Lock(f.dir); err != nil {
		f.t.Fatal(err)
	}
	if f.store, err = store.Open(f.t.Context(), f.lock, store.Config{Logger: slog.New(slog.DiscardHandler)}); err != nil {
		f.t.Fatal(err)
	}
	cfg := Config{
		Peers: f.c.URLs(), Nodes: f.c.NodeURLs(), Instance: instance, Replication: pin.Replication{Min: 2, Max: 3},
		LookEvery: 20 * time.Millisecond, PollMin: time.Millisecond, PollMax: 20 * time.Millisecond,
		Logger: slog.New(slog.DiscardHandler),
	}
	if cfg.Life.Newest, err = f.store.NewestRequest(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
	if f.change != nil {
		f.change(&cfg)
	}
	if f.engine, err = New(f.t.Context(), cfg, f.store); err != nil {
		f.t.Fatal(err)
	}
}

func (f *front) stop() {
	for _, stop := range []func() error{f.engine.Close, f.store.Close, f.lock.Close} {
		if err := stop(); err != nil {
			f.t.Error(err)
		}
	}
}

func (f *front) content(n, blocks int) (pin.Spec, pin.Totals) {
	root := dagtest.Raw(fmt.Sprintf("root of DAG %d", n)).Cid()
	d := dag{pin.Spec{CID: root.String(), Root: root}, pin.Totals{Blocks: uint64(blocks), Bytes: uint64(100 * blocks)}}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dags == nil {
		f.dags = make(map[int]dag)
	}
	f.dags[n] = d
	return d.spec, d.totals
}

func (f *front) totals(n int) pin.Totals {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dags[n].totals
}

// cid is that of the n-th DAG as the cluster is told it.
func (f *front) cid(n int) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dags[n].spec.DAG().CID().String()
}
