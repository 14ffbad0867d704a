package node

import (
	"context"
	"sync"

	"github.com/ipfs/boxo/bitswap/message"
	"github.com/ipfs/boxo/bitswap/server"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
)

// lateServer is boxo's server for Bitswap. Boxo's first looks whether it has what a message asks for,
// and then notes what the peer waits for. It tells nobody of a block that comes in between, and
// the peer would wait until it asks anew. So boxo's server is told of such a block again.
type lateServer struct {
	*server.Server

	mu       sync.Mutex
	takingIn map[*takingIn]struct{}
}

// takingIn is a message that is being taken in. The server's lock guards it, but not message.
type takingIn struct {
	message message.BitSwapMessage
	wants   map[cid.Cid]struct{} // of message; nil until a block comes
	late    []blocks.Block       // that it asks for, and that came meanwhile
}

func newLateServer(s *server.Server) *lateServer {
	return &lateServer{Server: s, takingIn: make(map[*takingIn]struct{})}
}

// ReceiveMessage takes in what a peer asks for.
func (s *lateServer) ReceiveMessage(ctx context.Context, p peer.ID, m message.BitSwapMessage) {
	in := &takingIn{message: m}
	s.mu.Lock()
	s.takingIn[in] = struct{}{}
	s.mu.Unlock()
	s.Server.ReceiveMessage(ctx, p, m)
	s.mu.Lock()
	delete(s.takingIn, in)
	s.mu.Unlock()
	// Nothing is added to late any more. A block that comes from here on finds the wants noted.
	if len(in.late) > 0 {
		_ = s.Server.NotifyNewBlocks(ctx, in.late...) // it never fails
	}
}

// NotifyNewBlocks sends blocks to the peers that wait for them.
func (s *lateServer) NotifyNewBlocks(ctx context.Context, bs ...blocks.Block) error {
	s.mu.Lock()
	for in := range s.takingIn {
		in.add(bs)
	}
	s.mu.Unlock()
	return s.Server.NotifyNewBlocks(ctx, bs...)
}

// add notes the blocks that the message asks for.
func (in *takingIn) add(bs []blocks.Block) {
	if in.wants == nil {
		in.wants = make(map[cid.Cid]struct{})
		for _, e := range in.message.Wantlist() {
			if !e.Cancel {
				in.wants[e.Cid] = struct{}{}
			}
		}
	}
	for _, b := range bs {
		if _, ok := in.wants[b.Cid()]; ok {
			in.late = append(in.late, b)
			delete(in.wants, b.Cid())
		}
	}
}
