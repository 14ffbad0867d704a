package node

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"syscall"
	"time"

	"github.com/ipfs/boxo/bitswap/network/bsnet"
	"github.com/ipfs/boxo/bitswap/server"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/protocol"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"
	"github.com/libp2p/go-libp2p/x/rate"
	"github.com/pbnjay/memory"
	"github.com/prometheus/client_golang/prometheus"
)

// Limits bound what peers may take of the machine. The zero value works; each field's
// comment says what zero means there.
type Limits struct {
	// Memory is how many bytes connections and streams may reserve. Zero is a
	// quarter of the machine's memory, and no more than 4 GiB.
	Memory uint64
	// Files is how many descriptors connections may have, of which QUIC needs
	// none. Zero is a quarter of what the process may open.
	Files int
	// Connections above ConnHigh are trimmed to ConnLow, those in use by a
	// fetch last. Zero is 96 and 192. A connection costs about 100 KiB.
	ConnLow, ConnHigh int
	// BlockReaders is how many blocks the Bitswap server reads from disk at the
	// same time, SendWorkers how many messages may wait at the same time until
	// their peers take more, and OutstandingBytes how much may be on its way to
	// a peer, unless it is far away. Zero is 16, 256 and 4 MiB.
	BlockReaders, SendWorkers, OutstandingBytes int
}

const (
	// Connections younger than this are not trimmed. It is long enough to ask for a block
	// and get it.
	connGrace = 30 * time.Second

	// Connections from one IPv4 address, or one IPv6 /56: an office behind a
	// router has more than libp2p's eight.
	connPerAddress = 64
	// New connections that such a network may open at once, and how many a second after
	// that. libp2p by default lets 16 through and then one in 5 s, so that the limit above
	// would be reached after four minutes, and peers that all come by one address, such as
	// that of a proxy for a container, would get in twelve times a minute. As many as may
	// be open can be made twice at once, as after a restart of their router, and anew every
	// 10 s. A handshake costs about a millisecond of a core.
	connBurst    = 2 * connPerAddress
	connsASecond = connPerAddress / 10.0
	// An IPv6 /48 may be one network or the customers of a provider: it has the limits of
	// so many /56.
	connsWider = 4

	// Inbound connections that are allowed whatever the memory is, as in Kubo: else a
	// small machine could hardly be found, or serve anything.
	connInboundMin = 800

	// Wants that the server keeps for one peer, boxo's default. A want beyond that takes
	// the place of the one with the lowest priority.
	wantsPerPeer = 1024
)

// withDefaults fills in what is zero.
func (l Limits) withDefaults() Limits {
	l.Memory = cmp.Or(l.Memory, min(memory.TotalMemory()/4, 4<<30))
	l.Files = cmp.Or(l.Files, openFiles()/4)
	l.ConnHigh = cmp.Or(l.ConnHigh, 192)
	l.ConnLow = cmp.Or(l.ConnLow, l.ConnHigh/2)
	l.BlockReaders = cmp.Or(l.BlockReaders, 16) // the disk is local: boxo's 128 suit a remote one
	// A slow peer takes two, and one that means ill 64. Each is a goroutine; boxo has eight.
	l.SendWorkers = cmp.Or(l.SendWorkers, 256)
	// What is read for one peer before its connection has taken it. Boxo's 1 MiB is one
	// large block.
	l.OutstandingBytes = cmp.Or(l.OutstandingBytes, 4<<20)
	return l
}

// openFiles is how many files the process may open.
func openFiles() int {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return 1024 // the usual least
	}
	return int(min(r.Cur, math.MaxInt32))
}

// resourceLimits is what libp2p's resource manager enforces. As in Kubo, there is a bound on
// memory, files and inbound connections for all peers together, and on what one peer may
// open. Outbound connections are the node's own doing: files bound them, and the connection
// manager trims them.
func (l Limits) resourceLimits() rcmgr.ConcreteLimitConfig {
	scaling := rcmgr.DefaultLimits
	libp2p.SetDefaultServiceLimits(&scaling)
	limitBitswap(&scaling)
	unlimited := rcmgr.InfiniteLimits.ToPartialLimitConfig().System

	// Not every connection reserves memory, so they are counted too: one for
	// each MiB, and enough that the connection manager decides who stays.
	inbound := max(int(l.Memory>>20), 2*l.ConnHigh, connInboundMin)
	all := rcmgr.ResourceLimits{
		Memory:          rcmgr.LimitVal64(l.Memory),
		FD:              rcmgr.LimitVal(l.Files),
		Conns:           rcmgr.Unlimited,
		ConnsInbound:    rcmgr.LimitVal(inbound),
		ConnsOutbound:   rcmgr.Unlimited,
		Streams:         rcmgr.Unlimited,
		StreamsInbound:  rcmgr.Unlimited,
		StreamsOutbound: rcmgr.Unlimited,
	}
	// Connections whose peer is not known yet.
	transient := all
	transient.Memory = rcmgr.LimitVal64(l.Memory / 4)
	transient.FD = rcmgr.LimitVal(max(l.Files/4, 1))
	transient.ConnsInbound = rcmgr.LimitVal(inbound / 4)
	return rcmgr.PartialLimitConfig{
		System:               all,
		Transient:            transient,
		AllowlistedSystem:    unlimited,
		AllowlistedTransient: unlimited,
		ServiceDefault:       unlimited,
		ServicePeerDefault:   unlimited,
		ProtocolDefault:      unlimited,
		ProtocolPeerDefault:  unlimited,
		Conn:                 unlimited,
		Stream:               unlimited,
		PeerDefault: rcmgr.ResourceLimits{
			Memory:          rcmgr.DefaultLimit64, // Kubo has none; one peer is not to fill all of it
			FD:              rcmgr.Unlimited,
			Conns:           rcmgr.Unlimited,
			ConnsInbound:    rcmgr.DefaultLimit,
			ConnsOutbound:   rcmgr.Unlimited,
			Streams:         rcmgr.Unlimited,
			StreamsInbound:  rcmgr.DefaultLimit,
			StreamsOutbound: rcmgr.Unlimited,
		},
	}.Build(scaling.Scale(int64(l.Memory), l.Files))
}

