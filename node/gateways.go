package node

import (
	"context"
	"errors"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/holdfast-ipfs/holdfast/node/exchange"
	"github.com/holdfast-ipfs/holdfast/node/trustless"
)

// connsPerGateway is how many connections one gateway gets: with HTTP/2 one does for
// all requests, without it each request under way needs one.
const connsPerGateway = 8

// gateways fetch blocks by HTTP for the exchange.
type gateways struct{ client *trustless.Client }

// newGateways makes what fetches blocks by HTTP, of at most so many bytes; 0 is as many
// as Bitswap allows. Connections go where the guard lets them.
func newGateways(g *gater, maxBlock int) *gateways {
	return &gateways{trustless.New(trustless.Config{
		Transport: g.guard.Transport(connsPerGateway, nil), MaxBlock: maxBlock,
	})}
}

// of gives the gateways among the addresses of a provider.
func (g *gateways) of(ai peer.AddrInfo) (out []exchange.Gateway) {
	for _, p := range trustless.Providers(ai.Addrs) {
		out = append(out, gateway{g.client, p})
	}
	return out
}

// close closes connections. Nothing may be under way.
func (g *gateways) close() {
	if g != nil {
		g.client.Close()
	}
}

// gateway is one of them, as the exchange sees it.
type gateway struct {
	client   *trustless.Client
	provider trustless.Provider
}

func (g gateway) String() string { return g.provider.String() }

func (g gateway) Block(ctx context.Context, c cid.Cid) ([]byte, error) {
	data, err := g.client.Block(ctx, g.provider, c)
	var busy *trustless.BusyError
	switch {
	case errors.Is(err, trustless.ErrNotFound):
		return nil, exchange.ErrAbsent
	case errors.As(err, &busy):
		return nil, &exchange.BusyError{For: busy.RetryAfter, Err: err}
	}
	return data, err
}
