package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/cluster/peers"
	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// kind is what is beneath the peers of a cluster.
type kind string

const (
	kubos     kind = "Kubo"
	holdfasts kind = "Holdfast"
	nulls     kind = "null node"
)

// world is a cluster with fresh data.
type world struct {
	*peers.Cluster
	kind  kind
	nodes []*node
	b     *bench
}

// node is one beneath a peer.
type node struct {
	*peers.Node
	kubo     *rig.Kubo // or
	data     *rig.Data
	server   *rig.Server // or
	null     *peers.Null
	swarm    []string // its addresses
	cleanDir string   // is removed at the end
}

// process is what runs the node; nil for a null node.
func (n *node) process() *rig.Process {
	switch {
	case n.kubo != nil:
		return n.kubo.Process
	case n.server != nil:
		return n.server.Process
	}
	return nil
}

func (n *node) end() error {
	if n.null != nil {
		return n.null.Close()
	}
	n.process().Kill()
	return os.RemoveAll(n.cleanDir)
}

// newNode starts one that stays connected to others.
func (b *bench) newNode(ctx context.Context, k kind, others []*node, s setup) (n *node, err error) {
	n = new(node)
	var at string
	switch k {
	case nulls:
		if n.null, err = peers.NewNull(ctx, !s.findsNothing); err != nil {
			return nil, err
		}
		n.Node = n.null.Node
		return n, nil
	case kubos:
		ports, err := peers.FreePorts(2) // it has them for good, so that others find it after a restart
		if err != nil {
			return nil, err
		}
		if n.kubo, err = b.rig.StartKubo(ctx, "node", rig.KuboOptions{Config: map[string]any{
			"Addresses.API":   fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", ports[0]),
			"Addresses.Swarm": []string{fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", ports[1])},
		}}); err != nil {
			return nil, err
		}
		n.swarm, n.cleanDir = n.kubo.Addrs, filepath.Dir(n.kubo.Repo)
		at = strings.TrimSuffix(n.kubo.API(), "/api/v0/")
		for _, o := range others {
			if err := reach(ctx, n.kubo, o); err != nil {
				return nil, errors.Join(err, n.end())
			}
		}
	case holdfasts:
		if n.data, err = b.rig.NewData(); err != nil {
			return nil, err
		}
		n.cleanDir = filepath.Dir(n.data.Dir)
		ports, err := peers.FreePorts(2)
		if err != nil {
			return nil, err
		}
		var peering []string
		for _, o := range others {
			peering = append(peering, o.swarm[0])
		}
		n.data.Env["HOLDFAST_NODE_LISTEN"] = fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", ports[0])
		n.data.Env["HOLDFAST_RPC_LISTEN"] = fmt.Sprintf("127.0.0.1:%d", ports[1])
		n.data.Env["HOLDFAST_NODE_PEERING"] = strings.Join(peering, ",")
		maps.Copy(n.data.Env, s.env)
		if n.server, err = n.data.Serve(ctx); err != nil {
			return nil, err
		}
		n.swarm, at = n.server.Addrs, n.server.RPC
	}
	n.Node, err = peers.NewNode(at)
	if err != nil {
		return nil, errors.Join(err, n.end())
	}
	return n, nil
}

// reach keeps a Kubo connected to a node.
func reach(ctx context.Context, k *rig.Kubo, n *node) error {
	return errors.Join(
		k.RPC(ctx, "swarm/peering/add", url.Values{"arg": {n.swarm[0]}}, nil),
		k.Connect(ctx, n.swarm[0]))
}

// setup says how a cluster is. Zero values are defaults.
type setup struct {
	size       int               // its peers; default 3
	rf         int               // default 2
	env        map[string]string // of its Holdfasts
	source     *rig.Kubo         // which stays connected to the nodes; nil is none
	batchAge   time.Duration     // default 1 s
	recover    time.Duration     // default 12 min
	pinTimeout time.Duration     // default 2 min
	// findsNothing is of null nodes: their pins never end.
	findsNothing bool
}

// newWorld starts a cluster over nodes of a kind. The caller ends it.
func (b *bench) newWorld(ctx context.Context, k kind, s setup) (w *world, err error) {
	w = &world{kind: k, b: b}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.end())
		}
	}()
	o := peers.Options{
		Binary: b.service, Min: or(s.rf, 2), Max: or(s.rf, 2), BatchSize: 500, BatchAge: s.batchAge, Concurrent: 128,
		PinTimeout: or(s.pinTimeout, 2*time.Minute), RecoverEvery: or(s.recover, 12*time.Minute),
		// Tests look through the whole pinset every 10 s. Cluster does it every 5 min.
		Change: func(_ int, c peers.Config) { c.Section("cluster")["state_sync_interval"] = "5m0s" },
	}
	if k == kubos {
		o.Concurrent = b.kuboPins
	}
	for range or(s.size, 3) {
		n, err := b.newNode(ctx, k, w.nodes, s)
		if err != nil {
			return w, err
		}
		w.nodes = append(w.nodes, n)
		o.Nodes = append(o.Nodes, n.Multiaddr)
		if s.source != nil && k != nulls {
			if err := reach(ctx, s.source, n); err != nil {
				return w, err
			}
		}
	}
	w.Cluster, err = peers.Start(ctx, b.rig, o)
	return w, err
}

