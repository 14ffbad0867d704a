package node

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/pnet"
	"github.com/libp2p/go-libp2p/p2p/host/autorelay"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	webtransport "github.com/libp2p/go-libp2p/p2p/transport/webtransport"
	ma "github.com/multiformats/go-multiaddr"
)

// userAgent is what other nodes and routers are told.
const userAgent = "holdfast"

// newHost starts a host on the configuration's addresses. relays gives peers
// that may be relays. The caller closes it.
func newHost(cfg Config, key crypto.PrivKey, swarmKey pnet.PSK, announce []ma.Multiaddr, g *gater, relays autorelay.PeerSource) (host.Host, error) {
	options, err := hostOptions(cfg, swarmKey, announce, relays)
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
	if err := listen(h, cfg); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

// hostOptions are the options of a host but for those that something is
// started for.
func hostOptions(cfg Config, swarmKey pnet.PSK, announce []ma.Multiaddr, relays autorelay.PeerSource) ([]libp2p.Option, error) {
	options := []libp2p.Option{
		libp2p.UserAgent(userAgent),
		// With SO_REUSEPORT two servers could listen on one port, each getting
		// half of the other's connections.
		libp2p.Transport(tcp.NewTCPTransport, tcp.DisableReuseport()),
	}
	if swarmKey != nil {
		options = append(options, libp2p.PrivateNetwork(swarmKey))
	} else {
		options = append(options, libp2p.Transport(quic.NewTransport), libp2p.Transport(webtransport.New))
	}
	if cfg.Metrics != nil {
		options = append(options, libp2p.PrometheusRegisterer(cfg.Metrics))
	} else {
		options = append(options, libp2p.DisableMetrics())
	}
	if cfg.resolver != nil {
		options = append(options, libp2p.MultiaddrResolver(cfg.resolver))
	}
	if len(announce) > 0 {
		options = append(options, libp2p.AddrsFactory(func([]ma.Multiaddr) []ma.Multiaddr { return announce }))
	}
	reach, err := cfg.Reach.options(relays)
	return append(options, reach...), err
}

// listen opens every address of the configuration. The host itself is content
// with one of them, and half a node is hard to notice.
func listen(h host.Host, cfg Config) error {
	if len(cfg.Listen) == 0 {
		return errors.New("node.listen is empty: there is no address to listen on")
	}
	for _, s := range cfg.Listen {
		a, err := ma.NewMultiaddr(s)
		if err != nil {
			return fmt.Errorf("node.listen: %q is not a multiaddr: %w", s, err)
		}
		err = h.Network().(*swarm.Swarm).AddListenAddr(a)
		switch {
		case err == nil:
		case errors.Is(err, syscall.EAFNOSUPPORT), errors.Is(err, syscall.EADDRNOTAVAIL) && isIPv6(a):
			cfg.Logger.Info("not listening on an address that this machine does not have", "address", s, "error", err)
		default:
			return fmt.Errorf("node.listen: cannot listen on %s: %w", s, err)
		}
	}
	if len(directAddrs(h.Network().ListenAddresses())) == 0 { // relays are listened by, too
		return fmt.Errorf("node.listen: this machine has none of the addresses %v", cfg.Listen)
	}
	return nil
}

func isIPv6(a ma.Multiaddr) bool { return len(a) > 0 && a[0].Protocol().Code == ma.P_IP6 }
