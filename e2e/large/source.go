package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/ipfs/boxo/bitswap/network"
	"github.com/ipfs/boxo/bitswap/network/bsnet"
	"github.com/ipfs/boxo/bitswap/server"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
)

// source serves blocks over Bitswap, on loopback.
type source struct {
	host    host.Host
	network network.BitSwapNetwork
	server  *server.Server
	addrs   []string
}

func serve(ctx context.Context, b *made) (*source, error) {
	resources, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(rcmgr.InfiniteLimits))
	if err != nil {
		return nil, err
	}
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableRelay(), libp2p.ResourceManager(resources))
	if err != nil {
		return nil, errors.Join(err, resources.Close())
	}
	s := &source{host: h, network: bsnet.NewFromIpfsHost(h)}
	s.server = server.New(ctx, s.network, b)
	s.network.Start(s.server)
	for _, a := range h.Addrs() {
		s.addrs = append(s.addrs, fmt.Sprintf("%s/p2p/%s", a, h.ID()))
	}
	return s, nil
}

func (s *source) close() {
	s.network.Stop()
	s.server.Close()
	_ = s.host.Close() // the process ends
}
