package node

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/test"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"
	madns "github.com/multiformats/go-multiaddr-dns"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/node/guard/guardtest"
	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"
	"github.com/holdfast-ipfs/holdfast/pin"
)

func TestGater(t *testing.T) {
	closed, open := newGater(false, false, nil), newGater(true, false, nil)
	for _, rest := range []string{"/tcp/4001", "/udp/4001/quic-v1", "/udp/4001/quic-v1/webtransport", "/tcp/443/tls/ws", "/tcp/80/ws",
		"/tcp/443/tls/sni/example.com/ws", "/udp/4001/webrtc-direct/certhash/uEiAkH5a4DPGKUuOBjYw0CgwjvcJCJMD2K_1aluKR_tpevQ"} {
		for _, a := range guardtest.Hostile() {
			addr := guardtest.Multiaddr(a.Addr, rest)
			if closed.InterceptAddrDial("p", addr) {
				t.Errorf("%s is dialled", addr)
			}
			if !open.InterceptAddrDial("p", addr) {
				t.Errorf("%s is not dialled with private addresses allowed", addr)
			}
		}
		for _, ip := range guardtest.Public() {
			if addr := guardtest.Multiaddr(ip, rest); !closed.InterceptAddrDial("p", addr) {
				t.Errorf("%s is not dialled", addr)
			}
		}
	}
	if !closed.InterceptAccept(nil) {
		t.Error("a connection that comes in is not welcome")
	}

	g := newGater(true, true, nil)
	if g.InterceptPeerDial("p") {
		t.Error("a peer that nobody named may be dialled")
	}
	g.name("p")
	g.name("p")
	g.forget("p")
	if !g.InterceptPeerDial("p") || g.InterceptPeerDial("q") {
		t.Error("a peer that was named may not be dialled, or another one may")
	}
	g.forget("p")
	if g.InterceptPeerDial("p") {
		t.Error("a forgotten peer may be dialled")
	}
	if !newGater(true, false, nil).InterceptPeerDial("anybody") {
		t.Error("with routing, anybody may be dialled")
	}
}

// trap is where hostile addresses lead: what listens there, and the ways of
// libp2p to write an address of it.
type trap struct {
	*guardtest.Listener
	names map[string]netip.Addr
	texts map[string]string

	mu    sync.Mutex
	asked map[string]bool // names that were looked up
}

func newTrap(t *testing.T, listen string) *trap {
	return &trap{
		Listener: guardtest.Listen(t, listen),
		names:    map[string]netip.Addr{}, texts: map[string]string{}, asked: map[string]bool{},
	}
}

// addrs gives the ways to name an IP address. Once the resolver is asked no
// more may be.
func (tr *trap) addrs(ip netip.Addr) []ma.Multiaddr {
	tcp := fmt.Sprintf("/tcp/%d", tr.Port)
	udp := fmt.Sprintf("/udp/%d/quic-v1", tr.Port)
	rtc := fmt.Sprintf("/udp/%d/webrtc-direct/certhash/uEiAkH5a4DPGKUuOBjYw0CgwjvcJCJMD2K_1aluKR_tpevQ", tr.Port)
	name := fmt.Sprintf("n%d.test", len(tr.names))
	tr.names[name] = ip.WithZone("")
	tr.texts["_dnsaddr."+name] = "dnsaddr=" + guardtest.Multiaddr(ip, tcp).String()
	return []ma.Multiaddr{
		guardtest.Multiaddr(ip, tcp),
		guardtest.Multiaddr(ip, udp),
		guardtest.Multiaddr(ip, udp+"/webtransport/certhash/uEiAkH5a4DPGKUuOBjYw0CgwjvcJCJMD2K_1aluKR_tpevQ"),
		ma.StringCast("/dns/" + name + tcp),
		ma.StringCast("/dns/" + name + udp),
		ma.StringCast("/dnsaddr/" + name),
		guardtest.Multiaddr(ip, tcp+"/ws"),
		guardtest.Multiaddr(ip, tcp+"/tls/sni/"+name+"/ws"),
		guardtest.Multiaddr(ip, rtc),
		ma.StringCast("/dns/" + name + tcp + "/tls/ws"),
		ma.StringCast("/dns/" + name + rtc),
	}
}

// resolver is for the names that addrs made.
func (tr *trap) resolver(t *testing.T) network.MultiaddrDNSResolver {
	t.Helper()
	r, err := madns.NewResolver(madns.WithDefaultResolver(guardtest.Resolver(t, guardtest.Names{
		Addrs: func(name string) []netip.Addr {
			tr.mu.Lock()
			defer tr.mu.Unlock()
			tr.asked[name] = true
			return guardtest.Addrs(tr.names).Addrs(name)
		},
		Texts: func(name string) []string {
			if s, ok := tr.texts[name]; ok {
				return []string{s}
			}
			return nil
		},
	})))
	if err != nil {
		t.Fatal(err)
	}
	return swarm.ResolverFromMaDNS{Resolver: r}
}

