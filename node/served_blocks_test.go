package node

import (
	"errors"
	"testing"

	"github.com/ipfs/boxo/bitswap/message"
	bspb "github.com/ipfs/boxo/bitswap/message/pb"
	"github.com/ipfs/go-cid"
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

// What is read below a root is what is served of each block by itself.
func TestServedBelow(t *testing.T) {
	all := dagtest.Tree(dagtest.Leaves(20, 100), 5)
	root := dagtest.Last(all)
	loose, denied, bad := dagtest.Raw("loose"), dagtest.Raw("denied"), dagtest.Raw("bad")
	inline := dagtest.Identity(cid.Raw, []byte("inline"))
	store := walktest.NewStore(t, append(all, loose, denied, bad)...)
	list := newTestDenylist(denied.Cid())
	n := newTestNode(t, store, func(c *Config) { c.Denylist = list })
	read := func(c cid.Cid) (data []byte, err error) {
		var into []byte
		outer := n.ServedBelow(t.Context(), root, func(read func(cid.Cid, func(int) []byte) ([]byte, error)) error {
			data, err = read(c, func(size int) []byte {
				into = make([]byte, 0, size)
				return into
			})
			return err
		})
		if !errors.Is(outer, err) {
			t.Errorf("the error of fn is %v, and comes as %v", err, outer)
		}
		if err == nil && (len(data) != cap(into) || &data[0] != &into[:1][0]) {
			t.Errorf("%s: the bytes are not where they should be", c)
		}
		return data, err
	}
	if _, err := read(all[0].Cid()); !ipld.IsNotFound(err) {
		t.Errorf("a block that no pin needs: %v", err)
	}
	hold(t, store, 1, all[0], denied, bad)
	store.Unreadable(bad.Cid())
	for c, want := range map[cid.Cid]string{all[0].Cid(): string(all[0].RawData()), inline: "inline"} {
		if data, err := read(c); err != nil || string(data) != want {
			t.Errorf("%s: %q, %v", c, data, err)
		}
	}
	if _, err := read(denied.Cid()); !errors.Is(err, pin.ErrDenied) {
		t.Errorf("a denied block: %v", err)
	}
	if _, err := read(bad.Cid()); !errors.Is(err, pin.ErrUnreadable) {
		t.Errorf("a block that cannot be read: %v", err)
	}
	if _, err := read(loose.Cid()); !ipld.IsNotFound(err) {
		t.Errorf("a block that no pin needs: %v", err)
	}
	if _, err := read(dagtest.Raw("nowhere").Cid()); !ipld.IsNotFound(err) {
		t.Errorf("a block that is not here: %v", err)
	}
	// Below a pin that is complete, nothing is looked up again.
	done, result := start(t.Context(), n, newJob(root))
	if _, err := wait(t, done, result); err != nil {
		t.Fatal(err)
	}
	for _, b := range all {
		if data, err := read(b.Cid()); err != nil || string(data) != string(b.RawData()) {
			t.Errorf("%s: %d bytes, %v", b.Cid(), len(data), err)
		}
	}
}
