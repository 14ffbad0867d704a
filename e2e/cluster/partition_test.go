//go:build cluster

package cluster

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/cluster/peers"
)

// network is between cluster peers: each is reached by the others through a proxy, which tells them
// apart by the port that they come from. libp2p dials from the port at which it listens.
type network struct {
	t *testing.T

	mu    sync.Mutex
	peers map[int]int // the port at which a peer listens -> the peer
	side  map[int]int // of a partition, by peer; nil is that there is none
	conns map[net.Conn]link
}

// link is who speaks to whom. from is -1 if that is not known.
type link struct{ from, to int }

func newNetwork(t *testing.T) *network {
	return &network{t: t, peers: make(map[int]int), conns: make(map[net.Conn]link)}
}

// through makes the proxy of a peer.
func (n *network) through(peer int, listens string) (string, error) {
	_, port, err := net.SplitHostPort(listens)
	if err != nil {
		return "", err
	}
	var number int
	if _, err := fmt.Sscan(port, &number); err != nil {
		return "", err
	}
	l, err := new(net.ListenConfig).Listen(n.t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	n.t.Cleanup(func() { l.Close() })
	n.mu.Lock()
	n.peers[number] = peer
	n.mu.Unlock()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go n.carry(c, peer, listens)
		}
	}()
	return fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", l.Addr().(*net.TCPAddr).Port), nil
}

// carry carries a connection to a peer, unless a partition is in between.
func (n *network) carry(c net.Conn, to int, listens string) {
	defer c.Close()
	n.mu.Lock()
	from, known := n.peers[c.RemoteAddr().(*net.TCPAddr).Port]
	if !known {
		from = -1
	}
	k := link{from, to}
	if n.cuts(k) {
		n.mu.Unlock()
		return
	}
	n.conns[c] = k
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.conns, c)
	}()
	d, err := net.Dial("tcp", listens)
	if err != nil {
		return
	}
	defer d.Close()
	go func() {
		_, _ = io.Copy(d, c)
		d.Close()
		c.Close()
	}()
	_, _ = io.Copy(c, d)
}

// cuts reports whether a partition is in between. Its caller holds the lock.
func (n *network) cuts(k link) bool {
	return n.side != nil && (k.from < 0 || n.side[k.from] != n.side[k.to])
}

// split parts the peers, by the number of each one's side; nil ends that.
func (n *network) split(side map[int]int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.side = side
	for c, k := range n.conns {
		if n.cuts(k) {
			c.Close()
		}
	}
}

// sees waits until each peer has news of so many.
func (w *world) sees(t *testing.T, ctx context.Context, want ...int) {
	t.Helper()
	for i, n := range want {
		eventually(t, ctx, fmt.Sprintf("peer %d sees %d", i, n), func() bool {
			m, err := w.Peers[i].Metrics(ctx, "ping")
			return err == nil && len(m) == n
		})
	}
}

// agree waits until all peers have the same pinset.
func (w *world) agree(t *testing.T, ctx context.Context) {
	t.Helper()
	eventually(t, ctx, "all peers have the same pinset", func() bool { return w.samePinset(ctx) })
}

func (w *world) samePinset(ctx context.Context) bool {
	var first map[string]string
	for i, p := range w.Peers {
		list, err := p.Allocations(ctx)
		if err != nil {
			return false
		}
		is := make(map[string]string)
		for _, a := range list {
			slices.Sort(a.Allocations)
			is[a.CID] = fmt.Sprint(a.Allocations)
		}
		if i == 0 {
			first = is
		} else if !maps.Equal(first, is) {
			return false
		}
	}
	return true
}

// Peers lose sight of each other, and pins and unpins go on at both sides. When they see each other
// again they agree, the nodes have what is allocated to them, and no request of a user is lost or
// changed.
func TestPartition(t *testing.T) {
	ctx := within(t, 8*time.Minute)
	net := newNetwork(t)
	w := newWorld(t, ctx, 3, peers.Options{Min: 1, Max: 2, Concurrent: 32, RecoverEvery: 10 * time.Second, Through: net.through})
	f := newFront(t, ctx, w, "HOLDFAST_CLUSTER_REPLICATION=1-2")
	old := f.add(t, ctx, map[string]string{"app": "old"}, files(t, ctx, w.source, 20_000, 20, 3)...)
	f.awaits(t, ctx, old...)
	w.agrees(t, ctx)
	net.split(map[int]int{0: 0, 1: 0, 2: 1})
	w.sees(t, ctx, 2, 2, 1)
	// The same CIDs at both sides, some of which one side unpins again.
	both := files(t, ctx, w.source, 20_100, 20, 3)
	for _, c := range both {
		check(t, w.Peers[0].Pin(ctx, c, nil))
		check(t, w.Peers[2].Pin(ctx, c, nil))
	}
	check(t, w.Peers[0].AwaitPinned(ctx, 2, both...))
	check(t, w.Peers[2].AwaitPinned(ctx, 1, both...))
	for i, c := range both[:10] {
		check(t, w.Peers[2*(i%2)].Unpin(ctx, c))
	}
	// And users' requests, which go to any peer.
	f.remove(t, ctx, old[:5]...)
	fresh := f.add(t, ctx, map[string]string{"app": "new"}, files(t, ctx, w.source, 20_200, 20, 3)...)
	again := f.add(t, ctx, map[string]string{"app": "both"}, both[:12]...)
	live := slices.Concat(old[5:], fresh, again)
	before := make(map[string]string)
	for _, id := range live {
		s := must(f.Get(ctx, id))(t)
		before[id] = fmt.Sprint(s.Pin, s.Created)
	}
	net.split(nil)
	w.sees(t, ctx, 3, 3, 3)
	w.agree(t, ctx)
	f.isRight(t, ctx)
	f.awaits(t, ctx, live...)
	w.agree(t, ctx)
	w.agrees(t, ctx)
	all := must(f.All(ctx))(t)
	if len(all) != len(live) {
		t.Errorf("there are %d requests, and were to be %d", len(all), len(live))
	}
	for _, s := range all {
		if is := fmt.Sprint(s.Pin, s.Created); is != before[s.RequestID] {
			t.Errorf("request %s was %s, and is %s", s.RequestID, before[s.RequestID], is)
		}
		if n := w.copies(ctx, s.Pin.CID); n < 1 {
			t.Errorf("%s has no copy", s.Pin.CID)
		}
	}
}