// allAsked reports whether every name was looked up.
func (tr *trap) allAsked() bool {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return len(tr.asked) == len(tr.names)
}

func (tr *trap) empty() bool { return len(tr.Seen()) == 0 && tr.Packets() == 0 }

// dialOrigins fetches something that nobody has, with origins, each a peer of
// its own, until all of them were tried.
func dialOrigins(t *testing.T, allowPrivate bool, resolver network.MultiaddrDNSResolver, addrs []ma.Multiaddr, tried func(*Node, string) bool) {
	t.Helper()
	n := newTestNode(t, walktest.NewStore(t), func(c *Config) {
		c.Listen = []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1", "/ip4/127.0.0.1/udp/0/quic-v1/webtransport"}
		c.AllowPrivateAddresses, c.resolver = allowPrivate, resolver
	})
	var origins []string
	for _, a := range addrs {
		id, err := test.RandPeerID()
		if err != nil {
			t.Fatal(err)
		}
		origins = append(origins, a.String()+"/p2p/"+id.String())
	}
	ctx, cancel := context.WithCancel(t.Context())
	job := newJob(dagtest.Raw("nobody").Cid(), origins...)
	done, _ := start(ctx, n, job)
	for _, o := range origins {
		eventually(t, o+" is tried", func() bool { return tried(n, job.Progress.Note()) || strings.Contains(job.Progress.Note(), o) })
	}
	cancel()
	<-done
}

// Nobody who listens on this host sees a connection because of an origin that a
// client named.
func TestOriginsLeaveLoopbackAlone(t *testing.T) {
	for _, listen := range []string{"127.0.0.1", "127.8.9.1", "::1"} {
		tr := newTrap(t, listen)
		ip := netip.MustParseAddr(listen)
		addrs := tr.addrs(ip)
		if ip.Is4() {
			addrs = append(addrs, tr.addrs(netip.AddrFrom16(ip.As16()))...)
		}
		resolver := tr.resolver(t)
		// A name that leads nowhere else is refused once it was resolved.
		dialOrigins(t, false, resolver, addrs, func(n *Node, note string) bool {
			return strings.Count(note, "/p2p/") == len(addrs)
		})
		if !tr.empty() {
			t.Errorf("%s saw %v and %d packets", listen, tr.Seen(), tr.Packets())
		}
		dialOrigins(t, true, resolver, addrs[:1], func(*Node, string) bool { return len(tr.Seen()) > 0 })
	}
}

// With real sockets to every kind of address, in a network where all of them
// lead to the test.
func TestOriginsInTheirOwnNetwork(t *testing.T) {
	if !guardtest.Isolated(t) {
		return
	}
	tr := newTrap(t, "")
	var hostile []ma.Multiaddr
	for _, a := range guardtest.Hostile() {
		hostile = append(hostile, tr.addrs(a.Addr)...)
	}
	hostile = append(hostile, tr.addrs(guardtest.Own)...)
	public := tr.addrs(netip.MustParseAddr("1.1.1.1"))
	resolver := tr.resolver(t)

	// What is not guarded connects.
	dialOrigins(t, true, resolver, []ma.Multiaddr{guardtest.Multiaddr(netip.MustParseAddr("10.0.0.1"), fmt.Sprintf("/tcp/%d", tr.Port))},
		func(*Node, string) bool { return slices.Contains(tr.Seen(), netip.MustParseAddr("10.0.0.1")) })
	before := len(tr.Seen())

	const some = 60 // at a time: libp2p dials no more than about 160
	for batch := range slices.Chunk(hostile, some) {
		dialOrigins(t, false, resolver, batch, func(n *Node, note string) bool {
			// Of the unspecified and of link-local addresses libp2p itself says
			// no more than that there is no good one.
			return strings.Count(note, "/p2p/") >= len(batch)-unexplained(batch, tr)
		})
	}
	if len(tr.Seen()) != before || tr.Packets() > 0 {
		t.Errorf("connections to %v and %d packets came", tr.Seen()[before:], tr.Packets())
	}

	// And what is public is dialled.
	for _, a := range public {
		tcp, udp := len(tr.Seen()), tr.Packets()
		dialOrigins(t, false, resolver, []ma.Multiaddr{a}, func(*Node, string) bool { return len(tr.Seen()) > tcp || tr.Packets() > udp })
	}
}

