package node

import (
	"context"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p-kad-dht/dual"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/holdfast-ipfs/holdfast/logtest"
	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// dhtServer is a DHT of one, on loopback.
func dhtServer(t *testing.T) (*dht.IpfsDHT, string) {
	t.Helper()
	d := dhtOn(t, newTestHost(t), dht.ModeServer)
	return d, withPeer(d.Host().Addrs()[0], d.Host().ID())
}

// dhtOn joins the DHT of the local network, which is what nodes on loopback use.
func dhtOn(t *testing.T, h host.Host, mode dht.ModeOpt) *dht.IpfsDHT {
	t.Helper()
	d, err := dht.New(h, dht.Mode(mode), dht.ProtocolExtension(dual.LanExtension))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// dhtServers are DHT servers that know each other.
func dhtServers(t *testing.T, n int) (all []*dht.IpfsDHT, first string) {
	t.Helper()
	d, first := dhtServer(t)
	all = append(all, d)
	for range n - 1 {
		other, _ := dhtServer(t)
		connectHosts(t, other.Host(), d.Host())
		all = append(all, other)
	}
	for _, d := range all {
		eventually(t, "a server knows others", func() bool { return d.RoutingTable().Size() > 0 })
	}
	return all, first
}

func connectHosts(t *testing.T, from, to host.Host) {
	t.Helper()
	if err := from.Connect(t.Context(), to.Peerstore().PeerInfo(to.ID())); err != nil {
		t.Fatal(err)
	}
}

// auto configures a node that knows one peer to join by.
func auto(bootstrap ...string) func(*Config) {
	return func(c *Config) { c.Routing, c.Bootstrap = RoutingAuto, append([]string{}, bootstrap...) }
}

// onDisk keeps the node's state in a datastore.
func onDisk(ds datastore.Batching) func(*Config) { return func(c *Config) { c.Datastore = ds } }

func inMemory() datastore.Batching { return dssync.MutexWrap(datastore.NewMapDatastore()) }

// provided has a source tell a DHT that it has a block.
func provided(t *testing.T, src *source, by host.Host, c cid.Cid) {
	t.Helper()
	connectHosts(t, src.host, by)
	client := dhtOn(t, src.host, dht.ModeClient)
	eventually(t, "the source is in the DHT", func() bool { return client.RoutingTable().Size() > 0 })
	if err := client.Provide(t.Context(), c, true); err != nil {
		t.Fatal(err)
	}
}

// knows reports whether a DHT server keeps that the node has a block.
func knows(t *testing.T, server *dht.IpfsDHT, n *Node, c cid.Cid) bool {
	t.Helper()
	found, err := server.ProviderStore().GetProviders(t.Context(), c.Hash())
	if err != nil {
		t.Fatal(err)
	}
	for _, ai := range found {
		if ai.ID == n.host.ID() {
			return true
		}
	}
	return false
}

// A provider that nobody named is found in the DHT.
func TestRoutingFindsProviders(t *testing.T) {
	server, addr := dhtServer(t)
	all := dagtest.Tree(dagtest.Leaves(50, 100), 10)
	src := newSource(t, all...)
	provided(t, src, server.Host(), dagtest.Last(all))
	store := walktest.NewStore(t)
	n := newTestNode(t, store, auto(addr))
	done, result := start(t.Context(), n, newJob(dagtest.Last(all)))
	if _, err := wait(t, done, result); err != nil {
		t.Fatal(err)
	}
	store.CheckWhole(1, all)
}

// Roots are announced when they are pinned, even if there was no DHT to be
// reached then, and it is known when.
func TestRoutingAnnounces(t *testing.T) {
	server, addr := dhtServer(t)
	root := dagtest.Raw("pinned").Cid()
	n := newTestNode(t, walktest.NewStore(t), auto(addr))
	n.Announce(pin.DAGOf(root))
	eventually(t, "the DHT knows who has it", func() bool { return knows(t, server, n, root) })
	eventually(t, "it is known that it was announced", func() bool {
		at, ok := n.Announced(pin.DAGOf(root))
		return ok && time.Since(at) < time.Minute
	})
	if _, ok := n.Announced(pin.DAGOf(dagtest.Identity(cid.Raw, []byte("here")))); ok {
		t.Error("a root that holds its data is announced")
	}
	s, ok, err := n.ProvideStats(t.Context())
	if err != nil || !ok || s.Roots != 1 || s.Untold != 0 || !s.Online {
		t.Errorf("stats are %+v, %v, %v", s, ok, err)
	}
	eventually(t, "it is counted", func() bool {
		all := n.Stats()
		return all.Provide != nil && all.Provide.Keys == 1 && all.Provide.KeysTold == 1 && all.Lookups+all.LookupsWaiting == 0
	})
}

// A root that has its data in its CID and links to others: those are announced in its place.
func TestRoutingAnnouncesBelowAnInlinedRoot(t *testing.T) {
	server, addr := dhtServer(t)
	leaf := dagtest.Raw("leaf")
	root := pin.DAGOf(dagtest.Identity(cid.DagProtobuf, dagtest.PBBytes("", leaf.Cid())))
	store := walktest.NewStore(t)
	n := newTestNode(t, store, auto(addr), func(c *Config) {
		c.Complete = func(_ context.Context, d pin.DAG) (bool, error) { return d == root, nil }
	})
	job := newJob(root.CID(), newSource(t, leaf).addr())
	if _, err := n.Fetch(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	n.Announce(root)
	eventually(t, "the DHT knows who has the leaf", func() bool { return knows(t, server, n, leaf.Cid()) })
	eventually(t, "it is known that it was announced", func() bool {
		at, ok := n.Announced(root)
		return ok && time.Since(at) < time.Minute
	})
}

// What was pinned while no node ran is announced, and what was unpinned is not.
func TestRoutingAnnouncesWhatIsPinned(t *testing.T) {
	server, addr := dhtServer(t)
	ds := inMemory()
	var (
		mu     sync.Mutex
		pinned = []pin.DAG{pin.DAGOf(dagtest.Raw("one").Cid())}
	)
	roots := func(c *Config) {
		c.Roots = func(context.Context) iter.Seq2[pin.DAG, error] {
			return func(yield func(pin.DAG, error) bool) {
				mu.Lock()
				defer mu.Unlock()
				for _, d := range pinned {
					if !yield(d, nil) {
						return
					}
				}
			}
		}
		c.Complete = func(_ context.Context, d pin.DAG) (bool, error) {
			mu.Lock()
			defer mu.Unlock()
			return slices.Contains(pinned, d), nil
		}
	}
	n := newTestNode(t, walktest.NewStore(t), auto(addr), roots, onDisk(ds))
	eventually(t, "the first is announced", func() bool { return knows(t, server, n, dagtest.Raw("one").Cid()) })
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	pinned = []pin.DAG{pin.DAGOf(dagtest.Raw("two").Cid())}
	mu.Unlock()
	n = newTestNode(t, walktest.NewStore(t), auto(addr), roots, onDisk(ds))
	eventually(t, "the second is announced", func() bool { return knows(t, server, n, dagtest.Raw("two").Cid()) })
	eventually(t, "the first is not any more", func() bool {
		s, _, err := n.ProvideStats(t.Context())
		return err == nil && s.Roots == 1 && s.Keys == 1
	})
}

// logTo has a node log to a buffer.
func logTo(b *logtest.Buffer) func(*Config) {
	return func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(b, nil)) }
}

// Nobody to join the DHT by is a warning, and everything else works.
func TestRoutingWithoutANetwork(t *testing.T) {
	gone := newTestHost(t)
	addr := withPeer(gone.Addrs()[0], gone.ID())
	gone.Close()
	var log logtest.Buffer
	all := dagtest.Tree(dagtest.Leaves(50, 100), 10)
	store := walktest.NewStore(t)
	n := newTestNode(t, store, auto(addr), logTo(&log))
	n.Announce(pin.DAGOf(dagtest.Last(all)))
	done, result := start(t.Context(), n, newJob(dagtest.Last(all), newSource(t, all...).addr()))
	if _, err := wait(t, done, result); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it warns", func() bool { return strings.Contains(log.String(), "node.bootstrap") })
	if at, ok := n.Announced(pin.DAGOf(dagtest.Last(all))); !ok || !at.IsZero() {
		t.Errorf("announced at %v, %v", at, ok)
	}
}

// A peer that delivered is tried first for what is pinned next, also after a
// restart, and though nobody says that it has it.
func TestRecentPeersAreTriedFirst(t *testing.T) {
	one, two, three := dagtest.Tree(dagtest.Leaves(20, 100), 10), dagtest.Tree(dagtest.Leaves(21, 100), 10), dagtest.Tree(dagtest.Leaves(22, 100), 10)
	src := newSource(t, slices.Concat(one, two, three)...)
	ds := inMemory()
	n := newTestNode(t, walktest.NewStore(t), auto(), onDisk(ds))
	done, result := start(t.Context(), n, newJob(dagtest.Last(one), src.addr()))
	if _, err := wait(t, done, result); err != nil {
		t.Fatal(err)
	}
	if err := n.host.Network().ClosePeer(src.host.ID()); err != nil {
		t.Fatal(err)
	}
	done, result = start(t.Context(), n, newJob(dagtest.Last(two)))
	if _, err := wait(t, done, result); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	n = newTestNode(t, walktest.NewStore(t), auto(), onDisk(ds))
	done, result = start(t.Context(), n, newJob(dagtest.Last(three)))
	if _, err := wait(t, done, result); err != nil {
		t.Fatal(err)
	}
}

// serves reports whether a node answers a DHT's requests.
func serves(n *Node, p protocol.ID) bool { return slices.Contains(n.host.Mux().Protocols(), p) }

const (
	wanProtocol protocol.ID = "/ipfs/kad/1.0.0"
	lanProtocol protocol.ID = "/ipfs/lan/kad/1.0.0"
)

// The node serves the public DHT while it can be reached, and else only asks.
func TestDHTFollowsReachability(t *testing.T) {
	n := newTestNode(t, walktest.NewStore(t), auto())
	emit, err := n.host.EventBus().Emitter(new(event.EvtLocalReachabilityChanged))
	if err != nil {
		t.Fatal(err)
	}
	defer emit.Close()
	for _, r := range []network.Reachability{
		network.ReachabilityPrivate, network.ReachabilityPublic, network.ReachabilityUnknown, network.ReachabilityPublic,
	} {
		if err := emit.Emit(event.EvtLocalReachabilityChanged{Reachability: r}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it serves while it is reachable: "+r.String(), func() bool {
			return serves(n, wanProtocol) == (r == network.ReachabilityPublic)
		})
		if !serves(n, lanProtocol) {
			t.Errorf("while reachability is %s the local network is not served", r)
		}
	}
}

