package node

import (
	"errors"
	"fmt"
	"slices"
	"syscall"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/pnet"
	"github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/host/autorelay"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/libp2p/go-libp2p/p2p/transport/tcpreuse"
	webrtc "github.com/libp2p/go-libp2p/p2p/transport/webrtc"
	webtransport "github.com/libp2p/go-libp2p/p2p/transport/webtransport"
	ma "github.com/multiformats/go-multiaddr"
	"go.uber.org/fx"
)

// userAgent is what other nodes and routers are told.
const userAgent = "holdfast"

// newHost starts a host on the configuration's addresses. told makes of the addresses that
// it has those that others are told. relays gives peers that may be relays. The caller
// closes it.
func newHost(cfg Config, key crypto.PrivKey, swarmKey pnet.PSK, told func([]ma.Multiaddr) []ma.Multiaddr, g *gater, relays autorelay.PeerSource) (host.Host, error) {
	listening, err := parseListen(cfg.Listen)
	if err != nil {
		return nil, err
	}
	options, err := hostOptions(cfg, swarmKey, listening, told, g, relays)
	if err != nil {
		return nil, err
	}
	managers, err := cfg.Limits.managers(cfg.Metrics)
	if err != nil {
		return nil, err
	}
	options = append(options, libp2p.Identity(key), libp2p.ConnectionGater(g), newMuxer(cfg.Limits.streamWindow()).option())
	h, err := libp2p.New(append(options, managers...)...)
	if err != nil {
		return nil, fmt.Errorf("start the libp2p host: %w", err)
	}
	if err := listen(h, cfg, listening); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

// hostOptions are the options of a host but for those that something is
// started for.
func hostOptions(cfg Config, swarmKey pnet.PSK, listening []ma.Multiaddr, told func([]ma.Multiaddr) []ma.Multiaddr, g *gater, relays autorelay.PeerSource) ([]libp2p.Option, error) {
	options := []libp2p.Option{
		libp2p.UserAgent(userAgent),
		libp2p.AddrsFactory(told),
		// With SO_REUSEPORT two servers could listen on one port, each getting
		// half of the other's connections.
		libp2p.Transport(tcp.NewTCPTransport, tcp.DisableReuseport()),
		libp2p.Transport(newWebSocket(cfg, g)),
	}
	if sharesPorts(listening) {
		if swarmKey != nil {
			return nil, errors.New("node.listen: TCP and WebSocket cannot share a port in a private network: give them one each")
		}
		// As libp2p.ShareTCPListener has it, but without SO_REUSEPORT.
		options = append(options, libp2p.WithFxOption(fx.Decorate(func(_ *tcpreuse.ConnMgr, u transport.Upgrader) *tcpreuse.ConnMgr {
			return tcpreuse.NewConnMgr(false, u)
		})))
	}
	if swarmKey != nil {
		options = append(options, libp2p.PrivateNetwork(swarmKey))
	} else {
		options = append(options, libp2p.Transport(quic.NewTransport), libp2p.Transport(webtransport.New), libp2p.Transport(webrtc.New))
	}
	if cfg.Metrics != nil {
		options = append(options, libp2p.PrometheusRegisterer(cfg.Metrics))
	} else {
		options = append(options, libp2p.DisableMetrics())
	}
	if cfg.resolver != nil {
		options = append(options, libp2p.MultiaddrResolver(cfg.resolver))
	}
	reach, err := cfg.Reach.options(relays)
	return append(options, reach...), err
}

// parseListen reads the addresses to listen on. Those of WebRTC come last: it takes the
// port of QUIC, if that has it.
func parseListen(addrs []string) (out []ma.Multiaddr, err error) {
	for _, s := range addrs {
		a, err := ma.NewMultiaddr(s)
		if err != nil {
			return nil, fmt.Errorf("node.listen: %q is not a multiaddr: %w", s, err)
		}
		out = append(out, a)
	}
	order := func(a ma.Multiaddr) int {
		if has(a, ma.P_WEBRTC_DIRECT) {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(out, func(a, b ma.Multiaddr) int {
		return order(a) - order(b)
	})
	return out, nil
}

// listen opens every address of the configuration. The host itself is content
// with one of them, and half a node is hard to notice.
func listen(h host.Host, cfg Config, addrs []ma.Multiaddr) error {
	if len(addrs) == 0 {
		return errors.New("node.listen is empty: there is no address to listen on")
	}
	for _, a := range addrs {
		if cfg.Certificate == nil && hasTLS(a) {
			return fmt.Errorf("node.listen: %s needs a certificate, which is that of http.tls", a)
		}
		err := h.Network().(*swarm.Swarm).AddListenAddr(a)
		switch {
		case err == nil:
		case errors.Is(err, syscall.EAFNOSUPPORT), errors.Is(err, syscall.EADDRNOTAVAIL) && isIPv6(a):
			cfg.Logger.Info("not listening on an address that this machine does not have", "address", a.String(), "error", err)
		default:
			return fmt.Errorf("node.listen: cannot listen on %s: %w", a, err)
		}
	}
	if len(directAddrs(h.Network().ListenAddresses())) == 0 { // relays are listened by, too
		return fmt.Errorf("node.listen: this machine has none of the addresses %v", cfg.Listen)
	}
	return nil
}

// NeedsCertificate reports whether Config.Certificate is needed to listen on a multiaddr.
func NeedsCertificate(listen string) bool {
	a, err := ma.NewMultiaddr(listen)
	return err == nil && hasTLS(a)
}

// hasTLS reports whether an address is of WebSocket over TLS: the other transports with
// encryption bring their own.
func hasTLS(a ma.Multiaddr) bool { return has(a, ma.P_TLS) || has(a, ma.P_WSS) }

func isIPv6(a ma.Multiaddr) bool { return len(a) > 0 && a[0].Protocol().Code == ma.P_IP6 }

// has reports whether an address has the protocol with that code.
func has(a ma.Multiaddr, protocol int) bool {
	return slices.ContainsFunc(a, func(c ma.Component) bool { return c.Protocol().Code == protocol })
}
