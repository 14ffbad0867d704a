package node

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/ipfs/boxo/bitswap/network/bsnet"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/protocol"
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
	limitBitswap(&limits)
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
	if cfg.resolver != nil {
		options = append(options, libp2p.MultiaddrResolver(cfg.resolver))
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

// bitswapStreams is how many messages one peer may have on their way to us. Bitswap
// opens a stream for each, and puts no more than 16 KiB of blocks into most; libp2p's
// 64 for each protocol refuse what is beyond 256 blocks of 4 KiB at a time, without a
// word to either side. 8 senders of boxo's server at most write at the same time, but
// streams stay until both sides have closed them.
const bitswapStreams = 512

// limitBitswap lets a peer that serves us have as many streams as it needs for that.
func limitBitswap(limits *rcmgr.ScalingLimitConfig) {
	peer := rcmgr.BaseLimit{
		StreamsInbound: bitswapStreams, StreamsOutbound: bitswapStreams, Streams: 2 * bitswapStreams,
		Memory: 64 << 20,
	}
	all := rcmgr.BaseLimit{
		StreamsInbound: 8 * bitswapStreams, StreamsOutbound: 8 * bitswapStreams, Streams: 16 * bitswapStreams,
		Memory: 512 << 20,
	}
	for _, p := range []protocol.ID{bsnet.ProtocolBitswap, bsnet.ProtocolBitswapOneOne, bsnet.ProtocolBitswapOneZero, bsnet.ProtocolBitswapNoVers} {
		limits.AddProtocolLimit(p, all, rcmgr.BaseLimitIncrease{})
		limits.AddProtocolPeerLimit(p, peer, rcmgr.BaseLimitIncrease{})
	}
	limits.PeerBaseLimit.StreamsInbound = 2 * bitswapStreams
	limits.PeerBaseLimit.StreamsOutbound = 2 * bitswapStreams
	limits.PeerBaseLimit.Streams = 4 * bitswapStreams
	// Streams are transient until their protocol is agreed on.
	limits.TransientBaseLimit.StreamsInbound = 2 * bitswapStreams
	limits.TransientBaseLimit.Streams = 2 * bitswapStreams
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
