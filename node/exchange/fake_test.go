package exchange

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/boxo/bitswap/message"
	pb "github.com/ipfs/boxo/bitswap/message/pb"
	"github.com/ipfs/boxo/bitswap/network"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
)

// fakeNet connects an exchange to peers in memory.
type fakeNet struct {
	x *Exchange

	mu        sync.Mutex
	peers     map[peer.ID]*fakePeer
	reachable map[peer.ID]*fakePeer // by Connect
	protected map[peer.ID]int
	dials     []peer.ID
}

// fakePeer answers as a Bitswap server does.
type fakePeer struct {
	net   *fakeNet
	id    peer.ID
	old   bool          // knows nothing of HAVE
	delay time.Duration // before each answer

	mu     sync.Mutex
	blocks map[string]blocks.Block
	wants  map[cid.Cid]bool // what it was told of and has not answered with a block; whether for the block
	told   []entry          // all that it was told
	lose   int              // how often the answer to a want for a block is lost
	every  int              // of blocks, those whose answers are; 0 is all
	lost   map[cid.Cid]int
	seen   int
	mute   bool // answers nothing

	limit   int             // messages of more bytes are not read, as the exchange is told; 0 is none
	unheard bool            // it is not told
	broken  map[string]bool // by multihash: other bytes are sent for these
	deaf    map[string]bool // and for these nothing
	batches []int           // how many blocks were asked for in each message
}

func newFakeNet(t *testing.T, cfg Config) *fakeNet {
	n := &fakeNet{peers: map[peer.ID]*fakePeer{}, reachable: map[peer.ID]*fakePeer{}, protected: map[peer.ID]int{}}
	cfg.Network = n
	n.x = New(cfg)
	return n
}

// peer makes a peer that has blocks, and is not connected yet.
func (n *fakeNet) peer(name string, have ...blocks.Block) *fakePeer {
	p := &fakePeer{net: n, id: peer.ID(name), delay: time.Millisecond, blocks: map[string]blocks.Block{}, wants: map[cid.Cid]bool{}, lost: map[cid.Cid]int{}}
	p.add(have...)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.reachable[p.id] = p
	return p
}

func (p *fakePeer) connect() *fakePeer {
	p.net.mu.Lock()
	p.net.peers[p.id] = p
	p.net.mu.Unlock()
	p.net.x.PeerConnected(p.id)
	return p
}

func (p *fakePeer) disconnect() {
	p.net.mu.Lock()
	delete(p.net.peers, p.id)
	p.net.mu.Unlock()
	p.mu.Lock()
	clear(p.wants)
	p.mu.Unlock()
	p.net.x.PeerDisconnected(p.id)
}

// add gives the peer blocks, and sends those that were wanted.
func (p *fakePeer) add(have ...blocks.Block) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := message.New(false)
	for _, b := range have {
		p.blocks[string(b.Cid().Hash())] = b
		for c, block := range p.wants {
			if string(c.Hash()) != string(b.Cid().Hash()) {
				continue
			}
			if block {
				m.AddBlock(b)
			} else {
				m.AddHave(c)
			}
			delete(p.wants, c)
		}
	}
	if !m.Empty() {
		p.send(m)
	}
}

func (p *fakePeer) send(m message.BitSwapMessage) {
	size := 0
	for _, b := range m.Blocks() {
		size += len(b.RawData())
	}
	if p.limit > 0 && size > p.limit {
		if !p.unheard {
			time.AfterFunc(p.delay, func() { p.net.x.TooLarge(p.id, uint64(size)) })
		}
		return
	}
	time.AfterFunc(p.delay, func() { p.net.x.ReceiveMessage(context.Background(), p.id, m) })
}

// counted counts what the peer was told that fits.
func (p *fakePeer) counted(fits func(entry) bool) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.told {
		if fits(e) {
			n++
		}
	}
	return n
}

func forBlock(e entry) bool { return !e.have && !e.cancel }
func ifHave(e entry) bool   { return e.have && !e.cancel }
func isCancel(e entry) bool { return e.cancel }

// open is how many wants the peer keeps.
func (p *fakePeer) open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.wants)
}

