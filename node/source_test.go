package node

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/boxo/bitswap"
	"github.com/ipfs/boxo/bitswap/network/bsnet"
	"github.com/ipfs/boxo/blockstore"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// patience is how long a test waits for what should happen at once.
const patience = 30 * time.Second

// eventually polls until ok, since networks tell nobody when they are done.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("it did not happen within %v: %s", patience, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// source is a plain Bitswap node with some blocks.
type source struct {
	host  host.Host
	bs    *bitswap.Bitswap
	store blockstore.Blockstore
	once  sync.Once
}

func newTestHost(t testing.TB) host.Host {
	t.Helper()
	return newTestHostAt(t, "/ip4/127.0.0.1/tcp/0", nil)
}

// newTestHostAt is a host at an address, with a key; nil is a new one.
func newTestHostAt(t testing.TB, listen string, key crypto.PrivKey) host.Host {
	t.Helper()
	options := []libp2p.Option{libp2p.ListenAddrStrings(listen), libp2p.DisableRelay(), libp2p.DisableMetrics()}
	if key != nil {
		options = append(options, libp2p.Identity(key))
	}
	h, err := libp2p.New(options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

func newSource(t testing.TB, have ...blocks.Block) *source {
	t.Helper()
	return newSourceAt(t, newTestHost(t), have...)
}

// newSourceAt is a source on a host, which ends with it.
func newSourceAt(t testing.TB, h host.Host, have ...blocks.Block) *source {
	t.Helper()
	s := &source{
		host:  h,
		store: blockstore.NewBlockstore(dssync.MutexWrap(datastore.NewMapDatastore())),
	}
	s.bs = bitswap.New(t.Context(), bsnet.NewFromIpfsHost(s.host), nil, s.store)
	s.add(t, have...)
	t.Cleanup(s.close)
	return s
}

func (s *source) add(t testing.TB, have ...blocks.Block) {
	t.Helper()
	if err := s.store.PutMany(t.Context(), have); err != nil {
		t.Fatal(err)
	}
	if err := s.bs.NotifyNewBlocks(t.Context(), have...); err != nil {
		t.Fatal(err)
	}
}

func (s *source) close() {
	s.once.Do(func() {
		s.bs.Close()
		s.host.Close()
	})
}

// addr is where the source is to be found, for an origin.
func (s *source) addr() string { return withPeer(s.host.Addrs()[0], s.host.ID()) }

// connect dials a node, as a client dials the delegates.
func (s *source) connect(t testing.TB, n *Node) {
	t.Helper()
	ai, err := peer.AddrInfoFromString(n.Addrs()[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := s.host.Connect(t.Context(), *ai); err != nil {
		t.Fatal(err)
	}
}

// newTestNode is a node on loopback, without routing, that may dial loopback.
func newTestNode(t testing.TB, s Store, change ...func(*Config)) *Node {
	t.Helper()
	cfg := Config{
		Listen:                []string{"/ip4/127.0.0.1/tcp/0"},
		AllowPrivateAddresses: true,
	}
	for _, c := range change {
		c(&cfg)
	}
	n, err := New(t.Context(), cfg, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// testSlot is a worker that is always free, and counts.
type testSlot struct {
	mu       sync.Mutex
	held     bool
	acquired int // times it was not held before
	released int // times it was
}

func (s *testSlot) Acquire(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.held {
		s.acquired++
	}
	s.held = true
	return ctx.Err()
}

func (s *testSlot) Release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held {
		s.released++
	}
	s.held = false
}

func (s *testSlot) state() (held bool, acquired, released int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held, s.acquired, s.released
}

// newJob is a job for a root with attempt 1.
func newJob(root cid.Cid, origins ...string) pin.Job {
	var hints []pin.Origin
	for _, o := range origins {
		hints = append(hints, pin.Origin{Addr: o})
	}
	return pin.Job{
		DAG:         pin.DAGOf(root),
		Root:        root,
		Attempt:     1,
		Origins:     hints,
		Progress:    new(pin.Progress),
		Slot:        new(testSlot),
		IdleTimeout: 20 * time.Second,
	}
}

// start runs a fetch in the background.
func start(ctx context.Context, n *Node, job pin.Job) (done <-chan struct{}, result func() (pin.Totals, error)) {
	var (
		totals pin.Totals
		err    error
	)
	ch := make(chan struct{})
	go func() {
		defer close(ch)
		totals, err = n.Fetch(ctx, job)
	}()
	return ch, func() (pin.Totals, error) {
		<-ch
		return totals, err
	}
}

// wait is result with an end to patience.
func wait(t testing.TB, done <-chan struct{}, result func() (pin.Totals, error)) (pin.Totals, error) {
	t.Helper()
	select {
	case <-done:
		return result()
	case <-time.After(4 * patience):
		t.Fatal("the fetch does not end")
		return pin.Totals{}, nil
	}
}
