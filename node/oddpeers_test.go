package node

import (
	"context"
	"strings"
	"testing"

	"github.com/ipfs/boxo/bitswap/message"
	"github.com/ipfs/boxo/bitswap/network/bsnet"
	blocks "github.com/ipfs/go-block-format"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-msgio"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"
)

// newAtOncePeer is a peer that answers all that a message asks for by one message,
// however large. give says what it sends for a block; nil is the block.
func newAtOncePeer(t *testing.T, have []blocks.Block, give func(blocks.Block) blocks.Block) host.Host {
	t.Helper()
	by := map[string]blocks.Block{}
	for _, b := range have {
		by[string(b.Cid().Hash())] = b
	}
	h := newTestHost(t)
	h.SetStreamHandler(bsnet.ProtocolBitswap, func(s network.Stream) {
		defer s.Close()
		r := msgio.NewVarintReaderSize(s, network.MessageSizeMax)
		for {
			m, _, err := message.FromMsgReader(r)
			if err != nil {
				return
			}
			reply := message.New(false)
			for _, e := range m.Wantlist() {
				b, ok := by[string(e.Cid.Hash())]
				switch {
				case e.Cancel:
				case ok && give != nil:
					reply.AddBlock(give(b))
				case ok:
					reply.AddBlock(b)
				case e.SendDontHave:
					reply.AddDontHave(e.Cid)
				}
			}
			if reply.Empty() {
				continue
			}
			out, err := h.NewStream(context.Background(), s.Conn().RemotePeer(), bsnet.ProtocolBitswap)
			if err != nil {
				return
			}
			if reply.ToNetV1(out) != nil { // such as one that is too large
				_ = out.Reset()
				continue
			}
			_ = out.Close()
		}
	})
	return h
}

// A block that no message can take costs itself: all others of its DAG come, and info
// says which it is, whose, and how large the message was.
func TestPeerWithABlockThatIsTooLarge(t *testing.T) {
	leaves := append(dagtest.Leaves(300, 1000), dagtest.Leaves(1, 5<<20)...)
	all := dagtest.Tree(leaves, 400)
	large := leaves[300].Cid()
	h := newAtOncePeer(t, all, nil)
	n := newTestNode(t, walktest.NewStore(t))
	job := newJob(dagtest.Last(all), withPeer(h.Addrs()[0], h.ID()))
	ctx, cancel := context.WithCancel(t.Context())
	done, _ := start(ctx, n, job)
	count, _ := dagtest.Distinct(all)
	eventually(t, "all others come", func() bool { return job.Progress.Blocks.Load() == uint64(count-1) })
	eventually(t, "it is named", func() bool {
		note := job.Progress.Note()
		return strings.Contains(note, large.String()) && strings.Contains(note, h.ID().String()) && strings.Contains(note, "more than the 4194304 that Bitswap allows")
	})
	cancel()
	<-done
}

// A peer that has one block damaged serves all others, and that one comes from somebody
// else. Until then info says which it is, and whose.
func TestPeerWithADamagedBlock(t *testing.T) {
	leaves := dagtest.Leaves(1000, 100)
	all := dagtest.Tree(leaves, 100)
	bad := leaves[500]
	h := newAtOncePeer(t, all, func(b blocks.Block) blocks.Block {
		if b.Cid() != bad.Cid() {
			return b
		}
		wrong, err := blocks.NewBlockWithCid([]byte("flipped"), b.Cid())
		if err != nil {
			t.Error(err)
		}
		return wrong
	})
	store := walktest.NewStore(t)
	n := newTestNode(t, store)
	job := newJob(dagtest.Last(all), withPeer(h.Addrs()[0], h.ID()))
	done, result := start(t.Context(), n, job)
	count, _ := dagtest.Distinct(all)
	eventually(t, "all others come", func() bool { return job.Progress.Blocks.Load() == uint64(count-1) })
	eventually(t, "it is named", func() bool {
		note := job.Progress.Note()
		return strings.Contains(note, bad.Cid().String()) && strings.Contains(note, h.ID().String()) && strings.Contains(note, "other bytes")
	})
	newSource(t, bad).connect(t, n)
	if _, err := wait(t, done, result); err != nil {
		t.Fatal(err)
	}
	store.CheckWhole(1, all)
}

// One that answers all at once is asked for as much as it can send.
func TestPeerThatAnswersAtOnce(t *testing.T) {
	all := dagtest.Tree(dagtest.Leaves(40, 1<<20), 100)
	h := newAtOncePeer(t, all, nil)
	store := walktest.NewStore(t)
	n := newTestNode(t, store)
	done, result := start(t.Context(), n, newJob(dagtest.Last(all), withPeer(h.Addrs()[0], h.ID())))
	if _, err := wait(t, done, result); err != nil {
		t.Fatal(err)
	}
	store.CheckWhole(1, all)
}
