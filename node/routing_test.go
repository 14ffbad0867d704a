package node

import (
	"bytes"
	"context"
	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"
	"iter"
	"log/slog"
	"strings"
	"sync"
	"testing"

	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/host"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// dhtServer is a DHT of one, on loopback.
func dhtServer(t *testing.T) (*dht.IpfsDHT, string) {
	t.Helper()
	d := dhtOn(t, newTestHost(t), dht.ModeServer)
	return d, withPeer(d.Host().Addrs()[0], d.Host().ID())
}

func dhtOn(t *testing.T, h host.Host, mode dht.ModeOpt) *dht.IpfsDHT {
	t.Helper()
	d, err := dht.New(h, dht.Mode(mode))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// A provider that nobody named is found in the DHT.
func TestRoutingFindsProviders(t *testing.T) {
	server, addr := dhtServer(t)
	all := dagtest.Tree(dagtest.Leaves(50, 100), 10)
	src := newSource(t, all...)
	if err := src.host.Connect(t.Context(), server.Host().Peerstore().PeerInfo(server.Host().ID())); err != nil {
		t.Fatal(err)
	}
	client := dhtOn(t, src.host, dht.ModeClient)
	eventually(t, "the source is in the DHT", func() bool { return client.RoutingTable().Size() > 0 })
	if err := client.Provide(t.Context(), dagtest.Last(all), true); err != nil {
		t.Fatal(err)
	}
	store := walktest.NewStore(t)
	n := newTestNode(t, store, func(c *Config) { c.Routing, c.Bootstrap = RoutingAuto, []string{addr} })
	done, result := start(t.Context(), n, newJob(dagtest.Last(all)))
	if _, err := wait(t, done, result); err != nil {
		t.Fatal(err)
	}
	store.CheckWhole(1, all)
}

// Roots are announced when they are pinned, even if there was no DHT to be
// reached then.
func TestRoutingAnnounces(t *testing.T) {
	server, addr := dhtServer(t)
	root := dagtest.Raw("pinned").Cid()
	n := newTestNode(t, walktest.NewStore(t), func(c *Config) { c.Routing, c.Bootstrap = RoutingAuto, []string{addr} })
	n.Announce(pin.DAGOf(root))
	eventually(t, "the DHT knows who has it", func() bool {
		found, err := server.ProviderStore().GetProviders(t.Context(), root.Hash())
		return err == nil && len(found) == 1 && found[0].ID == n.host.ID()
	})
}

func TestRoutingListsTheRoots(t *testing.T) {
	roots := dagtest.Leaves(5, 10)
	cfg := Config{Roots: func(context.Context) iter.Seq2[pin.DAG, error] {
		return func(yield func(pin.DAG, error) bool) {
			for _, b := range roots {
				if !yield(pin.DAGOf(b.Cid()), nil) {
					return
				}
			}
		}
	}}
	ch, err := rootKeys(t.Context(), cfg)(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for c := range ch {
		if c != roots[n].Cid() {
			t.Errorf("root %d is %s", n, c)
		}
		n++
	}
	if n != len(roots) {
		t.Errorf("%d roots", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ch, err = rootKeys(ctx, cfg)(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	eventually(t, "the listing ends with the node", func() bool {
		_, ok := <-ch
		return !ok
	})
}

// lockedBuffer is a buffer that a logger may write to while a test reads.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// Nobody to join the DHT by is a warning, and everything else works.
func TestRoutingWithoutANetwork(t *testing.T) {
	gone := newTestHost(t)
	addr := withPeer(gone.Addrs()[0], gone.ID())
	gone.Close()
	var log lockedBuffer
	all := dagtest.Tree(dagtest.Leaves(50, 100), 10)
	store := walktest.NewStore(t)
	n := newTestNode(t, store, func(c *Config) {
		c.Routing, c.Bootstrap = RoutingAuto, []string{addr}
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	})
	n.Announce(pin.DAGOf(dagtest.Last(all)))
	done, result := start(t.Context(), n, newJob(dagtest.Last(all), newSource(t, all...).addr()))
	if _, err := wait(t, done, result); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it warns", func() bool { return strings.Contains(log.String(), "node.bootstrap") })
}

// Without routing, a node announces nothing and dials nobody.
func TestNoRoutingIsSilent(t *testing.T) {
	_, addr := dhtServer(t)
	n := newTestNode(t, walktest.NewStore(t), func(c *Config) { c.Routing, c.Bootstrap = RoutingNone, []string{addr} })
	n.Announce(pin.DAGOf(dagtest.Raw("pinned").Cid()))
	other := newTestHost(t)
	(&source{host: other}).connect(t, n)
	eventually(t, "it is connected", func() bool { return len(n.host.Network().Peers()) == 1 })
	if err := other.Network().ClosePeer(n.host.ID()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is disconnected", func() bool { return len(n.host.Network().Peers()) == 0 })
	if _, err := n.host.NewStream(t.Context(), other.ID(), "/anything"); err == nil {
		t.Error("a peer was dialled that nobody named")
	}
}