// SendMsg implements network.MessageSender.
func (p *fakePeer) SendMsg(_ context.Context, m message.BitSwapMessage) error {
	p.net.mu.Lock()
	connected := p.net.peers[p.id] == p
	p.net.mu.Unlock()
	if !connected {
		return errors.New("not connected")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	reply := message.New(false)
	asked := 0
	for _, e := range m.Wantlist() {
		if forBlock(entry{have: e.WantType == pb.Message_Wantlist_Have, cancel: e.Cancel}) {
			asked++
		}
		have := e.WantType == pb.Message_Wantlist_Have
		p.told = append(p.told, entry{cid: e.Cid, have: have, cancel: e.Cancel})
		if e.Cancel {
			delete(p.wants, e.Cid)
			continue
		}
		if p.old && (have || e.SendDontHave) {
			return fmt.Errorf("an old peer was asked for what it does not know")
		}
		p.wants[e.Cid] = !have
		b, ok := p.blocks[string(e.Cid.Hash())]
		switch {
		case p.mute || p.deaf[string(e.Cid.Hash())]:
		case ok && have:
			reply.AddHave(e.Cid)
			delete(p.wants, e.Cid)
		case ok && p.broken[string(e.Cid.Hash())]:
			reply.AddBlock(blocks.NewBlock(fmt.Appendf(nil, "not %s", e.Cid)))
			delete(p.wants, e.Cid)
		case ok && p.loses(e.Cid):
		case ok:
			reply.AddBlock(b)
			delete(p.wants, e.Cid)
		case e.SendDontHave:
			reply.AddDontHave(e.Cid)
		}
	}
	if asked > 0 {
		p.batches = append(p.batches, asked)
	}
	if !reply.Empty() {
		p.send(reply)
	}
	return nil
}

// loses reports whether the answer to a want is lost.
func (p *fakePeer) loses(c cid.Cid) bool {
	n, again := p.lost[c]
	if !again {
		p.seen++
		if p.every > 0 && p.seen%p.every != 0 {
			n = p.lose
		}
	}
	p.lost[c] = n + 1
	return n < p.lose
}

// SupportsHave implements network.MessageSender.
func (p *fakePeer) SupportsHave() bool { return !p.old }

// Reset implements network.MessageSender.
func (p *fakePeer) Reset() error { return nil }

// NewMessageSender implements Network.
func (n *fakeNet) NewMessageSender(_ context.Context, id peer.ID, _ *network.MessageSenderOpts) (network.MessageSender, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if p := n.peers[id]; p != nil {
		return p, nil
	}
	return nil, errors.New("not connected")
}

// Connect implements Network.
func (n *fakeNet) Connect(_ context.Context, ai peer.AddrInfo) error {
	n.mu.Lock()
	n.dials = append(n.dials, ai.ID)
	p, connected := n.reachable[ai.ID], n.peers[ai.ID] != nil
	n.mu.Unlock()
	if p == nil {
		return errors.New("nobody there")
	}
	if !connected {
		p.connect()
	}
	return nil
}

// Protect implements Network.
func (n *fakeNet) Protect(p peer.ID, _ string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.protected[p]++
}

// Unprotect implements Network.
func (n *fakeNet) Unprotect(p peer.ID, _ string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.protected[p]--; n.protected[p] == 0 {
		delete(n.protected, p)
	}
	return n.protected[p] > 0
}

// bubble runs a test with a clock of its own.
func bubble(t *testing.T, cfg Config, test func(t *testing.T, n *fakeNet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := newFakeNet(t, cfg)
		test(t, n)
		n.x.Close()
		if st := n.x.Stats(); st.Sessions != 0 || st.Wants != 0 {
			t.Errorf("left open: %+v", st)
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		if len(n.protected) > 0 {
			t.Errorf("still protected: %v", n.protected)
		}
	})
}

// get asks for blocks as a walk does, as many as there is room for, and gives how
// long it took.
func get(t *testing.T, s *Session, want []blocks.Block, most time.Duration) time.Duration {
	t.Helper()
	began := time.Now()
	missing := map[cid.Cid]bool{}
	next := 0
	deadline := time.NewTimer(most)
	defer deadline.Stop()
	for next < len(want) || len(missing) > 0 {
		var cs []cid.Cid
		for room := s.Room(); room > 0 && next < len(want); room-- {
			cs = append(cs, want[next].Cid())
			missing[want[next].Cid()] = true
			next++
		}
		s.Ask(cs...)
		select {
		case <-s.Ready():
		case <-deadline.C:
			t.Errorf("%d of %d blocks are missing after %v", len(missing)+len(want)-next, len(want), most)
			return most
		}
		for _, a := range s.Take() {
			if !missing[a.Block.Cid()] {
				t.Fatalf("%s came twice, or was not asked for", a.Block.Cid())
			}
			delete(missing, a.Block.Cid())
		}
	}
	return time.Since(began)
}

func someBlocks(n, size int) []blocks.Block {
	out := make([]blocks.Block, n)
	for i := range out {
		data := fmt.Appendf(make([]byte, 0, size), "%d of %d", i, size)
		b := blocks.NewBlock(append(data, make([]byte, max(0, size-len(data)))...))
		c := cid.NewCidV1(cid.Raw, b.Cid().Hash())
		out[i], _ = blocks.NewBlockWithCid(b.RawData(), c)
	}
	return out
}
