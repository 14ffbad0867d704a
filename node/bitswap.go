package node

import (
	"context"
	"errors"
	"log/slog"

	"github.com/ipfs/boxo/bitswap/network"
	"github.com/ipfs/boxo/bitswap/network/bsnet"
	"github.com/ipfs/boxo/bitswap/server"
	"github.com/ipfs/boxo/blockstore"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/host"

	"github.com/holdfast-ipfs/holdfast/node/exchange"
)

const (
	// What is read for one peer ahead of its connection. The default of 1 MiB
	// is one large block.
	outstandingPerPeer = 4 << 20
	// Blocks are put together to messages of this size; the default of 16 KiB
	// opens a stream for every four blocks of 4 KiB.
	messageSize = 64 << 10
	// Readers of the block store, which is local and fast: the default of 128
	// suits a remote one.
	storeReaders = 16
)

// bitswapSides is both sides of Bitswap on one host: what asks for blocks is ours, what
// serves them is boxo's.
type bitswapSides struct {
	network  network.BitSwapNetwork
	exchange *exchange.Exchange
	server   *server.Server
}

// newBitswap starts both. The caller closes them.
func newBitswap(ctx context.Context, h host.Host, r *router, bs blockstore.Blockstore, log *slog.Logger) *bitswapSides {
	b := &bitswapSides{network: bsnet.NewFromIpfsHost(h)}
	b.server = server.New(ctx, b.network, served{bs},
		server.MaxOutstandingBytesPerPeer(outstandingPerPeer),
		server.WithTargetMessageSize(messageSize),
		server.EngineBlockstoreWorkerCount(storeReaders),
	)
	cfg := exchange.Config{Network: b.network, Received: b.server.ReceivedBlocks, Logger: log}
	if r != nil { // an interface holding nil is not nil
		cfg.Finder = r.dht
	}
	b.exchange = exchange.New(cfg)
	b.network.Start(b.exchange, b.server)
	return b
}

// close stops both, and waits. No session may be open.
func (b *bitswapSides) close() {
	b.network.Stop()
	b.exchange.Close()
	b.server.Close()
}

// errReadOnly would mean that Bitswap stored or deleted a block by itself.
var errReadOnly = errors.New("the block store is read-only to Bitswap")

// served is the block store as Bitswap's server sees it, which only reads it.
//
// It makes empty blocks, which every empty file is, look a byte long: the server
// takes a size of 0 for one that is not known, and answers HAVE for ever.
type served struct{ blockstore.Blockstore }

func (s served) GetSize(ctx context.Context, c cid.Cid) (int, error) {
	n, err := s.Blockstore.GetSize(ctx, c)
	if err == nil {
		n = max(n, 1)
	}
	return n, err
}

func (served) Put(context.Context, blocks.Block) error       { return errReadOnly }
func (served) PutMany(context.Context, []blocks.Block) error { return errReadOnly }
func (served) DeleteBlock(context.Context, cid.Cid) error    { return errReadOnly }
