package guard_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/holdfast-ipfs/holdfast/node/guard"
	"github.com/holdfast-ipfs/holdfast/node/guard/guardtest"
)

func TestAddr(t *testing.T) {
	for _, a := range guardtest.Hostile() {
		err := guard.Guard{}.Addr(a.Addr)
		refused, ok := errors.AsType[*guard.RefusedError](err)
		if !ok || !strings.Contains(refused.Why, a.Why) || refused.Addr != a.Addr.String() {
			t.Errorf("%s: the error is %v, want one with %q", a.Addr, err, a.Why)
		}
		if guard.Public(a.Addr) {
			t.Errorf("%s counts as public", a.Addr)
		}
		if err := (guard.Guard{AllowPrivate: true}).Addr(a.Addr); err != nil {
			t.Errorf("with private addresses allowed, %s: %v", a.Addr, err)
		}
	}
	for _, ip := range guardtest.Public() {
		if err := (guard.Guard{}).Addr(ip); err != nil || !guard.Public(ip) {
			t.Errorf("%s: %v", ip, err)
		}
	}
	if (guard.Guard{}).Addr(netip.Addr{}) == nil || guard.Public(netip.Addr{}) {
		t.Error("no address is public")
	}
}

// Whatever stands behind an address, it is the address that decides.
func TestMultiaddr(t *testing.T) {
	const relay = "/p2p/12D3KooWE6tLamXucfdoAuZgWX4D4DYNs1JCm1n1Lct7Xmmptxz4/p2p-circuit"
	rest := []string{
		"/tcp/4001", "/udp/4001/quic-v1", "/udp/4001/quic-v1/webtransport", "/udp/4001/webrtc-direct",
		"/tcp/443/tls/ws", "/tcp/443/wss", "/tcp/443/tls/sni/example.com/ws", "/tcp/443/tls/http", "/tcp/443/https",
		"/tcp/4001" + relay, "/udp/4001/quic-v1" + relay, "",
	}
	check := func(a ma.Multiaddr, hint, dial bool) {
		t.Helper()
		if err := (guard.Guard{}).Hint(a); (err == nil) != hint {
			t.Errorf("as a hint, %s: %v", a, err)
		}
		if err := (guard.Guard{}).Dial(a); (err == nil) != dial {
			t.Errorf("when it is dialled, %s: %v", a, err)
		}
		if got := (guard.Guard{}).Filter([]ma.Multiaddr{a}); (len(got) == 1) != hint {
			t.Errorf("filtered, %s is %v", a, got)
		}
		open := guard.Guard{AllowPrivate: true}
		if open.Hint(a) != nil || open.Dial(a) != nil || len(open.Filter([]ma.Multiaddr{a})) != 1 {
			t.Errorf("with private addresses allowed, %s is refused", a)
		}
	}
	for _, r := range rest {
		for _, a := range guardtest.Hostile() {
			check(guardtest.Multiaddr(a.Addr, r), false, false)
		}
		for _, ip := range guardtest.Public() {
			check(guardtest.Multiaddr(ip, r), true, true)
		}
		// A name has to be resolved before it is dialled, but for a relay's.
		for _, name := range []string{"/dns/example.com", "/dns4/localhost", "/dns6/example.com", "/dnsaddr/example.com"} {
			check(ma.StringCast(name+r), true, strings.HasSuffix(r, relay))
		}
		// An address in the place of a name is an address.
		check(ma.StringCast("/dns4/127.0.0.1"+r), false, false)
		check(ma.StringCast("/dns/10.0.0.1"+r), false, false)
		check(ma.StringCast("/dns6/::1"+r), false, false)
	}
	check(ma.StringCast(relay), true, true)
	check(ma.StringCast(strings.TrimSuffix(relay, "/p2p-circuit")), false, false)
	check(ma.StringCast("/ip4/1.1.1.1/tcp/1"+relay+"/ip4/10.0.0.1/tcp/1"), false, false)
	check(ma.StringCast("/unix/var/run/x.sock"), false, false)
	check(ma.StringCast("/memory/1"), false, false)
	check(ma.StringCast("/onion3/vww6ybal4bd7szmgncyruucpgfkqahzddi37ktceo3ah7ngmcopnpyyd:1234"), false, false)
	if (guard.Guard{}).Hint(nil) == nil || (guard.Guard{}).Dial(nil) == nil {
		t.Error("no address passes")
	}
}
