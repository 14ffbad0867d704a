package node

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/boxo/bitswap/message"
	bspb "github.com/ipfs/boxo/bitswap/message/pb"
	"github.com/ipfs/boxo/bitswap/network/bsnet"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
)

// testDenylist denies blocks by their hash.
type testDenylist struct {
	mu      sync.Mutex
	denied  map[string]bool
	below   map[pin.DAG]cid.Cid
	changes uint64
	next    chan struct{}
}

func newTestDenylist(cs ...cid.Cid) *testDenylist {
	d := &testDenylist{denied: make(map[string]bool), below: make(map[pin.DAG]cid.Cid), next: make(chan struct{})}
	for _, c := range cs {
		d.denied[string(c.Hash())] = true
	}
	return d
}

func (d *testDenylist) Denied(c cid.Cid) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.denied[string(c.Hash())] {
		return pin.ErrDenied
	}
	return nil
}

func (d *testDenylist) Changes() (uint64, <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.changes, d.next
}

func (d *testDenylist) DeniedBelow(dag pin.DAG) (cid.Cid, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	block, ok := d.below[dag]
	return block, ok
}

// set denies a block, or does so no more.
func (d *testDenylist) set(c cid.Cid, denied bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.denied[string(c.Hash())] = denied
	d.change()
}

// find says that a block that is denied was found below some nodes.
func (d *testDenylist) find(block cid.Cid, below ...cid.Cid) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range below {
		d.below[pin.DAGOf(c)] = block
	}
	d.change()
}

func (d *testDenylist) change() {
	d.changes++
	close(d.next)
	d.next = make(chan struct{})
}

func denying(d Denylist) func(*Config) { return func(c *Config) { c.Denylist = d } }

// wantDenied fails unless a fetch was refused for a block that is denied.
func wantDenied(t *testing.T, err error, c cid.Cid) {
	t.Helper()
	refused, ok := errors.AsType[*pin.RefusedError](err)
	if !ok {
		t.Errorf("the error is %v, want a refusal", err)
		return
	}
	_, named, _ := strings.Cut(refused.Reason, "block ")
	named, _, said := strings.Cut(named, " is on a denylist of this server")
	if got, err := cid.Decode(named); err != nil || !said || string(got.Hash()) != string(c.Hash()) {
		t.Errorf("the reason is %q, want one about %s", refused.Reason, c)
	}
}

// What is denied before is not fetched, nor a DAG that has it somewhere.
func TestDeniedBefore(t *testing.T) {
	all := dagtest.Tree(dagtest.Leaves(30, 100), 5)
	inline := dagtest.Identity(cid.Raw, []byte("inline"))
	withInline := dagtest.PB("", inline)
	for name, c := range map[string]struct {
		root   cid.Cid
		denied cid.Cid
	}{
		"the root":             {dagtest.Last(all), dagtest.Last(all)},
		"the root, other CID":  {dagtest.Last(all), cid.NewCidV0(dagtest.Last(all).Hash())},
		"a leaf":               {dagtest.Last(all), all[17].Cid()},
		"a node":               {dagtest.Last(all), all[31].Cid()},
		"what is its own CID":  {withInline.Cid(), inline},
		"a root of that kind":  {inline, inline},
		"a leaf, other codec":  {dagtest.Last(all), dagtest.Under(cid.DagCBOR, all[3])},
		"a leaf that is there": {dagtest.Last(all), all[0].Cid()},
	} {
		t.Run(name, func(t *testing.T) {
			store := walktest.NewStore(t, all[0])
			n := newTestNode(t, store, denying(newTestDenylist(c.denied)))
			src := newSource(t, append(all[:len(all):len(all)], withInline)...)
			done, result := start(t.Context(), n, newJob(c.root, src.addr()))
			_, err := wait(t, done, result)
			wantDenied(t, err, c.denied)
			if store.Has(c.denied) && !c.denied.Equals(all[0].Cid()) {
				t.Error("it was stored")
			}
		})
	}
}

// What was pinned is mended with what is denied by now, as it is kept with it.
func TestDeniedAndRepaired(t *testing.T) {
	all := dagtest.Tree(dagtest.Leaves(30, 100), 5)
	n := newTestNode(t, walktest.NewStore(t, all[0]), denying(newTestDenylist(all[17].Cid(), dagtest.Last(all))))
	src := newSource(t, all...)
	job := newJob(dagtest.Last(all), src.addr())
	job.Repair = true
	done, result := start(t.Context(), n, job)
	if totals, err := wait(t, done, result); err != nil || totals.Blocks != uint64(len(all)) {
		t.Errorf("%+v, %v", totals, err)
	}
}

