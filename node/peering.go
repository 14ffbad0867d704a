package node

import (
	"context"
	"fmt"
	"sync"

	boxopeering "github.com/ipfs/boxo/peering"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// peering keeps connections to fixed peers, whatever the routing is.
type peering struct {
	service *boxopeering.PeeringService
	gater   *gater
	peers   []peer.AddrInfo
	stop    context.CancelFunc
	wg      sync.WaitGroup
}

// startPeering connects to the peers of cfg.Peering; nil if there are none. The same rule
// holds for their addresses as for all others.
func startPeering(ctx context.Context, cfg Config, h host.Host, g *gater) (*peering, error) {
	peers, err := parsePeers("node.peering", cfg.Peering)
	if err != nil || len(peers) == 0 {
		return nil, err
	}
	p := &peering{service: boxopeering.NewPeeringService(h), gater: g, peers: peers}
	ctx, p.stop = context.WithCancel(ctx)
	for _, ai := range peers {
		g.name(ai.ID)
		p.service.AddPeer(ai)
		if !anyAddr(ai.Addrs, func(a ma.Multiaddr) bool { return g.InterceptAddrDial(ai.ID, a) }) {
			cfg.Logger.Warn("node.peering names a peer at private addresses or this server's own only, which are not dialled while node.allow_private_addresses is off",
				"peer", ai.ID)
		}
		// The service waits some seconds before its first dial.
		p.wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, dialTimeout)
			defer cancel()
			if err := h.Connect(ctx, ai); err != nil && ctx.Err() == nil {
				cfg.Logger.Info("cannot reach a peer of node.peering yet", "peer", ai.ID, "error", err)
			}
		})
	}
	if err := p.service.Start(); err != nil {
		p.close()
		return nil, fmt.Errorf("start peering: %w", err)
	}
	return p, nil
}

func anyAddr(addrs []ma.Multiaddr, ok func(ma.Multiaddr) bool) bool {
	return len(ma.FilterAddrs(addrs, ok)) > 0
}

// close lets go of the peers. Their connections stay.
func (p *peering) close() {
	p.stop()
	p.service.Stop()
	p.wg.Wait()
	for _, ai := range p.peers {
		p.service.RemovePeer(ai.ID)
		p.gater.forget(ai.ID)
	}
}