func or[T comparable](v, unless T) T {
	var zero T
	if v == zero {
		return unless
	}
	return v
}

// dir is where the node has all that it keeps.
func (n *node) dir() string {
	if n.kubo != nil {
		return n.kubo.Repo
	}
	return n.data.Dir
}

// stop ends the node, as an operator does, and start starts it again.
func (n *node) stop() error {
	if n.kubo != nil {
		return n.kubo.Stop()
	}
	return n.server.Stop()
}

func (n *node) start(ctx context.Context) (err error) {
	if n.kubo != nil {
		return n.kubo.Start(ctx)
	}
	n.server, err = n.data.Serve(ctx)
	return err
}

// end ends the cluster and removes what it has.
func (w *world) end() (err error) {
	if w.Cluster != nil {
		w.Kill()
		for _, p := range w.Peers {
			err = errors.Join(err, p.Clear())
		}
	}
	for _, n := range w.nodes {
		err = errors.Join(err, n.end())
	}
	return err
}

// over runs something over a new cluster, and adds the ends of the logs to its error.
func (b *bench) over(ctx context.Context, k kind, s setup, run func(*world) error) error {
	if err := settle(); err != nil {
		return err
	}
	w, err := b.newWorld(ctx, k, s)
	if err != nil {
		return fmt.Errorf("start a cluster over %ss: %w", k, err)
	}
	if err = run(w); err != nil {
		err = fmt.Errorf("over %ss: %w", k, err)
		for i, p := range w.Peers {
			err = fmt.Errorf("%w\n%s", err, p.Tail())
			if node := w.nodes[i].process(); node != nil {
				err = fmt.Errorf("%w\n%s", err, node.Tail())
			}
		}
	}
	return errors.Join(err, w.end())
}

// settle has the system write all that is not written yet, so that the next measurement does not wait
// for it.
func settle() error {
	syscall.Sync()
	return nil
}

// source starts a Kubo that has what is to be pinned. The caller kills it.
func (b *bench) source(ctx context.Context) (*rig.Kubo, error) {
	return b.rig.StartKubo(ctx, "source", rig.KuboOptions{})
}

const blockSize = 1 << 10 // of the pins that are one block

// oneBlock adds n blocks to a Kubo, and gives their CIDs. The same seed makes the same blocks.
func oneBlock(ctx context.Context, k *rig.Kubo, seed uint64, n int) (cids []string, err error) {
	if _, err := k.AddFile(ctx, rig.Random(seed, int64(n)*blockSize), blockSize); err != nil {
		return nil, err
	}
	all := rig.RandomBytes(seed, n*blockSize)
	for i := range n {
		cids = append(cids, rig.CID(rig.CodecRaw, all[i*blockSize:(i+1)*blockSize]))
	}
	return cids, nil
}