// What becomes denied while it is fetched ends the fetch: the root that nobody
// has, a block that came, one that is still on its way, and one that is in a part
// that is whole.
func TestDeniedDuring(t *testing.T) {
	all := dagtest.Tree(dagtest.Leaves(300, 100), 20)
	root := dagtest.Last(all)
	// begin fetches all but the first leaf, and gives what the fetch came to.
	begin := func(t *testing.T, list *testDenylist) (src *source, end func() error) {
		t.Helper()
		store := walktest.NewStore(t)
		n := newTestNode(t, store, denying(list))
		src = newSource(t, all[1:]...)
		job := newJob(root, src.addr())
		done, result := start(t.Context(), n, job)
		eventually(t, "all others are stored", func() bool { return store.Stored() == len(all)-1 })
		return src, func() error { _, err := wait(t, done, result); return err }
	}

	t.Run("the root, while nobody has it", func(t *testing.T) {
		list := newTestDenylist()
		n := newTestNode(t, walktest.NewStore(t), denying(list))
		done, result := start(t.Context(), n, newJob(root))
		eventually(t, "it is wanted", func() bool { return n.bitswap.exchange.Stats().Wants == 1 })
		list.set(root, true)
		_, err := wait(t, done, result)
		wantDenied(t, err, root)
		eventually(t, "it is wanted no more", func() bool { return n.bitswap.exchange.Stats().Wants == 0 })
	})

	t.Run("a block beside the one that is missing", func(t *testing.T) {
		list := newTestDenylist()
		_, end := begin(t, list)
		list.set(dagtest.Raw("something else").Cid(), true)
		list.set(all[1].Cid(), true)
		wantDenied(t, end(), all[1].Cid())
	})

	t.Run("the block that is missing", func(t *testing.T) {
		list := newTestDenylist()
		src, end := begin(t, list)
		list.set(all[0].Cid(), true)
		wantDenied(t, end(), all[0].Cid())
		src.add(t, all[0])
	})

	t.Run("a block in a part that is whole", func(t *testing.T) {
		list := newTestDenylist()
		_, end := begin(t, list)
		list.set(all[299].Cid(), true)
		// The part is passed over until somebody has looked below it.
		list.find(all[299].Cid(), all[314].Cid(), root)
		wantDenied(t, end(), all[299].Cid())
	})

	// Whatever else the list says, others go on, and count what they have once.
	t.Run("something else", func(t *testing.T) {
		list := newTestDenylist()
		store := walktest.NewStore(t)
		n := newTestNode(t, store, denying(list))
		src := newSource(t, all[1:]...)
		job := newJob(root, src.addr())
		slot := job.Slot.(*testSlot)
		job.IdleTimeout = 100 * time.Millisecond
		done, result := start(t.Context(), n, job)
		eventually(t, "all others are stored", func() bool { return store.Stored() == len(all)-1 })
		for range 3 {
			list.set(dagtest.Raw("something else").Cid(), true)
		}
		eventually(t, "the worker is given back", func() bool { held, _, _ := slot.state(); return !held })
		src.add(t, all[0])
		newSource(t, all[0]).connect(t, n) // who just connected is asked
		totals, err := wait(t, done, result)
		if err != nil {
			t.Fatal(err)
		}
		store.CheckWhole(1, all)
		blocks, bytes := dagtest.Distinct(all)
		if totals.Blocks != uint64(blocks) || totals.Bytes != uint64(bytes) || job.Progress.Blocks.Load() != uint64(blocks) {
			t.Errorf("%d blocks of %d bytes, told as %d; want %d of %d", totals.Blocks, totals.Bytes, job.Progress.Blocks.Load(), blocks, bytes)
		}
	})
}

