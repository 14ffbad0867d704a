package node

import (
	"testing"
	"time"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// asker has a peer ask a node for blocks that it does not have. came gets those that come.
func asker(t *testing.T, n *Node, cs ...cid.Cid) (came <-chan cid.Cid) {
	t.Helper()
	third := newSource(t)
	third.connect(t, n)
	out := make(chan cid.Cid, len(cs))
	for _, c := range cs {
		go func() {
			if b, err := third.bs.GetBlock(t.Context(), c); err == nil {
				out <- b.Cid()
			}
		}()
	}
	eventually(t, "the peer asks", func() bool { return len(n.bitswap.server.WantlistForPeer(third.host.ID())) == len(cs) })
	return out
}

// next gives the next block that came.
func next(t *testing.T, came <-chan cid.Cid) cid.Cid {
	t.Helper()
	select {
	case c := <-came:
		return c
	case <-time.After(patience):
		t.Fatal("a block does not come")
		return cid.Undef
	}
}

// A peer that waits for blocks gets them when somebody uploads them, whichever comes first: a
// block, or what links to it; and the root once it is pinned.
func TestWaitingPeersGetUploads(t *testing.T) {
	leaves := dagtest.Leaves(2, 100)
	inner := dagtest.PB("inner", leaves[0].Cid(), leaves[1].Cid())
	last := dagtest.Raw("last")
	root := dagtest.PB("root", inner.Cid(), last.Cid())
	store := walktest.NewStore(t)
	n := newTestNode(t, store)
	came := asker(t, n, leaves[0].Cid(), cid.NewCidV0(inner.Cid().Hash()), last.Cid(), root.Cid())

	in, err := n.Upload(t.Context(), pin.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	await := func(want ...blocks.Block) {
		t.Helper()
		got := map[string]bool{}
		for range want {
			got[string(next(t, came).Hash())] = true
		}
		for _, b := range want {
			if !got[string(b.Cid().Hash())] {
				t.Errorf("%s did not come", b.Cid())
			}
		}
	}
	for _, step := range []struct{ put, come []blocks.Block }{
		{put: leaves}, // nothing needs them yet
		{put: []blocks.Block{inner}, come: leaves[:1]},
		{put: []blocks.Block{root}, come: []blocks.Block{inner}},
		{put: []blocks.Block{last}, come: []blocks.Block{last}},
	} {
		for _, b := range step.put {
			if _, err := in.Put(t.Context(), b.Cid(), b.RawData()); err != nil {
				t.Fatal(err)
			}
		}
		if err := in.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		await(step.come...)
	}
	job := newJob(root.Cid())
	job.Attempt = store.NewAttempt()
	if _, err := n.Fetch(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	await(root)
}

// A peer gets what is on disk, and is needed only now.
func TestWaitingPeersGetWhatIsPinnedAgain(t *testing.T) {
	all := dagtest.Tree(dagtest.Leaves(20, 100), 5)
	n := newTestNode(t, walktest.NewStore(t, all...)) // no pin holds any of them
	came := asker(t, n, all[0].Cid(), dagtest.Last(all))
	if _, err := n.Fetch(t.Context(), newJob(dagtest.Last(all))); err != nil {
		t.Fatal(err)
	}
	next(t, came)
	next(t, came)
}
