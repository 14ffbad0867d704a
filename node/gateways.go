package node

import (
	"context"
	"errors"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/holdfast-ipfs/holdfast/node/exchange"
	"github.com/holdfast-ipfs/holdfast/node/trustless"
)

// connsPerGateway is how many connections one gateway gets. With HTTP/2 one is enough for all
// requests. Without it each request under way needs one.
const connsPerGateway = 8

// gateways fetches blocks over HTTP for the exchange.
type gateways struct{ client *trustless.Client }

// newGateways makes the client for gateways. A block has at most maxBlock bytes; 0 is as many
// as Bitswap allows. The guard decides where connections may go.
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

// gateway is a gateway as the exchange sees it.
type gateway struct {
	client   *trustless.Client
	provider trustless.Provider
}

func (g gateway) String() string { return g.provider.String() }

func (g gateway) Block(ctx context.Context, c cid.Cid) ([]byte, error) {
	data, err := g.client.Block(ctx, g.provider, c)
	// The exchange names the block and the gateway itself.
	var (
		busy *trustless.BusyError
		bad  *trustless.BadError
		gone *trustless.UnreachableError
	)
	switch {
	case errors.Is(err, trustless.ErrNotFound):
		return nil, exchange.ErrAbsent
	case errors.As(err, &busy) && busy.Asks():
		return nil, &exchange.BusyError{For: busy.RetryAfter, Err: busy}
	case errors.As(err, &busy):
		return nil, busy
	case errors.As(err, &bad):
		return nil, bad
	case errors.As(err, &gone):
		return nil, gone
	}
	return data, err
}