// A change that comes when all is stored, just before the fetch would return, is
// not missed.
func TestDeniedAtTheEnd(t *testing.T) {
	all := dagtest.Tree(dagtest.Leaves(30, 100), 10)
	root := dagtest.Last(all)
	list := newTestDenylist()
	store := walktest.NewStore(t)
	var once sync.Once
	store.BeforeWrite = func(_ context.Context, b graph.Batch) error {
		if slices.Contains(b.Whole, graph.HolderOf(pin.Attempt(1))) {
			once.Do(func() { list.find(all[3].Cid(), root) })
		}
		return nil
	}
	n := newTestNode(t, store, denying(list))
	done, result := start(t.Context(), n, newJob(root, newSource(t, all...).addr()))
	_, err := wait(t, done, result)
	wantDenied(t, err, all[3].Cid())
}

// A peer gets what is held and not denied, and hears of nothing else.
func TestBitswapServesHeldAndUndenied(t *testing.T) {
	heldBlock, loose, denied := dagtest.Raw("held"), dagtest.Raw("loose"), dagtest.Raw("denied")
	store := walktest.NewStore(t, heldBlock, loose, denied)
	hold(t, store, 1, heldBlock, denied)
	list := newTestDenylist(denied.Cid())
	n := newTestNode(t, store, denying(list))
	all := []cid.Cid{heldBlock.Cid(), loose.Cid(), denied.Cid(), dagtest.Under(cid.DagProtobuf, denied)}
	for _, kind := range []bspb.Message_Wantlist_WantType{bspb.Message_Wantlist_Block, bspb.Message_Wantlist_Have} {
		got := ask(t, n, kind, all...)
		if want := []cid.Cid{heldBlock.Cid()}; !slices.Equal(got, want) {
			t.Errorf("asked by %v, it gives %v, want %v", kind, got, want)
		}
	}

	// Denied after it was served, and again when it is not.
	list.set(heldBlock.Cid(), true)
	list.set(denied.Cid(), false)
	if got := ask(t, n, bspb.Message_Wantlist_Block, all[:3]...); !slices.Equal(got, []cid.Cid{denied.Cid()}) {
		t.Errorf("after the lists changed, it gives %v", got)
	}
}

// ask sends wants as a peer of its own, and gives which of them the node has,
// once it has answered all.
func ask(t *testing.T, n *Node, kind bspb.Message_Wantlist_WantType, cs ...cid.Cid) []cid.Cid {
	t.Helper()
	src := newSource(t)
	got := make(chan message.BitSwapMessage, 16)
	src.bs.Close()
	src.host.RemoveStreamHandler(bsnet.ProtocolBitswap)
	listenBitswap(src.host, got)
	src.connect(t, n)
	m := message.New(true)
	for i, c := range cs {
		m.AddEntry(c, int32(len(cs)-i), kind, true)
	}
	sendBitswap(t, src.host, n.host.ID(), m)
	have := make(map[cid.Cid]bool)
	for len(have) < len(cs) {
		select {
		case m := <-got:
			for _, b := range m.Blocks() {
				have[b.Cid()] = true
			}
			for _, c := range m.Haves() {
				have[c] = true
			}
			for _, c := range m.DontHaves() {
				if _, ok := have[c]; !ok {
					have[c] = false
				}
			}
		case <-time.After(patience):
			t.Fatalf("only %v is answered", have)
		}
	}
	var yes []cid.Cid
	for _, c := range cs {
		if have[c] {
			yes = append(yes, c)
		}
	}
	return yes
}

