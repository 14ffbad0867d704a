//go:build cluster

package cluster

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/cluster/peers"
	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// suite has what all tests share.
var suite struct {
	*rig.Rig
	service string // the binary of ipfs-cluster
}

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r, err := rig.New(ctx, rig.Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		return 1
	}
	defer r.Close()
	suite.Rig = r
	if suite.service, err = peers.Build(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		return 1
	}
	return m.Run()
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), d, fmt.Errorf("not done within %s", d))
	t.Cleanup(cancel)
	return ctx
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// must stops the test on an error: x := must(f())(t).
func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		check(t, err)
		return v
	}
}

// eventually waits until something is so.
func eventually(t *testing.T, ctx context.Context, what string, is func() bool) {
	t.Helper()
	if err := rig.Poll(ctx, 100*time.Millisecond, func() (bool, error) { return is(), nil }); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// storage is a Holdfast beneath a cluster peer.
type storage struct {
	*peers.Node
	data   *rig.Data
	server *rig.Server
}

// newStorage starts one that keeps connected to others. It has its addresses for good, so that a
// restart changes nothing for others. Options are more of its environment, as KEY=VALUE.
func newStorage(t *testing.T, others []*storage, env ...string) *storage {
	t.Helper()
	d := must(suite.NewData())(t)
	ports := must(peers.FreePorts(1))(t)
	var peering []string
	for _, o := range others {
		peering = append(peering, o.server.Addrs[0])
	}
	d.Env["HOLDFAST_NODE_LISTEN"] = fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", ports[0])
	d.Env["HOLDFAST_NODE_PEERING"] = strings.Join(peering, ",")
	// Half of them are at a Unix socket.
	ports = append(ports, must(peers.FreePorts(1))(t)...)
	d.Env["HOLDFAST_RPC_LISTEN"] = fmt.Sprintf("127.0.0.1:%d", ports[1])
	if len(others)%2 == 1 {
		d.Env["HOLDFAST_RPC_LISTEN"] = "unix:" + filepath.Join(filepath.Dir(d.Dir), "rpc.sock")
	}
	s := &storage{data: d}
	s.set(env...)
	s.start(t)
	s.Node = must(peers.NewNode(s.server.RPC))(t)
	return s
}

func (s *storage) set(env ...string) {
	for _, kv := range env {
		k, v, _ := strings.Cut(kv, "=")
		s.data.Env[k] = v
	}
}

func (s *storage) start(t *testing.T) {
	t.Helper()
	s.server = must(s.data.Serve(t.Context()))(t)
	p := s.server.Process
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Log(p.Tail())
		}
	})
}

// restart ends it, as an operator does, and starts it with more of an environment.
func (s *storage) restart(t *testing.T, env ...string) {
	t.Helper()
	check(t, s.server.Stop())
	s.set(env...)
	s.start(t)
}

// world is a cluster over Holdfasts, with a Kubo that has what is to be pinned.
type world struct {
	*peers.Cluster
	nodes  []*storage
	source *rig.Kubo
}

// newWorld starts n nodes with a peer over each.
func newWorld(t *testing.T, ctx context.Context, n int, o peers.Options, env ...string) *world {
	t.Helper()
	w := new(world)
	for range n {
		s := newStorage(t, w.nodes, env...)
		w.nodes = append(w.nodes, s)
		o.Nodes = append(o.Nodes, s.Multiaddr)
	}
	w.source = newSource(t, ctx, w.nodes...)
	w.Cluster = newCluster(t, ctx, o)
	return w
}

func newCluster(t *testing.T, ctx context.Context, o peers.Options) *peers.Cluster {
	t.Helper()
	o.Binary = suite.service
	c := must(peers.Start(ctx, suite.Rig, o))(t)
	t.Cleanup(func() {
		c.Kill()
		if t.Failed() {
			for _, p := range c.Peers {
				t.Log(p.Tail())
			}
		}
	})
	return c
}

// newSource starts a Kubo that stays connected to nodes.
func newSource(t *testing.T, ctx context.Context, nodes ...*storage) *rig.Kubo {
	t.Helper()
	k := must(suite.StartKubo(ctx, "source", rig.KuboOptions{}))(t)
	t.Cleanup(k.Kill)
	for _, n := range nodes {
		reach(t, ctx, k, n)
	}
	return k
}

// reach has a Kubo connect to a node, again and again.
func reach(t *testing.T, ctx context.Context, k *rig.Kubo, n *storage) {
	t.Helper()
	check(t, k.RPC(ctx, "swarm/peering/add", map[string][]string{"arg": {n.server.Addrs[0]}}, nil))
	check(t, k.Connect(ctx, n.server.Addrs[0]))
}

// file adds a file of so many chunks of 1 KiB to a Kubo.
func file(t *testing.T, ctx context.Context, k *rig.Kubo, seed uint64, chunks int) string {
	t.Helper()
	return must(k.AddFile(ctx, rig.Random(seed, int64(chunks)<<10), 1<<10))(t)
}

// files adds some, each with a seed of its own.
func files(t *testing.T, ctx context.Context, k *rig.Kubo, seed uint64, n, chunks int) (all []string) {
	t.Helper()
	for i := range n {
		all = append(all, file(t, ctx, k, seed+uint64(i), chunks))
	}
	return all
}

// copies counts the nodes that have all of a DAG.
func (w *world) copies(ctx context.Context, cid string) (n int) {
	for _, s := range w.nodes {
		if s.Has(ctx, cid) {
			n++
		}
	}
	return n
}

// agrees checks that each node has pinned what is allocated to it, and nothing else, and that no
// peer is told that a pin is gone.
func (w *world) agrees(t *testing.T, ctx context.Context) {
	t.Helper()
	var why string
	err := rig.Poll(ctx, 300*time.Millisecond, func() (bool, error) {
		why = w.disagrees(ctx)
		return why == "", nil
	})
	if err != nil {
		t.Fatalf("%v: %s", err, why)
	}
}

func (w *world) disagrees(ctx context.Context) string {
	all, err := w.Peers[0].Allocations(ctx)
	if err != nil {
		return err.Error()
	}
	for i, p := range w.Peers {
		pins, err := w.nodes[i].Pins(ctx)
		if err != nil {
			return err.Error()
		}
		for _, a := range all {
			on := len(a.Allocations) == 0 // everywhere
			for _, id := range a.Allocations {
				on = on || id == p.ID
			}
			if pins[a.CID] != on {
				return fmt.Sprintf("%s is allocated to node %d: %v, and pinned there: %v", a.CID, i, on, pins[a.CID])
			}
			delete(pins, a.CID)
		}
		for c := range pins {
			return fmt.Sprintf("node %d has pinned %s, which is in no pinset", i, c)
		}
	}
	statuses, err := w.Peers[0].Statuses(ctx)
	if err != nil {
		return err.Error()
	}
	for _, s := range statuses {
		for id, is := range s.PeerMap {
			if is.Status != peers.Pinned && is.Status != peers.Remote {
				return fmt.Sprintf("%s is %s at %s: %s", s.CID, is.Status, id, is.Error)
			}
		}
	}
	return ""
}