// Without private addresses there is the public DHT alone, which takes nobody
// at one, and to which none of ours are told.
func TestPublicDHTAlone(t *testing.T) {
	server, addr := dhtServer(t)
	n := newTestNode(t, walktest.NewStore(t), auto(addr), func(c *Config) { c.AllowPrivateAddresses = false })
	<-n.router.tried
	if n.router.dhts.lan != nil || serves(n, lanProtocol) {
		t.Error("there is a DHT of the local network")
	}
	if got := n.router.dhts.wan.FilteredAddrs(); len(got) > 0 {
		t.Errorf("it tells of the addresses %v", got)
	}
	if len(server.Host().Network().Peers()) > 0 {
		t.Error("a private address was dialled")
	}
	// Somebody at a private address who comes is no peer of the public DHT.
	(&source{host: server.Host()}).connect(t, n)
	public := newTestHost(t)
	d, err := dht.New(public, dht.Mode(dht.ModeServer))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	(&source{host: public}).connect(t, n)
	eventually(t, "it asks who speaks what", func() bool {
		ps, err := n.host.Peerstore().SupportsProtocols(public.ID(), wanProtocol)
		return err == nil && len(ps) > 0
	})
	if n := n.router.dhts.peers(); n > 0 {
		t.Errorf("%d peers are in the table", n)
	}
}

