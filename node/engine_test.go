package node

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"

	blocks "github.com/ipfs/go-block-format"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
	"github.com/holdfast-ipfs/holdfast/store"
)

// A node with a store is an engine.
func TestEngine(t *testing.T) {
	pintest.RunEngine(t, func(t *testing.T) pintest.EngineRig {
		m := &machine{t: t, dir: t.TempDir(), src: newSource(t)}
		m.start()
		t.Cleanup(m.stop)
		return pintest.EngineRig{
			Records: m.store, Engine: m.node, Origins: []string{m.src.addr()},
			Content: m.content, Serve: m.serve, Blocks: m.blocks, Kept: m.kept, Fill: m.full.Store,
			Restart: func() (pin.Records, pin.Engine) {
				m.stop()
				m.start()
				return m.store, m.node
			},
		}
	})
}

// machine is a node with a store on disk, and a peer that has blocks.
type machine struct {
	t     *testing.T
	dir   string
	src   *source
	full  atomic.Bool // the disk
	lock  *store.DirLock
	store *store.Store
	node  *Node

	mu   sync.Mutex
	dags map[int][]blocks.Block
}

func (m *machine) start() {
	m.t.Helper()
	var err error
	if m.lock, err = store.Lock(m.dir); err != nil {
		m.t.Fatal(err)
	}
	const reserve = 256 << 20 // a store's own
	m.store, err = store.Open(m.t.Context(), m.lock, store.Config{
		Reserve: reserve, MinFreeSpace: 2 * reserve, Logger: slog.New(slog.DiscardHandler),
		FreeSpace: func(string) (uint64, error) {
			if m.full.Load() {
				return reserve + reserve/2, nil // enough to let go, not for anything new
			}
			return 100 * reserve, nil
		},
	})
	if err != nil {
		m.t.Fatal(err)
	}
	m.node, err = New(m.t.Context(), Config{Listen: []string{"/ip4/127.0.0.1/tcp/0"}, AllowPrivateAddresses: true}, m.store)
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) stop() {
	for _, stop := range []func() error{m.node.Close, m.store.Close, m.lock.Close} {
		if err := stop(); err != nil {
			m.t.Error(err)
		}
	}
}

func (m *machine) dag(n int) []blocks.Block {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dags[n]
}

func (m *machine) content(n, count int) (pin.Spec, pin.Totals) {
	leaves := make([]blocks.Block, count)
	for i := range leaves {
		leaves[i] = dagtest.Raw(fmt.Sprintf("leaf %d of DAG %d", i, n))
	}
	all := dagtest.Tree(leaves, 8)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dags == nil {
		m.dags = make(map[int][]blocks.Block)
	}
	m.dags[n] = all
	root := dagtest.Last(all)
	number, size := dagtest.Distinct(all)
	return pin.Spec{CID: root.String(), Root: root}, pin.Totals{Blocks: uint64(number), Bytes: uint64(size)}
}

func (m *machine) blocks(n int) (all []pintest.Block) {
	for _, b := range m.dag(n) {
		all = append(all, pintest.Block{CID: b.Cid(), Data: b.RawData()})
	}
	return all
}

func (m *machine) serve(n int, all bool) {
	bs := m.dag(n)
	if !all {
		bs = bs[len(bs)-1:]
	}
	m.src.add(m.t, bs...)
}

func (m *machine) kept(n int) (all, some bool) {
	m.t.Helper()
	if _, err := m.store.Reclaim(m.t.Context(), nil); err != nil {
		m.t.Fatal(err)
	}
	all = true
	for _, b := range m.dag(n) {
		has, err := m.store.Blockstore().Has(m.t.Context(), b.Cid())
		if err != nil {
			m.t.Fatal(err)
		}
		all, some = all && has, some || has
	}
	return all, some
}
