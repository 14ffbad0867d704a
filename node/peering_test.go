package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"
	madns "github.com/multiformats/go-multiaddr-dns"

	"github.com/holdfast-ipfs/holdfast/logtest"
	"github.com/holdfast-ipfs/holdfast/node/guard"
	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"
)

func connected(n *Node, s *source) bool {
	return n.host.Network().Connectedness(s.host.ID()) == network.Connected
}

// A connection to a fixed peer is there from the start and is kept up, also
// without routing, where nobody else is dialled.
func TestPeering(t *testing.T) {
	fixed, other := newSource(t), newSource(t)
	n := newTestNode(t, walktest.NewStore(t), func(c *Config) { c.Peering = []string{fixed.addr()} })
	eventually(t, "it is connected", func() bool { return connected(n, fixed) })
	if !n.host.ConnManager().IsProtected(fixed.host.ID(), "") {
		t.Error("the connection may be trimmed")
	}
	eventually(t, "both see it", func() bool { return len(fixed.host.Network().ConnsToPeer(n.host.ID())) > 0 })
	ended := make(chan struct{}, 8)
	n.host.Network().Notify(&network.NotifyBundle{DisconnectedF: func(network.Network, network.Conn) { ended <- struct{}{} }})
	if err := fixed.host.Network().ClosePeer(n.host.ID()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("the connection does not end")
	}
	eventually(t, "it is connected again", func() bool { return connected(n, fixed) })
	if err := n.host.Connect(t.Context(), infoOf(other)); err == nil {
		t.Error("another was dialled")
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if len(n.gater.named) > 0 {
		t.Errorf("%d peers are named after the end", len(n.gater.named))
	}
}

// A peer that is not there at first is met later.
func TestPeeringWithOneThatIsLate(t *testing.T) {
	late := newSource(t)
	addr, key := late.addr(), late.host.Peerstore().PrivKey(late.host.ID())
	listen := late.host.Addrs()[0].String()
	late.close()
	var log logtest.Buffer
	n := newTestNode(t, walktest.NewStore(t), logTo(&log), func(c *Config) { c.Peering = []string{addr} })
	eventually(t, "it says so", func() bool { return strings.Contains(log.String(), "node.peering") })
	late = &source{host: newTestHostAt(t, listen, key)}
	eventually(t, "it is connected", func() bool { return connected(n, late) })
}

// One is dialled at the private address that the operator names, by a name too. Nobody else is, and
// it is not at another one.
func TestPeeringAtAPrivateAddress(t *testing.T) {
	fixed, named, other := newSource(t), newSource(t), newSource(t)
	port, err := named.host.Addrs()[0].ValueForProtocol(ma.P_TCP)
	if err != nil {
		t.Fatal(err)
	}
	resolver := &madns.MockResolver{IP: map[string][]net.IPAddr{"named.internal": {{IP: net.IPv4(127, 0, 0, 1)}}}}
	mock, err := madns.NewResolver(madns.WithDefaultResolver(resolver))
	if err != nil {
		t.Fatal(err)
	}
	n := newTestNode(t, walktest.NewStore(t), func(c *Config) {
		c.Peering = []string{fixed.addr(), "/dns4/named.internal/tcp/" + port + "/p2p/" + named.host.ID().String()}
		c.AllowPrivateAddresses = false
		c.resolver = swarm.ResolverFromMaDNS{Resolver: mock}
	})
	eventually(t, "it is connected", func() bool { return connected(n, fixed) && connected(n, named) })
	var refused *guard.RefusedError
	if err := n.Connect(t.Context(), infoOf(other)); !errors.As(err, &refused) {
		t.Errorf("another at a private address: %v", err)
	}
	for _, s := range []*source{fixed, named} {
		if err := n.host.Network().ClosePeer(s.host.ID()); err != nil {
			t.Fatal(err)
		}
	}
	elsewhere := peer.AddrInfo{ID: fixed.host.ID(), Addrs: other.host.Addrs()}
	for _, a := range elsewhere.Addrs {
		if n.gater.judge(elsewhere.ID, a) == nil {
			t.Errorf("it may be dialled at %s", a)
		}
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	for _, a := range fixed.host.Addrs() {
		if n.gater.grants.Has(fixed.host.ID(), a) {
			t.Errorf("after the end it may be dialled at %s", a)
		}
	}
}

// That holds for every transport, WebSocket too, by an IP address and by a name.
func TestPeeringByEveryTransport(t *testing.T) {
	w := newTLSWorld(t)
	var fixed []*source
	var addrs []string
	for name, tr := range w.transports() {
		s := w.speaking(t, tr.speak, tr.listen)
		fixed = append(fixed, s)
		if name != "wss" {
			addrs = append(addrs, s.addr())
			continue
		}
		port, err := s.host.Addrs()[0].ValueForProtocol(ma.P_TCP)
		if err != nil {
			t.Fatal(err)
		}
		addrs = append(addrs, "/dns4/"+tlsName+"/tcp/"+port+"/tls/ws/p2p/"+s.host.ID().String())
	}
	n := newTestNode(t, walktest.NewStore(t), w.node, func(c *Config) {
		c.Listen = DefaultListen()[:0]
		for _, a := range []string{"/tcp/0", "/udp/0/quic-v1", "/udp/0/quic-v1/webtransport", "/udp/0/webrtc-direct"} {
			c.Listen = append(c.Listen, "/ip4/127.0.0.1"+a)
		}
		c.Peering, c.AllowPrivateAddresses = addrs, false
	})
	for i, s := range fixed {
		eventually(t, "it is connected at "+addrs[i], func() bool { return connected(n, s) })
	}
}

// namesThatFail is a resolver that fails for the names in it.
type namesThatFail struct {
	*madns.MockResolver
	fails map[string]bool
}

func (r *namesThatFail) LookupIPAddr(ctx context.Context, name string) ([]net.IPAddr, error) {
	if r.fails[name] {
		return nil, &net.DNSError{Err: "server misbehaving", Name: name, IsTemporary: true}
	}
	return r.MockResolver.LookupIPAddr(ctx, name)
}

// While a name of a fixed peer cannot be looked up, the peer may be dialled where the name led
// before. Once it leads elsewhere it is there alone.
func TestPeeringWhenANameIsNotFound(t *testing.T) {
	leads := func(to byte) []net.IPAddr { return []net.IPAddr{{IP: net.IPv4(10, 0, 0, to)}} }
	names := &namesThatFail{
		MockResolver: &madns.MockResolver{IP: map[string][]net.IPAddr{"a.internal": leads(1), "b.internal": leads(2)}},
		fails:        make(map[string]bool),
	}
	resolver, err := madns.NewResolver(madns.WithDefaultResolver(names))
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{resolver: swarm.ResolverFromMaDNS{Resolver: resolver}, Logger: slog.New(slog.DiscardHandler)}
	ai := peer.AddrInfo{ID: "p", Addrs: []ma.Multiaddr{
		ma.StringCast("/dns4/a.internal/tcp/4001"), ma.StringCast("/dns4/b.internal/tcp/4001"), ma.StringCast("/ip4/10.0.0.9/tcp/4001"),
	}}
	g := newGater(false, false, nil)
	trusted := make(trust, len(ai.Addrs))
	look := func(when string, want ...int) {
		t.Helper()
		var got []int
		for i := range 10 {
			if g.grants.Has(ai.ID, ma.StringCast(fmt.Sprintf("/ip4/10.0.0.%d/tcp/4001", i))) {
				got = append(got, i)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: it may be dialled at %v, want %v", when, got, want)
		}
	}
	trusted.renew(t.Context(), cfg, g, ai)
	look("at first", 1, 2, 9)
	names.fails["a.internal"], names.IP["b.internal"] = true, leads(3)
	for range 2 {
		trusted.renew(t.Context(), cfg, g, ai)
		look("while one name fails", 1, 3, 9)
	}
	names.fails["a.internal"], names.IP["a.internal"] = false, leads(4)
	trusted.renew(t.Context(), cfg, g, ai)
	look("with both names again", 3, 4, 9)
	names.IP["b.internal"] = nil
	trusted.renew(t.Context(), cfg, g, ai)
	look("when one leads nowhere", 4, 9)
	trusted.end()
	look("after the end")
}

// A connection that is asked for is made, or why not is said.
func TestConnect(t *testing.T) {
	s := newSource(t)
	n := newTestNode(t, walktest.NewStore(t), func(c *Config) { c.AllowPrivateAddresses = true })
	for range 2 {
		if err := n.Connect(t.Context(), infoOf(s)); err != nil || !connected(n, s) {
			t.Errorf("connected %v, %v", connected(n, s), err)
		}
	}
	if err := n.Connect(t.Context(), peer.AddrInfo{ID: n.host.ID()}); err == nil {
		t.Error("it connects to itself")
	}
	gone := infoOf(s)
	s.close()
	eventually(t, "it is gone", func() bool { return !connected(n, s) })
	if err := n.Connect(t.Context(), gone); err == nil {
		t.Error("it connects to what is not there")
	}
}
