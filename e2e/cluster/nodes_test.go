//go:build cluster

package cluster

import (
	"context"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/e2e/cluster/peers"
	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// storage is a node beneath a cluster peer: a Holdfast, or a Kubo.
type storage struct {
	*peers.Node
	data   *rig.Data // of a Holdfast
	server *rig.Server
	kubo   *rig.Kubo
}

// newStorage starts a Holdfast that keeps connected to others. It has its addresses for good, so that a
// restart changes nothing for others. Options are more of its environment, as KEY=VALUE.
func newStorage(t *testing.T, others []*storage, env ...string) *storage {
	t.Helper()
	d := must(suite.NewData())(t)
	ports := must(peers.FreePorts(2))(t)
	var peering []string
	for _, o := range others {
		peering = append(peering, o.addr())
	}
	d.Env["HOLDFAST_NODE_LISTEN"] = fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", ports[0])
	d.Env["HOLDFAST_NODE_PEERING"] = strings.Join(peering, ",")
	// Half of them are at a Unix socket.
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

// newKubo starts a Kubo that keeps connected to others, with addresses for good.
func newKubo(t *testing.T, ctx context.Context, others []*storage) *storage {
	t.Helper()
	ports := must(peers.FreePorts(2))(t)
	k := must(suite.StartKubo(ctx, "node", rig.KuboOptions{Config: map[string]any{
		"Addresses.Swarm": []string{fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", ports[0])},
		"Addresses.API":   fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", ports[1]),
	}}))(t)
	s := &storage{kubo: k}
	s.cleanup(t)
	s.Node = must(peers.NewNode(s.rpc()))(t)
	for c := range must(s.Pins(ctx))(t) { // of its own, such as the empty directory
		check(t, s.Call(ctx, "pin/rm", url.Values{"arg": {c}}, nil))
	}
	for _, o := range others {
		reach(t, ctx, k, o)
	}
	return s
}

// addr is an address of the node for peers.
func (s *storage) addr() string {
	if s.kubo != nil {
		return s.kubo.Addrs[0]
	}
	return s.server.Addrs[0]
}

// rpc is where a front finds the node.
func (s *storage) rpc() string {
	if s.kubo != nil {
		return strings.TrimSuffix(s.kubo.API(), "/api/v0/")
	}
	return s.server.RPC
}

func (s *storage) process() *rig.Process {
	if s.kubo != nil {
		return s.kubo.Process
	}
	return s.server.Process
}

func (s *storage) set(env ...string) {
	for _, kv := range env {
		k, v, _ := strings.Cut(kv, "=")
		s.data.Env[k] = v
	}
}

func (s *storage) start(t *testing.T) {
	t.Helper()
	if s.kubo != nil {
		check(t, s.kubo.Start(t.Context()))
	} else {
		s.server = must(s.data.Serve(t.Context()))(t)
	}
	s.cleanup(t)
}

func (s *storage) cleanup(t *testing.T) {
	p := s.process()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Log(p.Tail())
		}
	})
}

func (s *storage) kill()             { s.process().Kill() }
func (s *storage) stop(t *testing.T) { t.Helper(); check(t, s.process().Stop()) }

// restart ends a Holdfast, as an operator does, and starts it with more of an environment.
func (s *storage) restart(t *testing.T, env ...string) {
	t.Helper()
	s.stop(t)
	s.set(env...)
	s.start(t)
}

// fill has the node say that it is full, or not so any more.
func (s *storage) fill(t *testing.T, ctx context.Context, full bool) {
	t.Helper()
	if s.kubo != nil {
		size := "1TB"
		if full {
			size = "1B"
		}
		check(t, s.kubo.RPC(ctx, "config", url.Values{"arg": {"Datastore.StorageMax", size}}, nil))
		return
	}
	env := someRoom
	if full {
		env = noRoom
	}
	s.restart(t, env)
}

// pinned reports whether the node has pinned a CID, as it is written or in version 1, as a front asks for
// it.
func (s *storage) pinned(ctx context.Context, c string) bool {
	is, err := cid.Decode(c)
	if err != nil {
		return false
	}
	for _, c := range []string{c, cid.NewCidV1(is.Type(), is.Hash()).String()} {
		if s.Call(ctx, "pin/ls", url.Values{"arg": {c}, "type": {"recursive"}, "stream": {"true"}}, nil) == nil {
			return true
		}
	}
	return false
}

// world is a cluster over some nodes, with a Kubo that has what is to be pinned.
type world struct {
	*peers.Cluster
	nodes  []*storage
	source *rig.Kubo
}

// newWorld starts n nodes with a peer over each. They are Holdfasts; with -mixed the last of three is a
// Kubo.
func newWorld(t *testing.T, ctx context.Context, n int, o peers.Options, env ...string) *world {
	t.Helper()
	kubos := 0
	if *mixed && n >= 3 {
		kubos = 1
	}
	return newWorldOf(t, ctx, n-kubos, kubos, o, env...)
}

// newWorldOf starts Holdfasts, and after them Kubos, with a peer over each.
func newWorldOf(t *testing.T, ctx context.Context, holdfasts, kubos int, o peers.Options, env ...string) *world {
	t.Helper()
	w := new(world)
	for range holdfasts {
		w.nodes = append(w.nodes, newStorage(t, w.nodes, env...))
	}
	for range kubos {
		w.nodes = append(w.nodes, newKubo(t, ctx, w.nodes))
	}
	for _, s := range w.nodes {
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
	check(t, k.RPC(ctx, "swarm/peering/add", url.Values{"arg": {n.addr()}}, nil))
	check(t, k.Connect(ctx, n.addr()))
}

// collects has Kubos give up again and again what is not pinned, as a Holdfast does by itself, until the
// function that it returns is called. Each does so for itself: one that pins makes its own collection wait.
func (w *world) collects(ctx context.Context) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	for _, s := range w.nodes {
		if s.kubo == nil {
			continue
		}
		all.Go(func() {
			tick := time.NewTicker(time.Second)
			defer tick.Stop()
			for {
				_ = s.Call(ctx, "repo/gc", url.Values{"quiet": {"true"}}, nil) // the next second does it
				select {
				case <-tick.C:
				case <-ctx.Done():
					return
				}
			}
		})
	}
	return func() {
		cancel()
		all.Wait()
	}
}