// each calls do for every number below n, by as many clients as there are, until one fails.
func each(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan int)
	done := make(chan error, clients)
	for range clients {
		go func() {
			for i := range next {
				if err := do(ctx, i); err != nil {
					cancel(err)
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for i := 0; i < n && ctx.Err() == nil; i++ {
		select {
		case next <- i:
		case <-ctx.Done():
		}
	}
	close(next)
	var err error
	for range clients {
		err = errors.Join(err, <-done)
	}
	return errors.Join(err, context.Cause(ctx))
}

// pin asks for pins at all peers in turns.
func (w *world) pin(ctx context.Context, cids []string) error {
	return each(ctx, len(cids), func(ctx context.Context, i int) error {
		return w.Peers[i%len(w.Peers)].Pin(ctx, cids[i], nil)
	})
}

// unpin takes them out again.
func (w *world) unpin(ctx context.Context, cids []string) error {
	return each(ctx, len(cids), func(ctx context.Context, i int) error {
		return w.Peers[i%len(w.Peers)].Unpin(ctx, cids[i])
	})
}

// underWay is what a peer has to do, and knows from memory.
const underWay = "/pins?local=true&filter=pin_queued,pinning,pin_error,unpin_queued,unpinning,unpin_error"

// await waits until the pinset of each peer that runs has so many pins and none of them has anything
// to do. What failed is tried again.
func (w *world) await(ctx context.Context, pins int) error {
	last := ""
	err := rig.Poll(ctx, 50*time.Millisecond, func() (bool, error) {
		for i, p := range w.Peers {
			busy, err := peers.Lines[peers.PinInfo](ctx, p, "GET", underWay)
			if err != nil {
				return false, err
			}
			if len(busy) > 0 {
				last = fmt.Sprintf("peer %d has %d to do, of which one is %+v", i, len(busy), busy[0].PeerMap)
				return false, retryFailed(ctx, p, busy)
			}
		}
		for i, p := range w.Peers {
			all, err := p.Allocations(ctx)
			if err != nil {
				return false, err
			}
			if len(all) != pins {
				last = fmt.Sprintf("the pinset of peer %d has %d pins of %d", i, len(all), pins)
				return false, nil
			}
		}
		return true, nil
	})
	if err != nil {
		return fmt.Errorf("%w: %s", err, last)
	}
	return nil
}

// running is a peer that runs, the one with a number if that does.
func (w *world) running(i int) *peers.Peer {
	for j := range w.Peers {
		if p := w.Peers[(i+j)%len(w.Peers)]; p.Runs() {
			return p
		}
	}
	return w.Peers[0] // which says that it does not
}

// busy is how much peers that run have to do.
func (w *world) busy(ctx context.Context) (n int, err error) {
	for _, p := range w.Peers {
		if !p.Runs() {
			continue
		}
		todo, err := peers.Lines[peers.PinInfo](ctx, p, "GET", underWay)
		if err != nil {
			return n, err
		}
		n += len(todo)
	}
	return n, nil
}

// calm waits until the peers have had nothing to do for longer than a batch, or only what they cannot do.
func (w *world) calm(ctx context.Context) error {
	const quiet = 12 // seconds: two batches, and more
	last, since := -1, 0
	return rig.Poll(ctx, time.Second, func() (bool, error) {
		n, err := w.busy(ctx)
		if n != last {
			last, since = n, 0
		}
		since++
		return since > quiet, err
	})
}

// retryFailed has a peer try again what failed, if nothing else is under way there.
func retryFailed(ctx context.Context, p *peers.Peer, busy []peers.PinInfo) error {
	for _, b := range busy {
		if b.Count("pin_error")+b.Count("unpin_error") == 0 {
			return nil
		}
	}
	return p.Recover(ctx)
}

// copies checks that all pins have as many copies as they are to have.
func (w *world) copies(ctx context.Context, cids []string, copies int) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return w.Peers[0].AwaitPinned(ctx, copies, cids...)
}
