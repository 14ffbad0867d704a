package node

import (
	"time"

	"github.com/libp2p/go-libp2p/core/network"
)

// Stats is what a node does now and has done since it started. Numbers only
// grow unless they say that they are of now.
type Stats struct {
	Peers int // that are connected now, not counting those behind relays

	// The walks.
	WantsInFlight int           // now: blocks that are wanted and did not come yet
	Reasks        uint64        // asks that were lost and sent again
	Stalls        uint64        // times that a walk got nothing for seconds from sources that it had asked
	LongestGap    time.Duration // between two blocks of one walk, in the last minute or two

	// What came from others and was wanted, what came and was not, and what
	// went to others by Bitswap.
	BlocksReceived, BytesReceived uint64
	BlocksUnwanted                uint64
	BlocksServed, BytesServed     uint64

	// Provide is nil if nothing is announced.
	Provide *ProvideStats
}

// ProvideStats is how the announcing of content goes.
type ProvideStats struct {
	// Announced is how often a root was told of since the start.
	Announced uint64
	// Lag is by how much the renewal of announcements is late now; zero is on
	// time. What is late by a day is no longer found.
	Lag time.Duration
}

// Stats gives what there is to tell. It takes no longer than a few locks.
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
	// It never fails.
	if sent, err := n.bitswap.server.Stat(); err == nil {
		s.BlocksServed, s.BytesServed = sent.BlocksSent, sent.DataSent
	}
	if n.router != nil {
		s.Provide = n.router.provideStats(time.Now())
	}
	return s
}

// Listening reports whether others can connect: the node is up, and has an
// address.
func (n *Node) Listening() bool {
	return n.ctx.Err() == nil && len(directAddrs(n.host.Network().ListenAddresses())) > 0
}

// provideStats is how the announcing goes. It is late once a round of renewals
// did not begin when it should have.
func (r *router) provideStats(now time.Time) *ProvideStats {
	s := &ProvideStats{}
	st, err := r.provider.Stat()
	if err != nil {
		return s
	}
	s.Announced = st.TotalReprovides
	if !st.LastRun.IsZero() {
		s.Lag = max(0, now.Sub(st.LastRun)-reprovideInterval)
	}
	return s
}
