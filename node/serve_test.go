package node

import (
	"context"
	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"
	"github.com/holdfast-ipfs/holdfast/pin"
	"testing"
	"time"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
)

// Whoever wants a block gets it once it is durable, and not before.
func TestBlocksAreServedOnceTheyAreDurable(t *testing.T) {
	all := dagtest.Tree(dagtest.Leaves(20, 100), 5)
	root := dagtest.Last(all)
	store := walktest.NewStore(t)
	release := make(chan struct{})
	store.BeforeWrite = func(context.Context, pin.Batch) error { <-release; return nil }
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
	n := newTestNode(t, walktest.NewStore(t, all...))
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