// unexplained counts addresses by a name for which libp2p gives no reason.
func unexplained(addrs []ma.Multiaddr, tr *trap) (n int) {
	for _, a := range addrs {
		if name, err := a.ValueForProtocol(a[0].Protocol().Code); err == nil {
			if ip, ok := tr.names[name]; ok && (ip.Unmap().IsUnspecified() || ip.Is6() && (ip.IsLinkLocalUnicast() || ip.IsLinkLocalMulticast())) {
				n++
			}
		}
	}
	return n
}

// dhtAt is a server of the public DHT that all are told is at a public address.
func dhtAt(t *testing.T, public string) (*dht.IpfsDHT, string) {
	t.Helper()
	l, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	announce := ma.StringCast(fmt.Sprintf("/ip4/%s/tcp/%d", public, port))
	h, err := libp2p.New(
		libp2p.ListenAddrStrings(fmt.Sprintf("/ip4/0.0.0.0/tcp/%d", port)),
		libp2p.AddrsFactory(func([]ma.Multiaddr) []ma.Multiaddr { return []ma.Multiaddr{announce} }),
		libp2p.ConnectionGater(newGater(true, true, nil)), // itself it dials nobody
		libp2p.DisableRelay(), libp2p.DisableMetrics())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	d, err := dht.New(h, dht.Mode(dht.ModeServer))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d, withPeer(announce, h.ID())
}

// A DHT that is full of lies, about who has a block and about who is near it,
// makes the node connect to nobody but who is on the internet.
func TestProviderRecordsInTheirOwnNetwork(t *testing.T) {
	if !guardtest.Isolated(t) {
		return
	}
	server, bootstrap := dhtAt(t, "1.0.0.1")
	tr := newTrap(t, "")
	tell := func(wanted blocks.Block, addrs ...ma.Multiaddr) {
		id, err := test.RandPeerID()
		if err != nil {
			t.Fatal(err)
		}
		if err := server.ProviderStore().AddProvider(t.Context(), wanted.Cid().Hash(), peer.AddrInfo{ID: id, Addrs: addrs}); err != nil {
			t.Fatal(err)
		}
		near, err := test.RandPeerID()
		if err != nil {
			t.Fatal(err)
		}
		server.Host().Peerstore().AddAddrs(near, addrs, peerstore.PermanentAddrTTL)
		_, _ = server.RoutingTable().TryAddPeer(near, true, false) // if its bucket has room
	}
	public := netip.MustParseAddr("8.8.8.8")
	var wanted []blocks.Block
	// So few that all of them are tried.
	for some := range slices.Chunk(guardtest.Hostile(), 8) {
		b := dagtest.Raw(fmt.Sprint("wanted ", len(wanted)))
		for _, a := range some {
			tell(b, tr.addrs(a.Addr)...)
		}
		tell(b, tr.addrs(public)...)
		wanted = append(wanted, b)
	}
	resolver := tr.resolver(t)

	src := newSource(t, wanted...)
	n := newTestNode(t, walktest.NewStore(t), func(c *Config) {
		c.AllowPrivateAddresses, c.resolver = false, resolver
		c.Routing, c.Bootstrap = RoutingAuto, []string{bootstrap}
	})
	eventually(t, "it has joined the DHT", func() bool { return n.host.Network().Connectedness(server.Host().ID()) == network.Connected })
	var results []func() error
	for i, b := range wanted {
		job := newJob(b.Cid())
		job.Attempt = pin.Attempt(i + 1)
		done, result := start(t.Context(), n, job)
		results = append(results, func() error { _, err := wait(t, done, result); return err })
	}
	eventually(t, "the provider of the internet is dialled", func() bool { return slices.Contains(tr.Seen(), public) })
	eventually(t, "all others are tried", tr.allAsked)
	src.connect(t, n)
	for _, result := range results {
		if err := result(); err != nil {
			t.Fatal(err)
		}
	}
	for _, ip := range tr.Seen() {
		if ip != public {
			t.Errorf("%s was connected to", ip)
		}
	}
}

