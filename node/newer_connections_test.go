package node

import (
	"testing"

	bspb "github.com/ipfs/boxo/bitswap/message/pb"
	"github.com/ipfs/boxo/bitswap/network/bsnet"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"
)

// comeBack connects another host of the same peer, which knows nothing of the first.
func (b *badPeer) comeBack(t *testing.T, n *Node) *badPeer {
	t.Helper()
	return newBadPeerOf(t, n, b.host.Peerstore().PrivKey(b.host.ID()))
}

// Blocks go by the newest connection of a peer, and not by the one that libp2p would
// take for its many streams.
func TestSentByTheNewestConnection(t *testing.T) {
	leaves := dagtest.Leaves(3, 1000)
	store := walktest.NewStore(t, leaves...)
	hold(t, store, 99, leaves...)
	n := newTestNode(t, store)
	older := newBadPeer(t, n)
	for range 10 {
		s, err := older.stream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer s.Reset()
		if _, err := s.Write([]byte{1}); err != nil { // the beginning of a message
			t.Fatal(err)
		}
	}
	newer := older.comeBack(t, n)
	for i, l := range leaves {
		newer.send(t, wants([]cid.Cid{l.Cid()}, 1, bspb.Message_Wantlist_Block, true)...)
		eventually(t, "a block is sent", func() bool {
			return n.bitswap.server.LedgerForPeer(newer.host.ID()).Sent >= uint64((i+1)*len(l.RawData()))
		})
	}
	eventually(t, "a stream comes", func() bool { return older.open.Load()+newer.open.Load() > 0 })
	if got := older.open.Load(); got > 0 {
		t.Errorf("%d streams were opened by the older connection", got)
	}
	s, err := n.host.NewStream(t.Context(), newer.host.ID(), bsnet.ProtocolBitswap)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Reset()
	if s.Conn() == newest(n.host.Network(), newer.host.ID()) {
		t.Error("libp2p takes the newest one: this test shows nothing")
	}
}

// A connection of which its peer knows nothing any more is closed when the peer is
// back. One that answers stays.
func TestSupplantedConnections(t *testing.T) {
	n := newTestNode(t, walktest.NewStore(t))
	conn := func(b *badPeer) network.Conn {
		t.Helper()
		var c network.Conn
		eventually(t, "it is connected", func() bool { c = newest(n.host.Network(), b.host.ID()); return c != nil })
		return c
	}
	killed := newSilentPeer(t, n)
	dead := conn(killed)
	back := killed.comeBack(t, n)
	eventually(t, "the old connection is closed", dead.IsClosed)
	if conns := n.host.Network().ConnsToPeer(back.host.ID()); len(conns) != 1 || conns[0].IsClosed() {
		t.Errorf("connections are %v, and should be the new one", conns)
	}

	mute := newBadPeer(t, n)
	mute.host.RemoveStreamHandler(ping.ID)
	for _, b := range []*badPeer{newBadPeer(t, n), mute} {
		c := conn(b)
		if silent(t.Context(), c) || c.IsClosed() {
			t.Error("a connection that answers counts as silent")
		}
	}
}
