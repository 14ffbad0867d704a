package node

import (
	"context"
	"log/slog"
	"sync"

	"github.com/ipfs/boxo/bitswap/network"
	"github.com/ipfs/boxo/bitswap/network/bsnet"
	"github.com/ipfs/boxo/bitswap/server"
	"github.com/libp2p/go-libp2p/core/host"

	"github.com/holdfast-ipfs/holdfast/node/exchange"
)

// messageSize is how many bytes of blocks go into one message. Boxo's default, 16 KiB, would
// be a message for every four blocks of 4 KiB.
const messageSize = 64 << 10

// bitswapSides has both sides of Bitswap on one host: the client, which is ours, and the
// server, which is boxo's.
type bitswapSides struct {
	network  network.BitSwapNetwork
	exchange *exchange.Exchange
	server   *lateServer
	sender   *sender
	writes   *writes
	watching sync.WaitGroup
	unwatch  context.CancelFunc
}

// newBitswap starts both. The caller closes them.
func newBitswap(ctx context.Context, h host.Host, r *router, g *gater, s served, gateways *gateways, limits Limits, log *slog.Logger) *bitswapSides {
	over := newBitswapHost(h, limits)
	b := &bitswapSides{network: bsnet.NewFromIpfsHost(over), writes: over.writes}
	b.sender = newSender(b.network, over, s, limits, log)
	watch, unwatch := context.WithCancel(context.Background()) // longer than ctx: until all is sent
	b.unwatch = unwatch
	b.watching.Go(func() { over.watch(watch, b.sender) })
	b.server = newLateServer(server.New(ctx, b.sender, s, append(limits.server(), server.WithTargetMessageSize(messageSize))...))
	cfg := exchange.Config{Network: b.network, Received: b.server.ReceivedBlocks, Logger: log}
	if r != nil { // an interface holding nil is not nil
		cfg.Finder = fairFinder{r.lookups}
		cfg.Network = newRedialler(b.network, g.guard, r.peers.Find)
	}
	if gateways != nil {
		cfg.Gateways = gateways.of
	}
	b.exchange = exchange.New(cfg)
	over.reads.tooLarge, over.reads.proven = b.exchange.TooLarge, b.exchange.Oversized // before anything comes in
	b.network.Start(b.exchange, b.server)
	return b
}

// close stops both, and waits. No session may be open.
func (b *bitswapSides) close() {
	b.writes.end()
	b.network.Stop()
	b.exchange.Close()
	b.server.Close()
	b.sender.settle()
	b.unwatch()
	b.watching.Wait()
	b.sender.close()
}
