package node

import (
	"context"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/holdfast-ipfs/holdfast/node/provide"
)

// Stats is what a node does now and has done since it started. Numbers only grow, unless
// their comment says "now".
type Stats struct {
	Peers int // now: connected peers, without those behind relays

	// The walks.
	WantsInFlight int           // now: blocks that are wanted and did not come yet
	Reasks        uint64        // asks that were lost and sent again
	Stalls        uint64        // times that a walk got nothing for seconds from sources that it had asked
	LongestGap    time.Duration // between two blocks of one walk, in the last minute or two

	// What came from others and was wanted; what came and was not wanted; what arrived at
	// others over Bitswap.
	BlocksReceived, BytesReceived uint64
	BlocksUnwanted                uint64
	BlocksServed, BytesServed     uint64

	// Now: how many lookups of providers run, and how many wait for their turn.
	Lookups, LookupsWaiting int

	// Provide is how the announcing goes; nil if nothing is announced, or if that is too
	// busy to answer.
	Provide *provide.Stats
}

// statsTime bounds the question how the announcing goes.
const statsTime = 2 * time.Second

// Stats takes no longer than a few locks, and a second or two while much is being announced.
func (n *Node) Stats() Stats {
	x := n.bitswap.exchange.Stats()
	s := Stats{
		WantsInFlight: x.Wants, Reasks: x.Again, Stalls: x.Stalls, LongestGap: x.Gap,
		BlocksReceived: x.Blocks, BytesReceived: x.Bytes, BlocksUnwanted: x.Twice,
	}
	for _, p := range n.host.Network().Peers() {
		if n.host.Network().Connectedness(p) == network.Connected {
			s.Peers++
		}
	}
	s.BlocksServed, s.BytesServed = n.bitswap.sender.sent()
	if n.router != nil {
		s.Lookups, s.LookupsWaiting = n.router.lookups.Count()
	}
	ctx, cancel := context.WithTimeout(n.ctx, statsTime)
	defer cancel()
	if p, ok, err := n.ProvideStats(ctx); ok && err == nil {
		s.Provide = &p
	}
	return s
}

// Listening reports whether others can connect: the node has started, and has an address.
func (n *Node) Listening() bool {
	return n.ctx.Err() == nil && len(directAddrs(n.host.Network().ListenAddresses())) > 0
}
