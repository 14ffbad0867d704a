package node

import (
	"context"
	"fmt"
	"sync"
	"time"

	boxopeering "github.com/ipfs/boxo/peering"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	madns "github.com/multiformats/go-multiaddr-dns"
)

// peering keeps connections to fixed peers, whatever the routing is.
type peering struct {
	service *boxopeering.PeeringService
	gater   *gater
	peers   []peer.AddrInfo
	stop    context.CancelFunc
	wg      sync.WaitGroup
}

// trustAgain is how often it is looked where the names of fixed peers lead: they are the operator's
// own, and move rarely.
const trustAgain = time.Minute

// startPeering connects to the peers of cfg.Peering; nil if there are none. The operator names
// them, so they are dialled at the addresses that are named there, also at private ones. Nobody
// else is, and they are at no others.
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
		// The service waits some seconds before its first dial.
		p.wg.Go(func() {
			trusted := make(trust, len(ai.Addrs))
			defer trusted.end()
			trusted.renew(ctx, cfg, p.gater, ai)
			dial, cancel := context.WithTimeout(ctx, dialTimeout)
			if err := h.Connect(dial, ai); err != nil && ctx.Err() == nil {
				cfg.Logger.Info("cannot reach a peer of node.peering yet", "peer", ai.ID, "error", err)
			}
			cancel()
			for {
				select {
				case <-ctx.Done():
					return
				case <-time.After(trustAgain):
				}
				trusted.renew(ctx, cfg, p.gater, ai)
			}
		})
	}
	if err := p.service.Start(); err != nil {
		p.close()
		return nil, fmt.Errorf("start peering: %w", err)
	}
	return p, nil
}

// trust is what lets a peer be dialled: for each of its addresses, the ends of what was granted.
type trust [][]func()

// renew lets a peer be dialled at its addresses, and at those that names in them lead to. A name
// that cannot be looked up is taken to lead where it led before.
func (t trust) renew(ctx context.Context, cfg Config, g *gater, ai peer.AddrInfo) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	for i, a := range ai.Addrs {
		at := []ma.Multiaddr{a}
		if madns.Matches(a) {
			found, err := cfg.resolver.ResolveDNSComponent(ctx, a, maxNameAddrs)
			if err != nil {
				cfg.Logger.Debug("look up a peer of node.peering", "peer", ai.ID, "address", a, "error", err)
				continue
			}
			at = found
		}
		before := t[i]
		t[i] = nil
		for _, a := range at {
			t[i] = append(t[i], g.grants.Grant(ai.ID, a))
		}
		for _, end := range before {
			end()
		}
	}
}

// end takes back what was granted.
func (t trust) end() {
	for _, ends := range t {
		for _, end := range ends {
			end()
		}
	}
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
