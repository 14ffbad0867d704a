package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/boxo/bitswap/message"
	"github.com/ipfs/boxo/bitswap/network/bsnet"
	blocks "github.com/ipfs/go-block-format"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-msgio"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"
	"github.com/holdfast-ipfs/holdfast/pin"
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
		return strings.Contains(note, large.String()) && strings.Contains(note, h.ID().String()) && strings.Contains(note, "more than the 4194304 (4 MiB) that Bitswap allows")
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

// The largest block that a message takes is pinned; one that is larger fails soon, by its
// size, and what is beside it comes all the same.
func TestLargestBlocks(t *testing.T) {
	const most = network.MessageSizeMax
	leaves := dagtest.Leaves(500, 1000)
	for name, c := range map[string]struct {
		size  int
		among []blocks.Block
	}{
		"largest":                   {size: most - 40},
		"largest among others":      {size: most - 40, among: leaves},
		"no room for the envelope":  {size: most},
		"6 MiB":                     {size: 6 << 20},
		"6 MiB among others":        {size: 6 << 20, among: leaves},
		"larger than that, in time": {size: 33 << 20, among: leaves[:100]},
	} {
		t.Run(name, func(t *testing.T) {
			large := dagtest.Leaves(1, c.size)[0]
			all := []blocks.Block{large}
			if c.among != nil {
				all = dagtest.Tree(append(slices.Clone(c.among), large), 600)
			}
			store := walktest.NewStore(t)
			n := newTestNode(t, store)
			newSource(t, all...).connect(t, n)
			job := newJob(dagtest.Last(all))
			job.Limits.BlockBytes = most
			began := time.Now()
			done, result := start(t.Context(), n, job)
			_, err := wait(t, done, result)
			if c.size < most {
				if err != nil {
					t.Fatal(err)
				}
				store.CheckWhole(1, all)
				return
			}
			var refused *pin.RefusedError
			if !errors.As(err, &refused) {
				t.Fatalf("the error is %v", err)
			}
			for _, want := range []string{large.Cid().String(), fmt.Sprint(c.size), "4 MiB"} {
				if !strings.Contains(refused.Reason, want) {
					t.Errorf("the reason %q does not say %s", refused.Reason, want)
				}
			}
			if got := job.Progress.Received.Load(); int(got) != len(all)-1 {
				t.Errorf("%d of %d others came", got, len(all)-1)
			}
			t.Logf("after %v: %s", time.Since(began), refused.Reason)
		})
	}
}

// A peer that claims of a small block that it is too large is not believed: the block comes
// from somebody else.
func TestPeerThatClaimsTooMuch(t *testing.T) {
	all := dagtest.Tree(dagtest.Leaves(10, 100), 10)
	odd := all[3]
	h := newAtOncePeer(t, all, func(b blocks.Block) blocks.Block {
		if b.Cid() != odd.Cid() {
			return b
		}
		large, err := blocks.NewBlockWithCid(make([]byte, 5<<20), b.Cid())
		if err != nil {
			t.Error(err)
		}
		return large
	})
	store := walktest.NewStore(t)
	n := newTestNode(t, store)
	job := newJob(dagtest.Last(all), withPeer(h.Addrs()[0], h.ID()))
	job.Limits.BlockBytes = network.MessageSizeMax
	done, result := start(t.Context(), n, job)
	eventually(t, "it is named", func() bool { return strings.Contains(job.Progress.Note(), odd.Cid().String()) })
	newSource(t, odd).connect(t, n)
	if _, err := wait(t, done, result); err != nil {
		t.Fatal(err)
	}
	store.CheckWhole(1, all)
}
