package node

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/boxo/bitswap/message"
	"github.com/ipfs/boxo/bitswap/network/bsnet"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"
)

// everything is each of the switches on, as the server's defaults have it.
var everything = Reach{
	PortMap: true, AutoNAT: true, RelayClient: true, RelayService: true, HolePunching: true,
	Reachability: ReachabilityAuto,
}

// assembled is what libp2p makes of a node's options, without starting it.
func assembled(t *testing.T, cfg Config) *libp2p.Config {
	t.Helper()
	var err error
	if cfg.Reach, err = cfg.Reach.planned(cfg.Routing); err != nil {
		t.Fatal(err)
	}
	options, err := hostOptions(cfg, nil, nil, toldAddrs{}.of, newGater(false, false, nil), func(context.Context, int) <-chan peer.AddrInfo { return nil })
	if err != nil {
		t.Fatal(err)
	}
	c := new(libp2p.Config)
	if err := c.Apply(options...); err != nil {
		t.Fatal(err)
	}
	return c
}

// Nothing here is started: what would be is looked at.
func TestReachSwitches(t *testing.T) {
	type got struct {
		portMap, service, v2, relay, autoRelay, relayService, holes bool
		forced                                                      network.Reachability
	}
	look := func(c *libp2p.Config) got {
		g := got{
			portMap: c.NATManager != nil, service: c.EnableService, v2: c.EnableAutoNATv2, relay: c.Relay,
			autoRelay: c.EnableAutoRelay, relayService: c.EnableRelayService, holes: c.EnableHolePunching,
		}
		if c.ForceReachability != nil {
			g.forced = *c.ForceReachability
		}
		if !c.RelayCustom {
			t.Error("whether there are relays is left to libp2p's default")
		}
		return g
	}
	all := got{portMap: true, service: true, v2: true, relay: true, autoRelay: true, relayService: true, holes: true}
	without := func(change func(*Reach)) Reach { r := everything; change(&r); return r }
	but := func(change func(*got)) got { g := all; change(&g); return g }
	for name, c := range map[string]struct {
		reach Reach
		want  got
	}{
		"everything":       {everything, all},
		"no port map":      {without(func(r *Reach) { r.PortMap = false }), but(func(g *got) { g.portMap = false })},
		"no AutoNAT":       {without(func(r *Reach) { r.AutoNAT = false }), but(func(g *got) { g.service, g.v2 = false, false })},
		"no relay client":  {without(func(r *Reach) { r.RelayClient = false }), but(func(g *got) { g.autoRelay, g.holes = false, false })},
		"no relay service": {without(func(r *Reach) { r.RelayService = false }), but(func(g *got) { g.relayService = false })},
		"no hole punching": {without(func(r *Reach) { r.HolePunching = false }), but(func(g *got) { g.holes = false })},
		"public": {without(func(r *Reach) { r.Reachability = ReachabilityPublic }),
			but(func(g *got) { g.forced = network.ReachabilityPublic })},
		"private": {without(func(r *Reach) { r.Reachability = ReachabilityPrivate }),
			but(func(g *got) { g.forced = network.ReachabilityPrivate })},
		"nothing": {Reach{}, got{forced: network.ReachabilityPublic}},
	} {
		if g := look(assembled(t, Config{Routing: RoutingAuto, Reach: c.reach})); g != c.want {
			t.Errorf("%s: got %+v, want %+v", name, g, c.want)
		}
		// Without routing nobody is asked for anything, whatever is set.
		if g := look(assembled(t, Config{Routing: RoutingNone, Reach: c.reach})); g != (got{forced: network.ReachabilityPublic}) {
			t.Errorf("%s, without routing: got %+v", name, g)
		}
	}
}

func TestReachThatIsNone(t *testing.T) {
	for want, cfg := range map[string]Config{
		"node.reachability":  {Reach: Reach{Reachability: "sometimes"}},
		"node.static_relays": {Routing: RoutingAuto, Bootstrap: []string{}, Reach: Reach{RelayClient: true, StaticRelays: []string{"/ip4/127.0.0.1/tcp/1"}}},
	} {
		cfg.Listen = []string{"/ip4/127.0.0.1/tcp/0"}
		n, err := New(t.Context(), cfg, walktest.NewStore(t))
		if err == nil {
			n.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, and should name %s", err, want)
		}
	}
}

