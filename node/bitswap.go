package node

import (
	"context"
	"errors"
	"time"

	"github.com/ipfs/boxo/bitswap"
	"github.com/ipfs/boxo/bitswap/client"
	"github.com/ipfs/boxo/bitswap/network/bsnet"
	"github.com/ipfs/boxo/blockstore"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/routing"
)

const (
	// After this long without an answer to a want, a Bitswap session counts
	// the peer as not having the block, and after sixteen of those in a row it
	// drops the peer. Its own timeout, twice the usual latency, is a few
	// milliseconds on a fast network, and a short stall there then drops the
	// only peer that has the data. The walk itself notices much sooner.
	answerTimeout = 10 * time.Second

	// Bitswap waits this long per connected peer between two messages to one,
	// at least 20 ms in all. Its default of 1/8 ms slows a node with 400 peers
	// to 20 messages a second.
	sendDelayPerPeer = 10 * time.Microsecond

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

// newBitswap starts a Bitswap client and server on the host. The caller closes
// it. Who is found by the router is dialled by it.
func newBitswap(ctx context.Context, h host.Host, r *router, bs blockstore.Blockstore) *bitswap.Bitswap {
	timeouts := client.DefaultDontHaveTimeoutConfig()
	timeouts.DontHaveTimeout = answerTimeout
	timeouts.MinTimeout = answerTimeout
	timeouts.MaxTimeout = 2 * answerTimeout
	var finder routing.ContentDiscovery // an interface holding nil is not nil
	if r != nil {
		finder = r.dht
	}
	return bitswap.New(ctx, bsnet.NewFromIpfsHost(h), finder, served{bs},
		bitswap.WithClientOption(client.WithDontHaveTimeoutConfig(timeouts)),
		bitswap.WithClientOption(client.WithPerPeerSendDelay(sendDelayPerPeer)),
		// Tells who sent a block.
		bitswap.WithClientOption(client.WithTraceBlock(true)),
		// Else each block that comes is looked up on disk, for a statistic.
		bitswap.WithoutDuplicatedBlockStats(),
		bitswap.MaxOutstandingBytesPerPeer(outstandingPerPeer),
		bitswap.WithTargetMessageSize(messageSize),
		bitswap.EngineBlockstoreWorkerCount(storeReaders),
	)
}

// errReadOnly would mean that Bitswap stored or deleted a block by itself.
var errReadOnly = errors.New("the block store is read-only to Bitswap")

// served is the block store as Bitswap sees it.
//
// It keeps Bitswap from storing: the client could only put a block that no
// attempt holds, which boxo's block store would then skip for good. And it
// makes empty blocks, which every empty file is, look a byte long: the server
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
