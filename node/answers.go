package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"
	madns "github.com/multiformats/go-multiaddr-dns"
)

// answersTime bounds how long Answers takes: a dial to addresses where nobody is, joining the
// DHT, a lookup there, and another dial.
const answersTime = dialTimeout + joinTime + 2*dialTimeout

// Answers reports where a peer answers that has the identity in cfg.KeyFile; "" if none does
// that can be reached. It dials the given multiaddrs, where that peer was, and then those at
// which the routing of the configuration knows it. It listens nowhere, and has an identity of
// its own meanwhile. The addresses come from the operator, so each may be dialled to reach that
// peer, private ones too; what others say of the peer is judged by the guard.
func Answers(ctx context.Context, cfg Config, addrs []string) (at string, err error) {
	key, err := loadIdentity(cfg.KeyFile)
	if err != nil {
		return "", err
	}
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		return "", fmt.Errorf("derive the peer ID: %w", err)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.resolver == nil {
		cfg.resolver = swarm.ResolverFromMaDNS{Resolver: madns.DefaultResolver}
	}
	cfg.KeyFile, cfg.Metrics, cfg.Datastore, cfg.NoProvide = "", nil, nil, true
	cfg.Limits, cfg.Reach = cfg.Limits.withDefaults(), Reach{Reachability: ReachabilityPrivate}
	swarmKey, err := loadSwarmKey(cfg.SwarmKeyFile)
	if err == nil && swarmKey != nil {
		cfg, err = privateConfig(cfg, swarmKey, slog.New(slog.DiscardHandler))
	}
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, answersTime)
	defer cancel()
	g := newGater(cfg.AllowPrivateAddresses, false, cfg.OwnPort)
	options, err := hostOptions(cfg, swarmKey, nil, func(as []ma.Multiaddr) []ma.Multiaddr { return as }, g, nil)
	if err != nil {
		return "", err
	}
	managers, err := cfg.Limits.managers(nil)
	if err != nil {
		return "", err
	}
	h, err := libp2p.New(append(append(options, managers...), libp2p.NoListenAddrs, libp2p.ConnectionGater(g))...)
	if err != nil {
		return "", fmt.Errorf("start a host to look for the peer: %w", err)
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	known := peer.AddrInfo{ID: id}
	for _, s := range addrs {
		a, err := ma.NewMultiaddr(s)
		if err != nil {
			continue // of a version that knows more
		}
		transport, _ := peer.SplitAddr(a)
		if len(transport) == 0 {
			continue
		}
		defer g.grants.Grant(id, transport)()
		known.Addrs = append(known.Addrs, transport)
	}
	if at := answersAt(ctx, h, known); at != "" || cfg.Routing != RoutingAuto {
		return at, ctx.Err()
	}
	r, err := newRouter(ctx, cfg, h, g, nil)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	found, err := r.peers.Find(ctx, id)
	if err != nil {
		return "", nil // nobody knows it
	}
	return answersAt(ctx, h, peer.AddrInfo{ID: id, Addrs: found}), nil
}

// answersAt dials a peer, and gives the address at which it answers; "" if it does not.
func answersAt(ctx context.Context, h host.Host, p peer.AddrInfo) string {
	if len(p.Addrs) == 0 {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if h.Connect(ctx, p) != nil {
		return ""
	}
	for _, c := range h.Network().ConnsToPeer(p.ID) {
		return c.RemoteMultiaddr().String()
	}
	return "" // it was there, and hung up
}