// Without routing, a node announces nothing and dials nobody.
func TestNoRoutingIsSilent(t *testing.T) {
	_, addr := dhtServer(t)
	n := newTestNode(t, walktest.NewStore(t), func(c *Config) { c.Routing, c.Bootstrap = RoutingNone, []string{addr} })
	n.Announce(pin.DAGOf(dagtest.Raw("pinned").Cid()))
	n.Withdraw(pin.DAGOf(dagtest.Raw("pinned").Cid()))
	if _, ok := n.Announced(pin.DAGOf(dagtest.Raw("pinned").Cid())); ok {
		t.Error("something is to be announced")
	}
	if _, ok, err := n.ProvideStats(t.Context()); ok || err != nil {
		t.Errorf("there are stats of providing: %v, %v", ok, err)
	}
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

// With providing off, content is found and nothing is announced.
func TestNoProvide(t *testing.T) {
	server, addr := dhtServer(t)
	all := dagtest.Tree(dagtest.Leaves(10, 100), 10)
	src := newSource(t, all...)
	provided(t, src, server.Host(), dagtest.Last(all))
	n := newTestNode(t, walktest.NewStore(t), auto(addr), func(c *Config) { c.NoProvide = true })
	done, result := start(t.Context(), n, newJob(dagtest.Last(all)))
	if _, err := wait(t, done, result); err != nil {
		t.Fatal(err)
	}
	n.Announce(pin.DAGOf(dagtest.Last(all)))
	if _, ok := n.Announced(pin.DAGOf(dagtest.Last(all))); ok || knows(t, server, n, dagtest.Last(all)) {
		t.Error("it is announced")
	}
}

func TestRoutingConfigErrors(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"node.bootstrap":         func(c *Config) { c.Bootstrap = []string{"/ip4/127.0.0.1/tcp/1"} },
		"node.peering":           func(c *Config) { c.Peering = []string{"nobody"} },
		"node.delegated_routers": func(c *Config) { c.DelegatedRouters = []string{"router.example.com"} },
		"provide.strategy":       func(c *Config) { c.Strategy = "everything" },
		"provide.interval":       func(c *Config) { c.Interval = 100 * time.Hour },
	} {
		cfg := Config{Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Routing: RoutingAuto, Bootstrap: []string{}}
		change(&cfg)
		n, err := New(t.Context(), cfg, walktest.NewStore(t))
		if err == nil {
			n.Close()
			t.Errorf("nothing is wrong with %s", want)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
}
