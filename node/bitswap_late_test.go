package node

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/boxo/bitswap/message"
	bspb "github.com/ipfs/boxo/bitswap/message/pb"
	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/node/walk"
	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
)

// lateStore is a store into which a block comes right after it was looked for in vain.
type lateStore struct {
	*walktest.Store
	come func()
}

func (s lateStore) Blockstore() blockstore.Blockstore {
	return lateBlocks{s.Store.Blockstore(), s.come}
}

type lateBlocks struct {
	blockstore.Blockstore
	come func()
}

func (s lateBlocks) GetSize(ctx context.Context, c cid.Cid) (int, error) {
	defer s.come()
	return s.Blockstore.GetSize(ctx, c)
}

func (s lateBlocks) Has(ctx context.Context, c cid.Cid) (bool, error) {
	defer s.come()
	return s.Blockstore.Has(ctx, c)
}

// A block that comes while a peer's question for it is taken in is sent, or said to be there, as any other.
func TestBlockComesWhileItIsAskedFor(t *testing.T) {
	for name, ask := range map[string]struct {
		want   bspb.Message_Wantlist_WantType
		size   int
		answer func(message.BitSwapMessage) (cids []cid.Cid)
	}{
		"block": {bspb.Message_Wantlist_Block, 100, func(m message.BitSwapMessage) (cids []cid.Cid) {
			for _, b := range m.Blocks() {
				cids = append(cids, b.Cid())
			}
			return cids
		}},
		"have": {bspb.Message_Wantlist_Have, 10_000, message.BitSwapMessage.Haves},
	} {
		t.Run(name, func(t *testing.T) {
			b := dagtest.Leaves(1, ask.size)[0]
			store := lateStore{Store: walktest.NewStore(t)}
			var n *Node
			store.come = sync.OnceFunc(func() {
				hold(t, store.Store, 1, b)
				if err := store.Write(t.Context(), graph.Batch{Blocks: []graph.Block{{Hash: b.Cid().Hash(), Data: b.RawData()}}}); err != nil {
					t.Error(err)
				}
				if err := n.serveNew(t.Context(), walk.Held{CID: b.Cid(), Size: len(b.RawData())}); err != nil {
					t.Error(err)
				}
			})
			n = newTestNode(t, store)
			asker := newTestHost(t)
			answers := make(chan message.BitSwapMessage, 100)
			listenBitswap(asker, answers)
			(&source{host: asker}).connect(t, n)
			m := message.New(false)
			m.AddEntry(b.Cid(), 1, ask.want, true)
			sendBitswap(t, asker, n.host.ID(), m)
			timeout := time.After(patience)
			for {
				select {
				case m := <-answers:
					for _, c := range ask.answer(m) {
						if c == b.Cid() {
							return
						}
						t.Errorf("%s was not asked for, or is not here", c)
					}
				case <-timeout:
					t.Fatal("it is not answered")
				}
			}
		})
	}
}