// The same by the block store that is for other servers, which is told when
// something is denied.
func TestServed(t *testing.T) {
	heldBlock, loose, denied := dagtest.Raw("held"), dagtest.Raw("loose"), dagtest.Raw("denied")
	inline := dagtest.Identity(cid.Raw, []byte("inline"))
	deniedInline := dagtest.Identity(cid.Raw, []byte("denied, inline"))
	store := walktest.NewStore(t, heldBlock, loose, denied)
	hold(t, store, 1, heldBlock, denied)
	n := newTestNode(t, store, denying(newTestDenylist(denied.Cid(), deniedInline)))
	served := n.Served()
	ctx := t.Context()
	for c, size := range map[cid.Cid]int{heldBlock.Cid(): 4, inline: 6} {
		has, err := served.Has(ctx, c)
		if err != nil || !has {
			t.Errorf("has %s: %v, %v", c, has, err)
		}
		if b, err := served.Get(ctx, c); err != nil || len(b.RawData()) != size {
			t.Errorf("get %s: %v, %v", c, b, err)
		}
		if n, err := served.GetSize(ctx, c); err != nil || n != size {
			t.Errorf("size of %s: %d, %v", c, n, err)
		}
	}
	for _, c := range []cid.Cid{loose.Cid(), dagtest.Raw("missing").Cid()} {
		if has, err := served.Has(ctx, c); err != nil || has {
			t.Errorf("has %s: %v, %v", c, has, err)
		}
		if _, err := served.Get(ctx, c); !ipld.IsNotFound(err) {
			t.Errorf("get %s: %v", c, err)
		}
		if _, err := served.GetSize(ctx, c); !ipld.IsNotFound(err) {
			t.Errorf("size of %s: %v", c, err)
		}
	}
	for _, c := range []cid.Cid{denied.Cid(), dagtest.Under(cid.DagProtobuf, denied), deniedInline} {
		_, has := served.Has(ctx, c)
		_, get := served.Get(ctx, c)
		_, size := served.GetSize(ctx, c)
		for _, err := range []error{has, get, size} {
			if !errors.Is(err, pin.ErrDenied) || ipld.IsNotFound(err) {
				t.Errorf("%s: %v", c, err)
			}
		}
	}
	if err := errors.Join(served.Put(ctx, heldBlock), served.PutMany(ctx, []blocks.Block{heldBlock}), served.DeleteBlock(ctx, heldBlock.Cid())); !errors.Is(err, errReadOnly) {
		t.Errorf("writing: %v", err)
	}
	if _, err := served.AllKeysChan(ctx); err == nil {
		t.Error("it lists all that is here")
	}
	if !store.Has(heldBlock.Cid()) {
		t.Error("a server deleted a block")
	}
}

// Nobody is told of what is denied.
func TestDeniedIsNotAnnounced(t *testing.T) {
	server, addr := dhtServer(t)
	denied, fine := dagtest.Raw("denied").Cid(), dagtest.Raw("fine").Cid()
	n := newTestNode(t, walktest.NewStore(t), denying(newTestDenylist(denied)), func(c *Config) {
		c.Routing, c.Bootstrap = RoutingAuto, []string{addr}
	})
	n.Announce(pin.DAGOf(denied))
	n.Announce(pin.DAGOf(fine))
	providers := func(c cid.Cid) int {
		found, err := server.ProviderStore().GetProviders(t.Context(), c.Hash())
		if err != nil {
			t.Error(err)
		}
		return len(found)
	}
	eventually(t, "the DHT knows who has the other", func() bool { return providers(fine) == 1 })
	if providers(denied) > 0 {
		t.Error("the DHT knows who has what is denied")
	}

	roots := func(context.Context) iter.Seq2[pin.DAG, error] {
		return func(yield func(pin.DAG, error) bool) {
			_ = yield(pin.DAGOf(denied), nil) && yield(pin.DAGOf(fine), nil) && yield("", errReadOnly)
		}
	}
	var got []pin.DAG
	var last error
	for d, err := range announced(newTestDenylist(denied), roots)(t.Context()) {
		got, last = append(got, d), err
	}
	if want := []pin.DAG{pin.DAGOf(fine), ""}; !slices.Equal(got, want) || !errors.Is(last, errReadOnly) {
		t.Errorf("of the roots it announces %v, %v", got, last)
	}
}

// What becomes denied is withdrawn, and what is not any more is announced again.
func TestDenialsChangeWhatIsAnnounced(t *testing.T) {
	server, addr := dhtServer(t)
	root := dagtest.Raw("sometimes denied").Cid()
	list := newTestDenylist()
	n := newTestNode(t, walktest.NewStore(t), denying(list), auto(addr), func(c *Config) {
		c.Roots = func(context.Context) iter.Seq2[pin.DAG, error] {
			return func(yield func(pin.DAG, error) bool) { yield(pin.DAGOf(root), nil) }
		}
	})
	roots := func(want int) func() bool {
		return func() bool {
			s, ok, err := n.ProvideStats(t.Context())
			return err == nil && ok && s.Roots == want && s.Keys == int64(want)
		}
	}
	eventually(t, "it is announced", func() bool { return knows(t, server, n, root) })
	eventually(t, "it is in the schedule", roots(1))
	list.set(root, true)
	eventually(t, "it is withdrawn", roots(0))
	if _, ok := n.Announced(pin.DAGOf(root)); ok {
		t.Error("it is to be announced")
	}
	list.set(root, false)
	eventually(t, "it is announced again", roots(1))
}
