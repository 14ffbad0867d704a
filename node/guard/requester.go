package guard

import (
	"net/netip"
	"strconv"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// Requester judges an address that a request names, when the request surely came from the
// IP address from: it may be dialled for that request, although Hint refuses it, if it is at
// from itself. The one who asks can then reach nothing but its own machine.
//
// What remains refused, and why:
//   - an address of a kind that no single machine has, or that others stand behind: a
//     router of this machine ([Interfaces]) has sent us the requests of many, and what
//     listens at it is not theirs
//   - at this machine itself, the ports that the server listens on ([Guard.Port]), and
//     those below 1024, which are the system's: a program that forwards connections, and
//     says nothing of it, makes everybody's requests come from this machine
//   - all but TCP and the transports over QUIC and WebRTC: HTTP and WebSocket say something
//     that other servers act on
//
// Errors: [*RefusedError].
func (g Guard) Requester(from netip.Addr, a ma.Multiaddr) error {
	refuse := func(why string) error { return &RefusedError{Addr: a.String(), Why: why} }
	s, ok := socketOf(a)
	if !ok || s.webSocket {
		return refuse("no address that a request can name of itself")
	}
	from = plain(from)
	if !from.IsValid() || s.addr != from {
		return refuse("not where the request came from")
	}
	own := from.IsLoopback() || g.Own.has(from)
	switch {
	case own:
		if s.port < 1024 || g.Port != nil && g.Port(s.port) {
			return refuse("a port of this machine's system, or of this server")
		}
	case !from.IsPrivate() && !carrierNAT.Contains(from): // of IPv6, unique local ones are private
		return refuse("not on a private network")
	case g.Own.isRouter(from):
		return refuse("a router's address, which the requests of many come from")
	}
	return nil
}

// carrierNAT is also what private networks over the internet take, such as Tailscale's.
var carrierNAT = netip.MustParsePrefix("100.64.0.0/10")

// socket is where an address leads. Whether it is spoken to by WebSocket counts: that begins with
// HTTP, which other servers act on. Otherwise it does not matter what is spoken there.
type socket struct {
	addr      netip.Addr // plain
	udp       bool
	webSocket bool
	port      uint16
}

// socketOf gives the socket of an address that begins with an IP address and a port, and
// that is spoken to by libp2p's own means or by WebSocket: not by way of a relay.
func socketOf(a ma.Multiaddr) (s socket, ok bool) {
	if len(a) < 2 {
		return socket{}, false
	}
	if code := a[0].Protocol().Code; code != ma.P_IP4 && code != ma.P_IP6 {
		return socket{}, false
	}
	ip, _ := netip.AddrFromSlice(a[0].RawValue())
	switch a[1].Protocol().Code {
	case ma.P_TCP:
	case ma.P_UDP:
		s.udp = true
	default:
		return socket{}, false
	}
	port, err := strconv.ParseUint(a[1].Value(), 10, 16)
	if err != nil {
		return socket{}, false
	}
	tls := false
	for _, c := range a[2:] {
		switch c.Protocol().Code {
		case ma.P_TLS, ma.P_SNI:
			tls = true
		case ma.P_WS, ma.P_WSS:
			s.webSocket = true
		case ma.P_QUIC_V1, ma.P_WEBTRANSPORT, ma.P_WEBRTC_DIRECT, ma.P_CERTHASH:
			if !s.udp {
				return socket{}, false
			}
		case ma.P_P2P:
		default:
			return socket{}, false
		}
	}
	if s.webSocket && s.udp || tls && !s.webSocket {
		return socket{}, false
	}
	s.addr, s.port = plain(ip), uint16(port)
	return s, true
}

// Grants are addresses that may be dialled, each to reach one peer, although a guard
// refuses them. The zero value has none. Methods may be called concurrently.
type Grants struct {
	mu    sync.Mutex
	count map[grant]int
}

type grant struct {
	peer peer.ID
	at   socket
}

// Grant lets a peer be dialled at an address until end is called, by whatever libp2p speaks
// there, or by WebSocket if the address is of WebSocket. Others, and other addresses of the
// peer, are judged as before.
func (g *Grants) Grant(p peer.ID, a ma.Multiaddr) (end func()) {
	s, ok := socketOf(a)
	if !ok {
		return func() {}
	}
	to := grant{p, s}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.count == nil {
		g.count = make(map[grant]int)
	}
	g.count[to]++
	return sync.OnceFunc(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.count[to]--; g.count[to] == 0 {
			delete(g.count, to)
		}
	})
}

// Has reports whether a peer may be dialled at an address because of a Grant.
func (g *Grants) Has(p peer.ID, a ma.Multiaddr) bool {
	s, ok := socketOf(a)
	if !ok {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.count[grant{p, s}] > 0
}
