package node

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/test"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	madns "github.com/multiformats/go-multiaddr-dns"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/node/guard/guardtest"
	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"
)

// A peer that a request names by its ID alone, or at an address that is closed by now, is
// looked up. It provides nothing, and does not dial us.
func TestOriginsAreLookedUp(t *testing.T) {
	all := dagtest.Tree(dagtest.Leaves(20, 100), 10)
	servers, first := dhtServers(t, 5)
	src := newSource(t, all...)
	dhtOn(t, src.host, dht.ModeClient)
	for _, s := range servers {
		connectHosts(t, src.host, s.Host())
	}
	for name, origin := range map[string]string{
		"an ID":                   "/p2p/" + src.host.ID().String(),
		"an ID in the old form":   "/ipfs/" + src.host.ID().String(),
		"an ID as a CID":          "/p2p/" + peer.ToCid(src.host.ID()).String(),
		"an address that is gone": "/ip4/127.0.0.1/tcp/1/p2p/" + src.host.ID().String(),
	} {
		t.Run(name, func(t *testing.T) {
			store := walktest.NewStore(t)
			n := newTestNode(t, store, auto(first))
			done, result := start(t.Context(), n, newJob(dagtest.Last(all), origin))
			if _, err := wait(t, done, result); err != nil {
				t.Fatal(err)
			}
			store.CheckWhole(1, all)
		})
	}
}