// bitswapStreams is how many messages of one peer may be on their way to us. Bitswap opens a
// stream for each message, and puts no more than 16 KiB of blocks into most. With libp2p's
// limit of 64 streams a protocol, what is beyond 256 blocks of 4 KiB at a time would be
// refused, of which neither side's Bitswap learns. At most 8 senders of boxo's server write
// at the same time, but streams stay until both sides have closed them.
const bitswapStreams = 512

// allBitswapStreams is the same for all peers together.
const allBitswapStreams = 8 * bitswapStreams

// fairStreams is how many streams of Bitswap all peers together may have, in each direction,
// before the peer with the most loses some. It is less than what the resource manager allows by
// number and by memory, so that others find room at once. One peer has as many as it reads with in
// any case.
func (l Limits) fairStreams() int {
	return max(min(allBitswapStreams/4*3, int(l.Memory/2)/l.streamWindow()), 2*streamsPerPeer)
}

// limitBitswap lets a peer that serves us open bitswapStreams streams.
func limitBitswap(limits *rcmgr.ScalingLimitConfig) {
	peer := rcmgr.BaseLimit{
		StreamsInbound: bitswapStreams, StreamsOutbound: bitswapStreams, Streams: 2 * bitswapStreams,
		Memory: 64 << 20,
	}
	all := rcmgr.BaseLimit{
		StreamsInbound: allBitswapStreams, StreamsOutbound: allBitswapStreams, Streams: 2 * allBitswapStreams,
		Memory: 512 << 20,
	}
	for _, p := range []protocol.ID{bsnet.ProtocolBitswap, bsnet.ProtocolBitswapOneOne, bsnet.ProtocolBitswapOneZero, bsnet.ProtocolBitswapNoVers} {
		limits.AddProtocolLimit(p, all, rcmgr.BaseLimitIncrease{})
		limits.AddProtocolPeerLimit(p, peer, rcmgr.BaseLimitIncrease{})
	}
	limits.PeerBaseLimit.StreamsInbound = 2 * bitswapStreams
	limits.PeerBaseLimit.StreamsOutbound = 2 * bitswapStreams
	limits.PeerBaseLimit.Streams = 4 * bitswapStreams
	limits.PeerLimitIncrease.StreamsInbound = 0 // as many on any machine: they share the peer's memory
	limits.PeerLimitIncrease.StreamsOutbound = 0
	limits.PeerLimitIncrease.Streams = 0
	// Streams are transient until their protocol is agreed on.
	limits.TransientBaseLimit.StreamsInbound = 2 * bitswapStreams
	limits.TransientBaseLimit.Streams = 2 * bitswapStreams
}

// managers gives the options that hold a host to the limits. Their metrics go to reg, if that
// is not nil.
func (l Limits) managers(reg prometheus.Registerer) ([]libp2p.Option, error) {
	options := []rcmgr.Option{rcmgr.WithLimitPerSubnet(
		[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: connPerAddress}},
		[]rcmgr.ConnLimitPerSubnet{
			{PrefixLength: 56, ConnCount: connPerAddress},
			{PrefixLength: 48, ConnCount: connsWider * connPerAddress},
		},
	), rcmgr.WithConnRateLimiters(newConnections())}
	if reg == nil {
		options = append(options, rcmgr.WithMetricsDisabled())
	}
	resources, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(l.resourceLimits()), options...)
	if err != nil {
		return nil, fmt.Errorf("make the resource manager: %w", err)
	}
	conns, err := connmgr.NewConnManager(l.ConnLow, l.ConnHigh, connmgr.WithGracePeriod(connGrace))
	if err != nil {
		return nil, fmt.Errorf("make the connection manager: %w", err)
	}
	return []libp2p.Option{libp2p.ResourceManager(resources), libp2p.ConnectionManager(conns)}, nil
}

// newConnections bounds how fast connections are made, in either direction, with a network
// of one address. Loopback is not bounded.
func newConnections() *rate.Limiter {
	one := rate.Limit{RPS: connsASecond, Burst: connBurst}
	wider := rate.Limit{RPS: connsWider * connsASecond, Burst: connsWider * connBurst}
	return &rate.Limiter{
		NetworkPrefixLimits: []rate.PrefixLimit{ // without a limit
			{Prefix: netip.MustParsePrefix("127.0.0.0/8")},
			{Prefix: netip.MustParsePrefix("::1/128")},
		},
		SubnetRateLimiter: rate.SubnetLimiter{
			IPv4SubnetLimits: []rate.SubnetLimit{{PrefixLength: 32, Limit: one}},
			IPv6SubnetLimits: []rate.SubnetLimit{{PrefixLength: 56, Limit: one}, {PrefixLength: 48, Limit: wider}},
			GracePeriod:      time.Minute, // that a network without new connections is remembered
		},
	}
}

// server bounds Bitswap's server.
func (l Limits) server() []server.Option {
	return []server.Option{
		server.MaxOutstandingBytesPerPeer(engineBytes), // what is under way beyond that is the sender's
		server.MaxQueuedWantlistEntriesPerPeer(wantsPerPeer),
		server.EngineBlockstoreWorkerCount(l.BlockReaders),
		server.EngineTaskWorkerCount(min(l.SendWorkers, 8)), // each has one message ready
		server.TaskWorkerCount(l.SendWorkers),
	}
}
