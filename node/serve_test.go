package node

import (
	"context"
	"testing"
	"time"

	"github.com/ipfs/boxo/bitswap/message"
	bspb "github.com/ipfs/boxo/bitswap/message/pb"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
)

// hold has an attempt need blocks, so that they are served.
func hold(t testing.TB, s Store, a pin.Attempt, bs ...blocks.Block) {
	t.Helper()
	var b graph.Batch
	for _, block := range bs {
		b.Links = append(b.Links, graph.Link{
			Holder: graph.HolderOf(a), Ref: graph.Ref{Hash: block.Cid().Hash(), Size: len(block.RawData())}, Codec: block.Cid().Type(),
		})
	}
	if err := s.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

// Whoever wants a block gets it once it is durable, and not before.
func TestBlocksAreServedOnceTheyAreDurable(t *testing.T) {
	all := dagtest.Tree(dagtest.Leaves(20, 100), 5)
	root := dagtest.Last(all)
	store := walktest.NewStore(t)
	release := make(chan struct{})
	store.BeforeWrite = func(context.Context, graph.Batch) error { <-release; return nil }
	n := newTestNode(t, store)
	third := newSource(t)
	third.connect(t, n)
	got := make(chan blocks.Block, 1)
	go func() {
		b, err := third.bs.GetBlock(t.Context(), root)
		if err == nil {
			got <- b
		}
	}()
	eventually(t, "the third asks", func() bool { return len(n.bitswap.server.WantlistForPeer(third.host.ID())) == 1 })
	job := newJob(root, newSource(t, all...).addr())
	done, result := start(t.Context(), n, job)
	eventually(t, "all came", func() bool { return job.Progress.Blocks.Load() == uint64(len(all)) })
	select {
	case <-got:
		t.Fatal("a block was served that a power cut would lose")
	case <-time.After(100 * time.Millisecond):
	}
	close(release)
	if _, err := wait(t, done, result); err != nil {
		t.Fatal(err)
	}
	select {
	case b := <-got:
		if b.Cid() != root {
			t.Fatalf("got %s", b.Cid())
		}
	case <-time.After(patience):
		t.Fatal("it is not served")
	}
}

func TestServesWhatIsOnDisk(t *testing.T) {
	all := []blocks.Block{dagtest.Raw("a"), dagtest.Raw(""), dagtest.PB("", dagtest.Raw("a").Cid())}
	store := walktest.NewStore(t, all...)
	hold(t, store, 1, all...)
	n := newTestNode(t, store)
	third := newSource(t)
	third.connect(t, n)
	for _, c := range []cid.Cid{all[0].Cid(), all[1].Cid(), all[2].Cid(), cid.NewCidV0(all[2].Cid().Hash())} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		b, err := third.bs.GetBlock(ctx, c)
		cancel()
		if err != nil || b.Cid() != c {
			t.Fatalf("%s: %v", c, err)
		}
	}
}

// A peer that asks for more than anybody needs is remembered only in part, one
// that asks in ways that nobody does not at all, and others are served
// meanwhile.
func TestWantsOfOnePeerAreBounded(t *testing.T) {
	const wants, most = 10_000, 1024 // boxo's limit; a peer of ours is asked within it
	all := dagtest.Leaves(20, 100)
	store := walktest.NewStore(t, all...)
	hold(t, store, 1, all...)
	n := newTestNode(t, store)

	greedy := newTestHost(t)
	listenBitswap(greedy, make(chan message.BitSwapMessage, 4*wants))
	(&source{host: greedy}).connect(t, n)
	for _, some := range [][]blocks.Block{dagtest.Leaves(wants/2, 8), dagtest.Leaves(wants/2, 9)} {
		m := message.New(false)
		for i, b := range some {
			m.AddEntry(b.Cid(), int32(i), bspb.Message_Wantlist_Block, false)
		}
		sendBitswap(t, greedy, n.host.ID(), m)
	}
	eventually(t, "its wants came", func() bool { return len(n.bitswap.server.WantlistForPeer(greedy.ID())) == most })

	// A CID of which most is made up. Its message is thrown away.
	huge := newTestHost(t)
	(&source{host: huge}).connect(t, n)
	m := message.New(false)
	m.AddEntry(dagtest.Identity(cid.Raw, make([]byte, 500)), 1, bspb.Message_Wantlist_Block, true)
	m.AddEntry(dagtest.Hashed(cid.Raw, multihash.SHA2_512, []byte("x")).Cid(), 1, bspb.Message_Wantlist_Block, true)
	sendBitswap(t, huge, n.host.ID(), m)

	third := newSource(t)
	third.connect(t, n)
	for _, b := range all {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		got, err := third.bs.GetBlock(ctx, b.Cid())
		cancel()
		if err != nil || got.Cid() != b.Cid() {
			t.Fatalf("%s: %v", b.Cid(), err)
		}
	}
	if n := len(n.bitswap.server.WantlistForPeer(greedy.ID())); n > most {
		t.Errorf("%d wants are remembered", n)
	}
	for _, c := range n.bitswap.server.WantlistForPeer(huge.ID()) {
		if len(c.Bytes()) > 168 { // boxo's limit
			t.Errorf("a want of %d bytes is remembered", len(c.Bytes()))
		}
	}
}
