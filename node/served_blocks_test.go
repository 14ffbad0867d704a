package node

import (
	"errors"
	"testing"

	"github.com/ipfs/boxo/bitswap/message"
	bspb "github.com/ipfs/boxo/bitswap/message/pb"
	ipld "github.com/ipfs/go-ipld-format"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// A block that is here and cannot be read is to a peer one that is not, which it is told
// at once; who reads for the gateway learns what it is.
func TestUnreadableBlocksAreNotServed(t *testing.T) {
	good, bad := dagtest.Raw("good"), dagtest.Raw("bad")
	store := walktest.NewStore(t, good, bad)
	hold(t, store, 1, good, bad)
	store.Unreadable(bad.Cid())
	n := newTestNode(t, store)

	bitswap := newServed(store, nil)
	if b, err := bitswap.Get(t.Context(), bad.Cid()); !ipld.IsNotFound(err) {
		t.Errorf("Get gives Bitswap %v, %v", b, err)
	}
	if size, err := bitswap.GetSize(t.Context(), bad.Cid()); !ipld.IsNotFound(err) {
		t.Errorf("GetSize gives Bitswap %d, %v", size, err)
	}
	if has, err := bitswap.Has(t.Context(), bad.Cid()); err != nil || has {
		t.Errorf("Has gives Bitswap %v, %v", has, err)
	}
	if b, err := n.Served().Get(t.Context(), bad.Cid()); !errors.Is(err, pin.ErrUnreadable) {
		t.Errorf("Get gives %v, %v", b, err)
	}

	peer := newTestHost(t)
	came := make(chan message.BitSwapMessage, 10)
	listenBitswap(peer, came)
	(&source{host: peer}).connect(t, n)
	m := message.New(false)
	m.AddEntry(bad.Cid(), 2, bspb.Message_Wantlist_Block, true)
	m.AddEntry(good.Cid(), 1, bspb.Message_Wantlist_Block, true)
	sendBitswap(t, peer, n.host.ID(), m)
	for told, gotten := false, false; !told || !gotten; {
		answer := <-came
		for _, c := range answer.DontHaves() {
			told = told || c == bad.Cid()
		}
		for _, b := range answer.Blocks() {
			if b.Cid() != good.Cid() {
				t.Fatalf("%s came, of %d bytes", b.Cid(), len(b.RawData()))
			}
			gotten = true
		}
	}
}

// Who walks a DAG fetches again what cannot be read of it.
func TestUnreadableBlocksAreFetchedAgain(t *testing.T) {
	all := dagtest.Tree(dagtest.Leaves(20, 100), 5)
	store := walktest.NewStore(t, all...)
	store.Unreadable(all[3].Cid())
	store.Unreadable(dagtest.Last(all))
	n := newTestNode(t, store)
	job := newJob(dagtest.Last(all), newSource(t, all...).addr())
	done, result := start(t.Context(), n, job)
	if _, err := wait(t, done, result); err != nil {
		t.Fatal(err)
	}
	if got := job.Progress.Received.Load(); got != 2 {
		t.Errorf("received %d blocks, 2 were unreadable", got)
	}
}