// An origin that cannot be dialled here is named, with the reason, and costs the others
// nothing.
func TestOriginsThatCannotBeDialled(t *testing.T) {
	id, err := test.RandPeerID()
	if err != nil {
		t.Fatal(err)
	}
	for origin, why := range map[string]string{
		"/memory/1/p2p/" + id.String():                    "transport",
		"/ip4/127.0.0.1/udp/1/utp/p2p/" + id.String():     "transport",
		"/p2p/" + id.String():                             "no address",
		"/dns4/nobody.test/tcp/443/tls/http":              "node.http_retrieval",
		"/dnsaddr/nobody.test":                            "no peer is found by this name",
		"/dnsaddr/nobody.test/p2p/" + id.String():         "",
		"/ip4/127.0.0.1/udp/1/quic-v9/p2p/" + id.String(): "", // which the pin's info names
		"/ip4/127.0.0.1/tcp/1":                            "",
	} {
		t.Run(origin, func(t *testing.T) {
			resolver, err := madns.NewResolver(madns.WithDefaultResolver(guardtest.Resolver(t, guardtest.Addrs(map[string]netip.Addr{}))))
			if err != nil {
				t.Fatal(err)
			}
			n := newTestNode(t, walktest.NewStore(t), func(c *Config) { c.resolver = swarm.ResolverFromMaDNS{Resolver: resolver} })
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			lonely := newJob(dagtest.Raw("nobody").Cid(), origin)
			waits, _ := start(ctx, n, lonely)
			eventually(t, "info says why", func() bool {
				note := lonely.Progress.Note()
				return why == "" || strings.Contains(note, why) && strings.Contains(note, origin)
			})
			cancel()
			<-waits

			all := dagtest.Tree(dagtest.Leaves(5, 100), 10)
			done, result := start(t.Context(), n, newJob(dagtest.Last(all), origin, newSource(t, all...).addr()))
			if _, err := wait(t, done, result); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A name stands for the peers that DNS has for it.
func TestOriginByNameAlone(t *testing.T) {
	all := dagtest.Tree(dagtest.Leaves(20, 100), 10)
	src := newSource(t, all...)
	resolver, err := madns.NewResolver(madns.WithDefaultResolver(guardtest.Resolver(t, guardtest.Names{
		Addrs: func(string) []netip.Addr { return nil },
		Texts: func(name string) []string {
			return map[string][]string{
				"_dnsaddr.nodes.test":     {"dnsaddr=/dnsaddr/one.nodes.test", "dnsaddr=nonsense", "dnsaddr=/ip4/127.0.0.1/tcp/1"},
				"_dnsaddr.one.nodes.test": {"dnsaddr=" + src.addr()},
			}[name]
		},
	})))
	if err != nil {
		t.Fatal(err)
	}
	named := func(c *Config) { c.resolver = swarm.ResolverFromMaDNS{Resolver: resolver} }
	store := walktest.NewStore(t)
	n := newTestNode(t, store, named)
	done, result := start(t.Context(), n, newJob(dagtest.Last(all), "/dnsaddr/nodes.test"))
	if _, err := wait(t, done, result); err != nil {
		t.Fatal(err)
	}
	store.CheckWhole(1, all)

	// What it leads to is judged as any address is, wherever the request came from.
	strict := newTestNode(t, walktest.NewStore(t), named, guarded)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	job := near(newJob(dagtest.Last(all), "/dnsaddr/nodes.test"), loopback)
	waits, _ := start(ctx, strict, job)
	eventually(t, "it says why it waits", func() bool { return strings.Contains(job.Progress.Note(), "node.allow_private_addresses") })
	cancel()
	<-waits
}

// A gateway can be an origin, with a peer ID or without.
func TestOriginThatIsAGateway(t *testing.T) {
	all := dagtest.Tree(dagtest.Leaves(20, 100), 10)
	addr, _ := serveGateway(t, all, func(cid.Cid) bool { return false })
	id, err := test.RandPeerID()
	if err != nil {
		t.Fatal(err)
	}
	for _, origin := range []string{addr.String(), withPeer(addr, id)} {
		store := walktest.NewStore(t)
		n := newTestNode(t, store, func(c *Config) { c.HTTPRetrieval = true })
		done, result := start(t.Context(), n, newJob(dagtest.Last(all), origin))
		if _, err := wait(t, done, result); err != nil {
			t.Fatal(err)
		}
		store.CheckWhole(1, all)
	}
}

// Delegated routers are asked where an origin is.
func TestOriginThatARouterKnows(t *testing.T) {
	all := dagtest.Tree(dagtest.Leaves(20, 100), 10)
	src := newSource(t, all...)
	store := walktest.NewStore(t)
	n := newTestNode(t, store, auto(), func(c *Config) { c.DelegatedRouters = []string{peerRouter(t, infoOf(src))} })
	done, result := start(t.Context(), n, newJob(dagtest.Last(all), "/p2p/"+src.host.ID().String()))
	if _, err := wait(t, done, result); err != nil {
		t.Fatal(err)
	}
	store.CheckWhole(1, all)
}

// peerRouter is a router that knows where one peer is, and nobody who has a block.
func peerRouter(t *testing.T, knows peer.AddrInfo) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path != "/routing/v1/peers/"+peer.ToCid(knows.ID).String() {
			http.NotFound(w, req)
			return
		}
		w.Header().Set("Content-Type", "application/x-ndjson")
		if err := json.NewEncoder(w).Encode(map[string]any{"Schema": "peer", "ID": knows.ID, "Addrs": knows.Addrs}); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// An origin that only a relay leads to is connected to, and the note says what is missing. Once
// it connects by itself, it delivers.
func TestOriginThroughARelay(t *testing.T) {
	all := dagtest.Tree(dagtest.Leaves(20, 100), 10)
	relay, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableMetrics(),
		libp2p.EnableRelayService(), libp2p.ForceReachabilityPublic())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { relay.Close() })
	h, err := libp2p.New(libp2p.NoListenAddrs, libp2p.EnableRelay(), libp2p.DisableMetrics())
	if err != nil {
		t.Fatal(err)
	}
	src := newSourceAt(t, h, all...)
	eventually(t, "the relay has the source", func() bool {
		if h.Connect(t.Context(), peer.AddrInfo{ID: relay.ID(), Addrs: relay.Addrs()}) != nil {
			return false
		}
		_, err := client.Reserve(t.Context(), h, peer.AddrInfo{ID: relay.ID(), Addrs: relay.Addrs()})
		return err == nil
	})
	n := newTestNode(t, walktest.NewStore(t), auto(), func(c *Config) { c.Reach.RelayClient = true })
	circuit := withPeer(relay.Addrs()[0], relay.ID()) + "/p2p-circuit/p2p/" + h.ID().String()
	job := newJob(dagtest.Last(all), circuit)
	done, result := start(t.Context(), n, job)
	eventually(t, "the note says what is missing", func() bool {
		return strings.Contains(job.Progress.Note(), circuit) && strings.Contains(job.Progress.Note(), "a direct connection")
	})
	ai, err := peer.AddrInfoFromString(n.Delegates()[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := src.host.Connect(network.WithForceDirectDial(t.Context(), "test"), *ai); err != nil {
		t.Fatal(err)
	}
	if _, err := wait(t, done, result); err != nil {
		t.Fatal(err)
	}
}