// What a peer says of itself when it connects is no reason to dial it there.
func TestIdentifyInItsOwnNetwork(t *testing.T) {
	if !guardtest.Isolated(t) {
		return
	}
	tr := newTrap(t, "")
	var hostile []ma.Multiaddr
	for _, a := range guardtest.Hostile() {
		hostile = append(hostile, tr.addrs(a.Addr)...)
	}
	_, bootstrap := dhtAt(t, "1.0.0.1")
	n := newTestNode(t, walktest.NewStore(t), func(c *Config) {
		c.AllowPrivateAddresses, c.resolver = false, tr.resolver(t)
		c.Routing, c.Bootstrap = RoutingAuto, []string{bootstrap} // else it dials nobody
	})
	come := func(addrs []ma.Multiaddr) host.Host {
		h := hostAt(t, addrs)
		(&source{host: h}).connect(t, n)
		eventually(t, "it has said where it is", func() bool { return ma.Contains(n.host.Peerstore().Addrs(h.ID()), addrs[0]) })
		if err := h.Network().ClosePeer(n.host.ID()); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it is gone", func() bool { return n.host.Network().Connectedness(h.ID()) != network.Connected })
		return h
	}
	for some := range slices.Chunk(hostile, 50) {
		h := come(some)
		if s, err := n.host.NewStream(t.Context(), h.ID(), "/anything"); err == nil {
			s.Close()
			t.Error("it was reached")
		}
		if !tr.empty() {
			t.Fatalf("connections to %v and %d packets came", tr.Seen(), tr.Packets())
		}
	}
	h := come([]ma.Multiaddr{guardtest.Multiaddr(netip.MustParseAddr("8.8.4.4"), fmt.Sprintf("/tcp/%d", tr.Port))})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go n.host.NewStream(ctx, h.ID(), "/anything")
	eventually(t, "an address of the internet is dialled", func() bool { return !tr.empty() })
}

// hostAt is a host that says it is where it is not.
func hostAt(t *testing.T, addrs []ma.Multiaddr) host.Host {
	t.Helper()
	h, err := libp2p.New(libp2p.NoListenAddrs, libp2p.DisableMetrics(),
		libp2p.AddrsFactory(func([]ma.Multiaddr) []ma.Multiaddr { return addrs }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// An origin by way of a relay: the relay is what would be dialled.
func TestRelaysLeaveLoopbackAlone(t *testing.T) {
	tr := newTrap(t, "127.0.0.1")
	relay, err := test.RandPeerID()
	if err != nil {
		t.Fatal(err)
	}
	var addrs []ma.Multiaddr
	for _, a := range tr.addrs(netip.MustParseAddr("127.0.0.1"))[:3] {
		addrs = append(addrs, ma.StringCast(a.String()+"/p2p/"+relay.String()+"/p2p-circuit"))
	}
	n := newTestNode(t, walktest.NewStore(t), func(c *Config) { c.AllowPrivateAddresses = false })
	job := newJob(dagtest.Raw("nobody").Cid())
	for _, a := range addrs {
		id, err := test.RandPeerID()
		if err != nil {
			t.Fatal(err)
		}
		job.Origins = append(job.Origins, pin.Origin{Addr: a.String() + "/p2p/" + id.String()})
	}
	ctx, cancel := context.WithCancel(t.Context())
	done, _ := start(ctx, n, job)
	eventually(t, "it says why it waits", func() bool { return strings.Count(job.Progress.Note(), "/p2p-circuit") == len(addrs) })
	cancel()
	<-done
	if !tr.empty() {
		t.Errorf("connections to %v and %d packets came", tr.Seen(), tr.Packets())
	}
	if known := n.host.Peerstore().Addrs(relay); len(known) > 0 {
		t.Errorf("it remembers %v", known)
	}
}

// Provider records lose the addresses that may not be dialled, and do not count
// if they have no other.
func TestFinderFilters(t *testing.T) {
	good := ma.StringCast("/ip4/1.1.1.1/tcp/1")
	private := ma.StringCast("/ip4/10.0.0.1/tcp/1")
	given := fixedFinder{
		{ID: "away", Addrs: []ma.Multiaddr{private}}, {ID: "here", Addrs: []ma.Multiaddr{private}},
		{ID: "both", Addrs: []ma.Multiaddr{private, good}}, {ID: "more", Addrs: []ma.Multiaddr{good}},
		{ID: "known"},
	}
	find := func(most int) (got []string) {
		f := guardedFinder{given, newGater(false, false, nil).guard, func(p peer.ID) bool { return p == "here" }}
		for p := range f.FindProvidersAsync(t.Context(), dagtest.Raw("wanted").Cid(), most) {
			got = append(got, fmt.Sprint(string(p.ID), p.Addrs))
		}
		return got
	}
	here, both, more := "here[]", "both["+good.String()+"]", "more["+good.String()+"]"
	if got, want := find(2), []string{here, both}; !slices.Equal(got, want) {
		t.Errorf("of two, got %v, want %v", got, want)
	}
	if got, want := find(0), []string{here, both, more, "known[]"}; !slices.Equal(got, want) {
		t.Errorf("of all, got %v, want %v", got, want)
	}
}

// fixedFinder finds the same providers of everything.
type fixedFinder []peer.AddrInfo

func (f fixedFinder) FindProvidersAsync(ctx context.Context, _ cid.Cid, _ int) <-chan peer.AddrInfo {
	out := make(chan peer.AddrInfo)
	go func() {
		defer close(out)
		for _, p := range f {
			select {
			case out <- p:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}
