package guard

import (
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

func TestRequester(t *testing.T) {
	own := &Own{
		list: func() ([]net.Addr, error) {
			var all []net.Addr
			for _, s := range []string{"127.0.0.1/8", "::1/128", "192.168.1.2/24", "8.8.4.4/24"} {
				ip, ipnet, err := net.ParseCIDR(s)
				if err != nil {
					return nil, err
				}
				ipnet.IP = ip
				all = append(all, ipnet)
			}
			return all, nil
		},
		routersOf: func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("192.168.1.1")} },
	}
	g := Guard{Own: own, Port: func(port uint16) bool { return port == 5050 }}
	const hash = "/certhash/uEiAkH5a4DPGKUuOBjYw0CgwjvcJCJMD2K_1aluKR_tpevQ"
	const id = "12D3KooWE6tLamXucfdoAuZgWX4D4DYNs1JCm1n1Lct7Xmmptxz4"
	for _, c := range []struct {
		from, addr string
		passes     bool
	}{
		// A host that asks for itself.
		{"192.168.1.7", "/ip4/192.168.1.7/tcp/4001", true},
		{"192.168.1.7", "/ip4/192.168.1.7/tcp/22", true}, // on itself alone
		{"192.168.1.7", "/ip4/192.168.1.7/tcp/4001/p2p/" + id, true},
		{"192.168.1.7", "/ip4/192.168.1.7/udp/4001/quic-v1", true},
		{"192.168.1.7", "/ip4/192.168.1.7/udp/4001/quic-v1/webtransport" + hash, true},
		{"192.168.1.7", "/ip4/192.168.1.7/udp/4001/webrtc-direct" + hash, true},
		{"::ffff:192.168.1.7", "/ip4/192.168.1.7/tcp/4001", true},
		{"192.168.1.7", "/ip6/::ffff:192.168.1.7/tcp/4001", true},
		{"10.1.2.3", "/ip4/10.1.2.3/tcp/4001", true},
		{"100.101.102.103", "/ip4/100.101.102.103/tcp/4001", true},
		{"fd00::7", "/ip6/fd00::7/tcp/4001", true},
		// This machine.
		{"127.0.0.1", "/ip4/127.0.0.1/tcp/4001", true},
		{"::1", "/ip6/::1/udp/4001/quic-v1", true},
		{"192.168.1.2", "/ip4/192.168.1.2/tcp/4001", true},
		{"8.8.4.4", "/ip4/8.8.4.4/tcp/4001", true},
		// Its other ports.
		{"127.0.0.1", "/ip4/127.0.0.1/tcp/5050", false},
		{"127.0.0.1", "/ip4/127.0.0.1/udp/5050/quic-v1", false},
		{"192.168.1.2", "/ip4/192.168.1.2/tcp/5050", false},
		{"127.0.0.1", "/ip4/127.0.0.1/tcp/22", false},
		{"8.8.4.4", "/ip4/8.8.4.4/tcp/443", false},
		// Another than who asks.
		{"192.168.1.7", "/ip4/192.168.1.8/tcp/4001", false},
		{"192.168.1.7", "/ip4/127.0.0.1/tcp/4001", false},
		{"127.0.0.1", "/ip4/127.0.0.2/tcp/4001", false},
		{"127.0.0.1", "/ip6/::1/tcp/4001", false},
		{"127.0.0.1", "/ip4/192.168.1.2/tcp/4001", false},
		{"1.1.1.1", "/ip4/192.168.1.7/tcp/4001", false},
		{"", "/ip4/192.168.1.7/tcp/4001", false},
		// Who it is does not follow from the address.
		{"192.168.1.1", "/ip4/192.168.1.1/tcp/4001", false}, // the router's
		{"1.1.1.1", "/ip4/1.1.1.1/tcp/4001", false},         // which Hint lets pass
		{"169.254.169.254", "/ip4/169.254.169.254/tcp/4001", false},
		{"168.63.129.16", "/ip4/168.63.129.16/tcp/4001", false},
		{"0.0.0.0", "/ip4/0.0.0.0/tcp/4001", false},
		{"224.0.0.1", "/ip4/224.0.0.1/udp/4001/quic-v1", false},
		{"fe80::1%eth0", "/ip6/fe80::1/tcp/4001", false},
		{"64:ff9b::a00:1", "/ip6/64:ff9b::a00:1/tcp/4001", false},
		// What other servers act on, and what is no address.
		{"192.168.1.7", "/ip4/192.168.1.7/tcp/80/http", false},
		{"192.168.1.7", "/ip4/192.168.1.7/tcp/80/ws", false},
		{"192.168.1.7", "/ip4/192.168.1.7/tcp/443/tls/ws", false},
		{"192.168.1.7", "/ip4/192.168.1.7/tcp/443/tls", false},
		{"192.168.1.7", "/ip4/192.168.1.7/tcp/4001/quic-v1", false},
		{"192.168.1.7", "/ip4/192.168.1.7/tcp/4001/p2p/" + id + "/p2p-circuit", false},
		{"192.168.1.7", "/ip4/192.168.1.7/tcp/4001/ip4/10.0.0.1/tcp/1", false},
		{"192.168.1.7", "/ip4/192.168.1.7", false},
		{"192.168.1.7", "/dns4/192.168.1.7/tcp/4001", false},
		{"192.168.1.7", "/dns/example.com/tcp/4001", false},
		{"127.0.0.1", "/unix/var/run/x.sock", false},
		{"fe80::1%eth0", "/ip6zone/eth0/ip6/fe80::1/tcp/4001", false},
	} {
		var from netip.Addr
		if c.from != "" {
			from = netip.MustParseAddr(c.from)
		}
		err := g.Requester(from, ma.StringCast(c.addr))
		if (err == nil) != c.passes {
			t.Errorf("from %s, %s: %v", c.from, c.addr, err)
		}
		if _, ok := errors.AsType[*RefusedError](err); err != nil && !ok {
			t.Errorf("from %s, %s: the error is a %T", c.from, c.addr, err)
		}
	}
	if err := (Guard{}).Requester(netip.MustParseAddr("127.0.0.1"), nil); err == nil {
		t.Error("no address passes")
	}
}

