package node

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	webtransport "github.com/libp2p/go-libp2p/p2p/transport/webtransport"
	ma "github.com/multiformats/go-multiaddr"
)

const (
	// Connections above the high mark are trimmed to the low one, those in use
	// by a fetch last. A connection costs about 100 KiB.
	connLow  = 96
	connHigh = 192
	// A connection this young is not trimmed: long enough to ask for a block
	// and answer.
	connGrace = 30 * time.Second

	// Connections from one IPv4 address, or one IPv6 /56: an office behind a
	// router has more than libp2p's eight.
	connPerAddress = 64
)

func newHost(cfg Config, key crypto.PrivKey, announce []ma.Multiaddr, g *gater) (host.Host, error) {
	limits := rcmgr.DefaultLimits
	libp2p.SetDefaultServiceLimits(&limits)
	resources, err := rcmgr.NewResourceManager(
		rcmgr.NewFixedLimiter(limits.AutoScale()),
		rcmgr.WithLimitPerSubnet(
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: connPerAddress}},
			[]rcmgr.ConnLimitPerSubnet{
				{PrefixLength: 56, ConnCount: connPerAddress},
				{PrefixLength: 48, ConnCount: 4 * connPerAddress},
			},
		),
		rcmgr.WithMetricsDisabled(),
	)
	if err != nil {
		return nil, fmt.Errorf("make the resource manager: %w", err)
	}
	conns, err := connmgr.NewConnManager(connLow, connHigh, connmgr.WithGracePeriod(connGrace))
	if err != nil {
		return nil, fmt.Errorf("make the connection manager: %w", err)
	}
	options := []libp2p.Option{
		libp2p.Identity(key),
		libp2p.UserAgent("holdfast"),
		// With SO_REUSEPORT two servers could listen on one port, each getting
		// half of the other's connections.
		libp2p.Transport(tcp.NewTCPTransport, tcp.DisableReuseport()),
		libp2p.Transport(quic.NewTransport),
		libp2p.Transport(webtransport.New),
		libp2p.ResourceManager(resources),
		libp2p.ConnectionManager(conns),
		libp2p.ConnectionGater(g),
		libp2p.DisableRelay(),
		// Whether others reach the node is for its operator to see to; without
		// this it would ask every peer to dial it back.
		libp2p.ForceReachabilityPublic(),
		libp2p.DisableMetrics(),
	}
	if len(announce) > 0 {
		options = append(options, libp2p.AddrsFactory(func([]ma.Multiaddr) []ma.Multiaddr { return announce }))
	}
	h, err := libp2p.New(options...)
	if err != nil {
		return nil, fmt.Errorf("start the libp2p host: %w", err)
	}
	if err := listen(h, cfg); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
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
	if len(h.Network().ListenAddresses()) == 0 {
		return fmt.Errorf("node.listen: this machine has none of the addresses %v", cfg.Listen)
	}
	return nil
}

func isIPv6(a ma.Multiaddr) bool { return len(a) > 0 && a[0].Protocol().Code == ma.P_IP6 }
