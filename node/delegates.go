package node

import (
	"cmp"
	"net/netip"
	"slices"

	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/holdfast-ipfs/holdfast/node/guard"
)

// maxDelegates is how many delegates an answer of the Pinning Services API may have.
const maxDelegates = 20

// How far away an address can be dialled from.
const (
	fromNowhere  = iota
	fromHost     // this machine alone
	fromNetwork  // the local network
	fromInternet // anywhere; also names, whatever they lead to
)

// The transports, in the order in which a client should try them. Kubo dials delegates one
// after the other. TCP is what firewalls let through most, and what is behind it a Kubo
// needs only if it can do neither of the first two.
const (
	byTCP = iota
	byQUIC
	bySecureWebSocket
	byWebTransport
	byWebRTC
	byWebSocket // pages that came by HTTPS may not use it
)

// delegate is an address that may be one of the delegates.
type delegate struct {
	addr                     ma.Multiaddr
	from, version, transport int
	nth                      int // of its kind, which is the three above
}

// pickDelegates chooses among addresses, the likeliest first, those that clients are told:
// at most [maxDelegates], and the first of each kind before the second of any. A kind is a
// transport, IPv4 or IPv6, and the internet or the local network. Those of this host alone
// are told if there are no others. They come in the order in which a Kubo should try them.
func pickDelegates(addrs []ma.Multiaddr) []ma.Multiaddr {
	type kind struct{ from, version, transport int }
	var all []delegate
	count := make(map[kind]int)
	for _, a := range addrs {
		from := fromOf(a)
		if from == fromNowhere || slices.ContainsFunc(all, func(d delegate) bool { return d.addr.Equal(a) }) {
			continue
		}
		k := kind{from, versionOf(a), transportOf(a)}
		all = append(all, delegate{a, k.from, k.version, k.transport, count[k]})
		count[k]++
	}
	if slices.ContainsFunc(all, func(d delegate) bool { return d.from > fromHost }) {
		all = slices.DeleteFunc(all, func(d delegate) bool { return d.from == fromHost })
	}
	slices.SortStableFunc(all, func(a, b delegate) int {
		return cmp.Or(a.nth-b.nth, b.from-a.from, a.version-b.version, a.transport-b.transport)
	})
	all = all[:min(len(all), maxDelegates)]
	slices.SortStableFunc(all, func(a, b delegate) int {
		return cmp.Or(a.transport-b.transport, b.from-a.from, a.version-b.version, a.nth-b.nth)
	})
	out := make([]ma.Multiaddr, 0, len(all))
	for _, d := range all {
		out = append(out, d.addr)
	}
	return out
}

func fromOf(a ma.Multiaddr) int {
	if len(a) == 0 {
		return fromNowhere
	}
	switch a[0].Protocol().Code {
	case ma.P_DNS, ma.P_DNS4, ma.P_DNS6, ma.P_DNSADDR:
		return fromInternet
	}
	ip, err := manet.ToIP(a)
	if err != nil {
		return fromNowhere
	}
	n, ok := netip.AddrFromSlice(ip)
	n = n.Unmap()
	switch {
	case !ok || n.IsUnspecified() || n.IsLinkLocalUnicast() || n.IsMulticast():
		return fromNowhere
	case n.IsLoopback():
		return fromHost
	case guard.Public(n):
		return fromInternet
	}
	return fromNetwork
}

// versionOf is 1 for IPv6, which fewer networks have, and 0 else.
func versionOf(a ma.Multiaddr) int {
	if has(a, ma.P_IP6) || has(a, ma.P_DNS6) {
		return 1
	}
	return 0
}

func transportOf(a ma.Multiaddr) int {
	switch {
	case hasTLS(a):
		return bySecureWebSocket
	case has(a, ma.P_WS):
		return byWebSocket
	case has(a, ma.P_WEBTRANSPORT):
		return byWebTransport
	case has(a, ma.P_WEBRTC_DIRECT):
		return byWebRTC
	case has(a, ma.P_QUIC_V1):
		return byQUIC
	}
	return byTCP
}
