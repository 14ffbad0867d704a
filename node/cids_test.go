package node

import (
	"context"
	"testing"

	"github.com/ipfs/boxo/bitswap/message"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
)

// version0 makes a dag-pb block with a CIDv0.
func version0(t *testing.T, data string, links ...cid.Cid) blocks.Block {
	t.Helper()
	b := dagtest.PB(data, links...)
	v0, err := blocks.NewBlockWithCid(b.RawData(), cid.NewCidV0(b.Cid().Hash()))
	if err != nil {
		t.Fatal(err)
	}
	return v0
}

// A connected peer that adds what was asked for sends it at once, by either version of a
// CID: it looks up who waits for a block by the CID that it adds.
func TestCIDsAreAskedForAsTheyWereWritten(t *testing.T) {
	old := version0(t, "leaf")
	mixed := version0(t, "root", old.Cid(), dagtest.PB("another").Cid())
	for name, all := range map[string][]blocks.Block{
		"CIDv0":         {old},
		"CIDv1":         {dagtest.PB("alone")},
		"a link's CID":  {dagtest.PB("root", old.Cid()), old},
		"both versions": {mixed, old, dagtest.PB("another")},
	} {
		t.Run(name, func(t *testing.T) {
			store := walktest.NewStore(t)
			n := newTestNode(t, store)
			src := newSource(t)
			done, result := start(t.Context(), n, newJob(all[0].Cid(), src.addr()))
			for _, b := range all {
				eventually(t, b.Cid().String()+" is asked for", func() bool {
					for _, c := range src.bs.WantlistForPeer(n.host.ID()) {
						if c == b.Cid() {
							return true
						}
					}
					return false
				})
				src.add(t, b)
			}
			if _, err := wait(t, done, result); err != nil {
				t.Fatal(err)
			}
			store.CheckWhole(1, all)
		})
	}
}

// A peer may look blocks up by the whole CID.
func TestPeerThatKnowsCIDsAlone(t *testing.T) {
	leaf := version0(t, "leaf")
	root := version0(t, "root", leaf.Cid())
	have := map[cid.Cid]blocks.Block{leaf.Cid(): leaf, root.Cid(): root}
	h := newTestHost(t)
	answerWants(t, h, func(reply message.BitSwapMessage, c cid.Cid) {
		if b := have[c]; b != nil {
			reply.AddBlock(b)
		} else {
			reply.AddDontHave(c)
		}
	})
	store := walktest.NewStore(t)
	n := newTestNode(t, store)
	done, result := start(t.Context(), n, newJob(root.Cid(), withPeer(h.Addrs()[0], h.ID())))
	if _, err := wait(t, done, result); err != nil {
		t.Fatal(err)
	}
	store.CheckWhole(1, []blocks.Block{leaf, root})
}

// Whoever waits here for a block is sent it, by whichever version of its CID it came.
func TestNewBlocksAreServedByBothVersions(t *testing.T) {
	block := dagtest.PB("block")
	v0 := cid.NewCidV0(block.Cid().Hash())
	for fetched, wanted := range map[cid.Cid]cid.Cid{block.Cid(): v0, v0: block.Cid()} {
		store := walktest.NewStore(t)
		release := make(chan struct{})
		store.BeforeWrite = func(context.Context, graph.Batch) error { <-release; return nil }
		n := newTestNode(t, store)
		third := newSource(t)
		third.connect(t, n)
		got := make(chan error, 1)
		go func() {
			_, err := third.bs.GetBlock(t.Context(), wanted)
			got <- err
		}()
		eventually(t, "the third asks", func() bool { return len(n.bitswap.server.WantlistForPeer(third.host.ID())) == 1 })
		done, result := start(t.Context(), n, newJob(fetched, newSource(t, block).addr()))
		close(release)
		if _, err := wait(t, done, result); err != nil {
			t.Fatal(err)
		}
		if err := <-got; err != nil {
			t.Errorf("fetched as %s, wanted as %s: %v", fetched, wanted, err)
		}
	}
}