// A grant is for one peer at one socket, until it is taken back as often as it was given.
func TestGrants(t *testing.T) {
	at := ma.StringCast("/ip4/192.168.1.7/tcp/4001")
	var g Grants
	first, second := g.Grant("p", at), g.Grant("p", ma.StringCast("/ip4/192.168.1.7/tcp/4001/p2p/12D3KooWE6tLamXucfdoAuZgWX4D4DYNs1JCm1n1Lct7Xmmptxz4"))
	for addr, want := range map[string]bool{
		"/ip4/192.168.1.7/tcp/4001":         true,
		"/ip6/::ffff:192.168.1.7/tcp/4001":  true,
		"/ip4/192.168.1.7/tcp/4002":         false,
		"/ip4/192.168.1.8/tcp/4001":         false,
		"/ip4/192.168.1.7/udp/4001/quic-v1": false,
		"/ip4/192.168.1.7/tcp/4001/ws":      false,
	} {
		if got := g.Has("p", ma.StringCast(addr)); got != want {
			t.Errorf("%s: %v", addr, got)
		}
		if g.Has(peer.ID("q"), ma.StringCast(addr)) {
			t.Errorf("%s is granted to another peer", addr)
		}
	}
	first()
	first() // is once
	if !g.Has("p", at) {
		t.Error("the second grant ended with the first")
	}
	second()
	if g.Has("p", at) || len(g.count) != 0 {
		t.Error("a grant outlives its end")
	}
	g.Grant("p", ma.StringCast("/dns/example.com/tcp/4001"))()
	if g.Has("p", ma.StringCast("/dns/example.com/tcp/4001")) {
		t.Error("a name is granted")
	}
}

// A grant for WebSocket is for nothing else, by whatever name the other side goes.
func TestGrantsOfWebSocket(t *testing.T) {
	var g Grants
	defer g.Grant("p", ma.StringCast("/ip4/192.168.1.7/tcp/443/tls/ws"))()
	for addr, want := range map[string]bool{
		"/ip4/192.168.1.7/tcp/443/tls/ws":                 true,
		"/ip4/192.168.1.7/tcp/443/wss":                    true,
		"/ip4/192.168.1.7/tcp/443/tls/sni/example.com/ws": true,
		"/ip4/192.168.1.7/tcp/443":                        false,
		"/ip4/192.168.1.7/tcp/443/tls":                    false,
		"/ip4/192.168.1.7/tcp/443/tls/http":               false,
		"/ip4/192.168.1.7/tcp/80/ws":                      false,
		"/ip4/192.168.1.7/udp/443/quic-v1/ws":             false,
		"/ip4/192.168.1.8/tcp/443/tls/ws":                 false,
	} {
		if got := g.Has("p", ma.StringCast(addr)); got != want {
			t.Errorf("%s: %v", addr, got)
		}
	}
}