// A node that nobody reaches is reached by the relay that it was told of. No
// blocks come that way, neither are any asked for; by a direct connection they
// are.
func TestRelayedConnectionsCarryNoBlocks(t *testing.T) {
	all := dagtest.Tree(dagtest.Leaves(20, 100), 5)
	relay, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableMetrics(),
		libp2p.EnableRelayService(), libp2p.ForceReachabilityPublic())
	if err != nil {
		t.Fatal(err)
	}
	defer relay.Close()
	store := walktest.NewStore(t, all[0])
	hold(t, store, 99, all[0])
	woken := make(chan string, 16)
	n := newTestNode(t, store, func(c *Config) {
		c.Routing, c.Bootstrap = RoutingAuto, []string{}
		c.Reach = Reach{
			RelayClient: true, Reachability: ReachabilityPrivate,
			StaticRelays: []string{withPeer(relay.Addrs()[0], relay.ID())},
		}
		c.OnPeer = func(p string, _ bool) { woken <- p }
	})
	src := newSource(t, all...) // with a relay transport of its own, below
	client, err := libp2p.New(libp2p.NoListenAddrs, libp2p.EnableRelay(), libp2p.DisableMetrics())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	// The client speaks Bitswap, so that the node might ask it.
	asked := make(chan struct{}, 16)
	client.SetStreamHandler(bsnet.ProtocolBitswap, func(s network.Stream) { asked <- struct{}{}; s.Reset() })

	circuit := relay.Addrs()[0].Encapsulate(ma.StringCast("/p2p/" + relay.ID().String() + "/p2p-circuit"))
	eventually(t, "the relay forwards", func() bool {
		return client.Connect(network.WithAllowLimitedConn(t.Context(), "test"), peer.AddrInfo{ID: n.host.ID(), Addrs: []ma.Multiaddr{circuit}}) == nil
	})
	if c := client.Network().ConnsToPeer(n.host.ID()); len(c) == 0 || !c[0].Stat().Limited {
		t.Fatalf("the connection is not by the relay: %v", c)
	}

	// What the client asks for is not even read.
	s, err := client.NewStream(network.WithAllowLimitedConn(t.Context(), "test"), n.host.ID(), bsnet.ProtocolBitswap)
	if err == nil {
		m := message.New(true)
		m.AddEntry(all[0].Cid(), 1, 0, true)
		err = m.ToNetV1(s)
	}
	if err == nil {
		if err := s.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		_, err = s.Read(make([]byte, 1))
	}
	if !errors.Is(err, network.ErrReset) {
		t.Errorf("Bitswap is spoken by a relay: %v", err)
	}
	if w := n.bitswap.server.WantlistForPeer(client.ID()); len(w) > 0 {
		t.Errorf("wants that came by a relay were taken: %v", w)
	}

	// Nor would what it had asked for be sent, or a direct connection be waited for.
	if err := n.bitswap.sender.SendMessage(t.Context(), client.ID(), message.New(false)); !errors.Is(err, errNoDirect) {
		t.Errorf("what is sent: %v, want %v", err, errNoDirect)
	}

	// What the node wants is not asked for by it, and pins are not woken.
	job := newJob(dagtest.Last(all))
	done, result := start(t.Context(), n, job)
	select {
	case <-asked:
		t.Error("the node asked by a relay")
	case p := <-woken:
		if p == client.ID().String() {
			t.Error("a relayed peer is taken for one that may have blocks")
		}
	case <-time.After(300 * time.Millisecond):
	}
	src.connect(t, n)
	if _, err := wait(t, done, result); err != nil {
		t.Fatal(err)
	}
	select {
	case <-asked:
		t.Error("the node asked by a relay")
	default:
	}
}

// Peers that may be relays are those that are known and can be dialled.
func TestRelayCandidates(t *testing.T) {
	n := newTestNode(t, walktest.NewStore(t))
	var want []peer.ID
	for range 3 {
		s := newSource(t)
		s.connect(t, n)
		want = append(want, s.host.ID())
		eventually(t, "its addresses are known", func() bool { return len(n.host.Peerstore().Addrs(s.host.ID())) > 0 })
	}
	behind := newTestHost(t).ID()
	n.host.Peerstore().AddAddr(behind, ma.StringCast("/ip4/127.0.0.1/tcp/1/p2p/"+want[0].String()+"/p2p-circuit"), time.Hour)
	got := map[peer.ID]bool{}
	for p := range n.relayCandidates(t.Context(), 20) {
		got[p.ID] = true
		if len(p.Addrs) == 0 {
			t.Errorf("%s comes without an address", p.ID)
		}
	}
	for _, p := range want {
		if !got[p] {
			t.Errorf("%s, which is connected, is not among them", p)
		}
	}
	if len(got) != len(want) {
		t.Errorf("there are %d, and %d peers are connected", len(got), len(want))
	}
	few := 0
	for range n.relayCandidates(t.Context(), 2) {
		few++
	}
	if few != 2 {
		t.Errorf("%d came of 2 that were asked for", few)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	unready := &Node{up: make(chan struct{})}
	if _, ok := <-unready.relayCandidates(ctx, 1); ok {
		t.Error("a host that is being closed was given a candidate")
	}
}
