package walktest

import (
	"context"
	"slices"
	"sync"
	"testing"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"

	"github.com/ipfs/boxo/blockstore"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
)

// WalkStore is walk.Store, which cannot be imported from here.
type WalkStore interface {
	Write(ctx context.Context, b graph.Batch) error
	NewHolders(ctx context.Context, n int) (first graph.Holder, err error)
	NodeOf(ctx context.Context, a pin.Attempt, d pin.DAG) (h graph.Holder, found bool, err error)
	Whole(ctx context.Context, d pin.DAG, l pin.Limits, surely bool) (bool, error)
	Look(ctx context.Context, h multihash.Multihash) (data []byte, found bool, err error)
	Blockstore() blockstore.Blockstore
	Measure(ctx context.Context, k graph.Known) (t pin.Totals, ok bool, err error)
	Below(ctx context.Context, d pin.DAG) (below []graph.Link, ok bool, err error)
}

// RunStore holds a store to what walks rely on. start gives an empty one.
func RunStore(t *testing.T, start func(t *testing.T) WalkStore) {
	for name, test := range map[string]func(t *testing.T, s WalkStore){
		"NewHolders":        testNewHolders,
		"Blocks":            testBlocks,
		"NodeOf":            testNodeOf,
		"Whole":             testWhole,
		"WholeKeepsLimits":  testWholeKeepsLimits,
		"WholeIsOfACodec":   testWholeIsOfACodec,
		"Below":             testBelow,
		"CancelledContexts": testCancelled,
	} {
		t.Run(name, func(t *testing.T) { test(t, start(t)) })
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func testNewHolders(t *testing.T, s WalkStore) {
	var mu sync.Mutex
	seen := map[graph.Holder]bool{}
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			for range 100 {
				first, err := s.NewHolders(t.Context(), n+1)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for h := first; h < first+graph.Holder(n+1); h++ {
					if seen[h] || h == 0 {
						t.Errorf("%d was given out twice, or is none", h)
					}
					seen[h] = true
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

// attempt gives one that there was not before.
func attempt(t *testing.T, s WalkStore) pin.Attempt {
	t.Helper()
	if fake, ok := s.(*Store); ok {
		return fake.NewAttempt()
	}
	h, err := s.NewHolders(t.Context(), 1)
	must(t, err)
	return pin.Attempt(h)
}

// raw makes a raw block.
func raw(s string) blocks.Block {
	h, err := multihash.Sum([]byte(s), multihash.SHA2_256, -1)
	if err != nil {
		panic(err)
	}
	b, err := blocks.NewBlockWithCid([]byte(s), cid.NewCidV1(cid.Raw, h))
	if err != nil {
		panic(err)
	}
	return b
}

// link is from a holder to a block under a codec.
func link(h graph.Holder, b blocks.Block, codec uint64) graph.Link {
	return graph.Link{Holder: h, Ref: graph.Ref{Hash: b.Cid().Hash(), Size: len(b.RawData())}, Codec: codec}
}

func written(bs ...blocks.Block) (out []graph.Block) {
	for _, b := range bs {
		out = append(out, graph.Block{Hash: b.Cid().Hash(), Data: b.RawData()})
	}
	return out
}

func dagOf(b blocks.Block, codec uint64) pin.DAG {
	return pin.DAGOf(cid.NewCidV1(codec, b.Cid().Hash()))
}

func testBlocks(t *testing.T, s WalkStore) {
	ctx := t.Context()
	h := graph.HolderOf(attempt(t, s))
	a, b := raw("a"), raw("b")
	must(t, s.Write(ctx, graph.Batch{Links: []graph.Link{link(h, a, cid.Raw), link(h, b, cid.Raw)}, Blocks: written(a)}))
	must(t, s.Write(ctx, graph.Batch{}))
	for _, c := range []cid.Cid{a.Cid(), cid.NewCidV1(cid.DagProtobuf, a.Cid().Hash()), cid.NewCidV0(a.Cid().Hash())} {
		got, err := s.Blockstore().Get(ctx, c)
		must(t, err)
		if string(got.RawData()) != "a" {
			t.Errorf("%s is %q", c, got.RawData())
		}
	}
	if data, found, err := s.Look(ctx, a.Cid().Hash()); err != nil || found && string(data) != "a" {
		t.Errorf("Look gives %q, %v", data, err)
	}
	if _, err := s.Blockstore().Get(ctx, b.Cid()); !ipld.IsNotFound(err) {
		t.Errorf("a link made a block: %v", err)
	}
	if _, found, err := s.Look(ctx, b.Cid().Hash()); err != nil || found {
		t.Errorf("Look: %v, %v", found, err)
	}
}

// testTree is a root that links to a node with two leaves, and to one of them.
type testTree struct {
	root, node, x, y blocks.Block
	id, top          graph.Holder
	batch            graph.Batch
}

func newTestTree(t *testing.T, s WalkStore, a pin.Attempt) *testTree {
	t.Helper()
	first, err := s.NewHolders(t.Context(), 2)
	must(t, err)
	tr := &testTree{root: raw("root"), node: raw("node"), x: raw("x"), y: raw("y"), id: first, top: first + 1}
	tr.batch = graph.Batch{
		Links: []graph.Link{
			link(graph.HolderOf(a), tr.root, cid.DagProtobuf),
			link(tr.top, tr.node, cid.DagProtobuf), link(tr.top, tr.x, cid.Raw),
			link(tr.id, tr.x, cid.Raw), link(tr.id, tr.y, cid.Raw),
		},
		Nodes: []graph.Node{
			{ID: tr.top, DAG: dagOf(tr.root, cid.DagProtobuf), Attempt: a},
			{ID: tr.id, DAG: dagOf(tr.node, cid.DagProtobuf), Attempt: a},
		},
		Blocks: written(tr.root, tr.node, tr.x, tr.y),
	}
	return tr
}

func testNodeOf(t *testing.T, s WalkStore) {
	ctx := t.Context()
	a, b := attempt(t, s), attempt(t, s)
	one := newTestTree(t, s, a)
	must(t, s.Write(ctx, one.batch))
	two := newTestTree(t, s, b)
	must(t, s.Write(ctx, two.batch))
	for a, want := range map[pin.Attempt]graph.Holder{a: one.id, b: two.id, attempt(t, s): 0} {
		id, found, err := s.NodeOf(ctx, a, dagOf(one.node, cid.DagProtobuf))
		if err != nil || found != (want != 0) || found && id != want {
			t.Errorf("attempt %d has node %d, %v, %v, want %d", a, id, found, err, want)
		}
	}
	if _, found, err := s.NodeOf(ctx, a, dagOf(one.node, cid.DagCBOR)); err != nil || found {
		t.Errorf("under another codec: %v, %v", found, err)
	}
}

// wantWhole asks surely, and as of a moment ago, which may lag behind.
func wantWhole(t *testing.T, s WalkStore, what string, d pin.DAG, l pin.Limits, want bool) {
	t.Helper()
	if whole, err := s.Whole(t.Context(), d, l, true); err != nil || whole != want {
		t.Errorf("%s is whole: %v, %v, want %v", what, whole, err, want)
	}
	if whole, err := s.Whole(t.Context(), d, l, false); err != nil || whole && !want {
		t.Errorf("%s was whole a moment ago: %v, %v, want %v", what, whole, err, want)
	}
}

func testWhole(t *testing.T, s WalkStore) {
	ctx := t.Context()
	tr := newTestTree(t, s, attempt(t, s))
	must(t, s.Write(ctx, tr.batch))
	node, root := dagOf(tr.node, cid.DagProtobuf), dagOf(tr.root, cid.DagProtobuf)
	x := dagOf(tr.x, cid.Raw)
	for what, d := range map[string]pin.DAG{"node": node, "root": root, "x": x} {
		wantWhole(t, s, what+" before the mark", d, pin.Limits{}, false)
	}
	must(t, s.Write(ctx, graph.Batch{Whole: []graph.Holder{tr.id}}))
	wantWhole(t, s, "node", node, pin.Limits{}, true)
	wantWhole(t, s, "leaf of the node", x, pin.Limits{}, true)
	wantWhole(t, s, "root", root, pin.Limits{}, false)
	must(t, s.Write(ctx, graph.Batch{Whole: []graph.Holder{tr.top}}))
	wantWhole(t, s, "root", root, pin.Limits{}, true)
	wantWhole(t, s, "nothing", dagOf(raw("else"), cid.Raw), pin.Limits{}, false)
	wantWhole(t, s, "no DAG", "", pin.Limits{}, false)
	single, h := raw("single"), graph.HolderOf(attempt(t, s))
	must(t, s.Write(ctx, graph.Batch{Links: []graph.Link{link(h, single, cid.Raw)}, Blocks: written(single)}))
	wantWhole(t, s, "root without links", dagOf(single, cid.Raw), pin.Limits{}, false)
	must(t, s.Write(ctx, graph.Batch{Whole: []graph.Holder{h}}))
	wantWhole(t, s, "root without links", dagOf(single, cid.Raw), pin.Limits{}, true)
}

func testWholeKeepsLimits(t *testing.T, s WalkStore) {
	ctx := t.Context()
	tr := newTestTree(t, s, attempt(t, s))
	must(t, s.Write(ctx, tr.batch))
	must(t, s.Write(ctx, graph.Batch{Whole: []graph.Holder{tr.id}, Limits: pin.Limits{BlockBytes: 100, Bytes: 7, Blocks: 7, Depth: 7}}))
	d := dagOf(tr.node, cid.DagProtobuf)
	for _, c := range []struct {
		limits pin.Limits
		want   bool
	}{
		{pin.Limits{}, true},
		{pin.Limits{BlockBytes: 100}, true},
		{pin.Limits{BlockBytes: 200}, true},
		{pin.Limits{BlockBytes: 99}, false},
		{pin.Limits{Links: 1000}, false}, // it was held to none
		{pin.Limits{Bytes: 1, Blocks: 1, Depth: 1}, true},
	} {
		wantWhole(t, s, "node", d, c.limits, c.want)
	}
}

// The same bytes under a codec that they were not read under are not known.
func testWholeIsOfACodec(t *testing.T, s WalkStore) {
	ctx := t.Context()
	node, leaf, h := raw("node"), raw("leaf"), graph.HolderOf(attempt(t, s))
	must(t, s.Write(ctx, graph.Batch{
		Links:  []graph.Link{link(h, node, cid.Raw), link(h, leaf, cid.Raw)},
		Blocks: written(node, leaf), Whole: []graph.Holder{h},
	}))
	wantWhole(t, s, "as raw", dagOf(node, cid.Raw), pin.Limits{}, true)
	wantWhole(t, s, "as dag-pb", dagOf(node, cid.DagProtobuf), pin.Limits{}, false)
}

func testBelow(t *testing.T, s WalkStore) {
	ctx := t.Context()
	tr := newTestTree(t, s, attempt(t, s))
	must(t, s.Write(ctx, tr.batch))
	d := dagOf(tr.node, cid.DagProtobuf)
	if below, ok, err := s.Below(ctx, d); err != nil || ok {
		t.Errorf("before it is whole: %v, %v, %v", below, ok, err)
	}
	must(t, s.Write(ctx, graph.Batch{Whole: []graph.Holder{tr.id}}))
	below, ok, err := s.Below(ctx, d)
	must(t, err)
	want := []pin.DAG{dagOf(tr.x, cid.Raw), dagOf(tr.y, cid.Raw)}
	var got []pin.DAG
	for _, l := range below {
		got = append(got, l.DAG())
		if l.Size != 1 || l.Holder != tr.id {
			t.Errorf("link %+v", l)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !ok || !slices.Equal(got, want) {
		t.Errorf("below are %v, %v, want %v", got, ok, want)
	}
	if _, ok, err := s.Below(ctx, dagOf(tr.x, cid.DagProtobuf)); err != nil || ok {
		t.Errorf("of a leaf: %v, %v", ok, err)
	}
}

func testCancelled(t *testing.T, s WalkStore) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b := raw("a")
	if err := s.Write(ctx, graph.Batch{Links: []graph.Link{link(1, b, cid.Raw)}, Blocks: written(b)}); err == nil {
		t.Error("written")
	}
	if has, err := s.Blockstore().Has(t.Context(), b.Cid()); err != nil || has {
		t.Errorf("it is there: %v, %v", has, err)
	}
}
