package daemon

import (
	"net/netip"
	"testing"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// The nodes are told to connect to public addresses, and to that of the client.
func TestPublicOrigin(t *testing.T) {
	const peer = "/p2p/12D3KooWGzxzKZYveHXtpG6AsrUJBcWxHBFS2HsEoGTxrMLvKXtf"
	from := netip.MustParseAddr("192.168.7.7")
	for addr, want := range map[string]bool{
		"/ip4/8.8.8.8/tcp/4001" + peer:                       true,
		"/ip4/8.8.8.8/udp/4001/quic-v1" + peer:               true,
		"/ip6/2606:4700::1111/tcp/4001" + peer:               true,
		"/ip4/8.8.8.8/tcp/443/tls/sni/example.org/ws" + peer: true,
		"/ip4/192.168.7.7/tcp/4001" + peer:                   true,
		"/ip6/::ffff:192.168.7.7/tcp/4001" + peer:            true,
		"/ip4/192.168.7.8/tcp/4001" + peer:                   false,
		"/ip4/127.0.0.1/tcp/4001" + peer:                     false,
		"/ip6/::1/tcp/4001" + peer:                           false,
		"/ip6zone/eth0/ip6/fe80::1/tcp/4001" + peer:          false,
		"/dns4/example.org/tcp/4001" + peer:                  false,
		"/dnsaddr/example.org" + peer:                        false,
		"/unix/run/x" + peer:                                 false,
		peer:                                                 false,
		"":                                                   false,
		"no address":                                         false,
		"/ip6/::1/tcp/4001" + peer + "/p2p-circuit/ip4/8.8.8.8/tcp/1" + peer:        false,
		"/dns4/localhost/tcp/4001" + peer + "/p2p-circuit/ip4/8.8.8.8/tcp/1" + peer: false,
		"/dnsaddr/localhost" + peer + "/p2p-circuit/ip4/8.8.8.8/tcp/1" + peer:       false,
		peer + "/p2p-circuit/ip4/8.8.8.8/tcp/1" + peer:                              false,
		"/ip4/8.8.8.8/tcp/4001" + peer + "/p2p-circuit" + peer:                      false,
		"/ip4/8.8.8.8/ip6/::1/tcp/4001" + peer:                                      false,
		"/ip4/8.8.8.8/tcp/1/ip4/127.0.0.1/tcp/4001" + peer:                          false,
		"/ip4/8.8.8.8/tcp/1/dns4/localhost/tcp/4001" + peer:                         false,
		"/ip4/8.8.8.8/ip4/192.168.7.7/tcp/4001" + peer:                              false,
	} {
		if got := publicOrigin(pin.Origin{Addr: addr, From: from}); got != want {
			t.Errorf("%s passes: %v", addr, got)
		}
	}
}
