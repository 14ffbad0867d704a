package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multicodec"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
)

func TestFetch(t *testing.T) {
	a, b := dagtest.Raw("a"), dagtest.Raw("b")
	inline := dagtest.Identity(cid.DagProtobuf, dagtest.PBBytes("", dagtest.Under(cid.Raw, b)))
	both := dagtest.PB("both", a.Cid(), b.Cid())
	v0 := cid.NewCidV0(both.Cid().Hash())
	json, plainCBOR := dagtest.Block(uint64(multicodec.Json), []byte(`{"/":"x"}`)), dagtest.Block(uint64(multicodec.Cbor), []byte{0xa1, 0x01, 0x02})
	signed := dagtest.JWS(both.Cid())
	file := dagtest.Git("blob", "hello")
	module := dagtest.Git("commit", "tree "+dagtest.GitName(dagtest.Git("tree", ""))+"\n\nsubmodule")
	tree := dagtest.Git("tree", "100644 file\x00"+string(dagtest.GitSum(file))+"160000 module\x00"+string(dagtest.GitSum(module)))
	first := dagtest.Git("commit", "tree "+dagtest.GitName(tree)+"\n\nfirst")
	second := dagtest.Git("commit", "tree "+dagtest.GitName(tree)+"\nparent "+dagtest.GitName(first)+"\n\nsecond")
	git := []blocks.Block{file, dagtest.Git("tree", ""), module, tree, first, second, dagtest.Git("tag", "object "+dagtest.GitName(second)+"\ntype commit\ntag v1\n\n")}
	for name, all := range map[string][]blocks.Block{
		"one raw block":    {a},
		"empty raw block":  {dagtest.Raw("")},
		"empty dag-pb":     {dagtest.Raw(""), dagtest.Block(cid.DagProtobuf, nil), dagtest.PB("", dagtest.Raw("").Cid(), dagtest.Under(cid.DagProtobuf, dagtest.Raw("")))},
		"dag-pb":           {a, b, both},
		"dag-cbor":         {a, b, dagtest.CBOR("c", a.Cid(), b.Cid())},
		"dag-json":         {a, b, dagtest.JSON("j", a.Cid(), b.Cid())},
		"all codecs":       {a, b, both, dagtest.CBOR("c", both.Cid()), dagtest.JSON("j", dagtest.CBOR("c", both.Cid()).Cid(), v0)},
		"json":             {json},
		"cbor":             {plainCBOR},
		"dag-jose":         {a, b, both, signed},
		"git":              git,
		"every codec":      append(git[:7:7], json, plainCBOR, a, b, both, signed, dagtest.CBOR("", json.Cid(), plainCBOR.Cid(), signed.Cid(), git[6].Cid(), both.Cid())),
		"legacy dag-cbor":  {a, dagtest.Block(cid.DagCBOR, append([]byte("\xa2aa\x18\x01al\xd8\x2a\x58\x25\x00"), a.Cid().Bytes()...))},
		"linked twice":     {a, dagtest.PB("", a.Cid(), a.Cid(), a.Cid())},
		"inlined node":     {b, dagtest.PB("", inline)},
		"inlined leaf":     {dagtest.PB("", dagtest.Identity(cid.Raw, []byte("x")))},
		"wide":             dagtest.Tree(dagtest.Leaves(3000, 64), 3000),
		"deep":             dagtest.Tree(dagtest.Leaves(700, 64), 3),
		"larger blocks":    dagtest.Tree(dagtest.Leaves(40, 1<<20), 174),
		"chain":            dagtest.Chain(60),
		"sha2-512":         {a, dagtest.Hashed(cid.DagProtobuf, multihash.SHA2_512, dagtest.PBBytes("", a.Cid()))},
		"blake3":           {a, dagtest.Hashed(cid.DagProtobuf, multihash.BLAKE3, dagtest.PBBytes("", a.Cid()))},
		"sha1":             {a, dagtest.Hashed(cid.DagProtobuf, multihash.SHA1, dagtest.PBBytes("", a.Cid()))},
		"blake2b and sha3": {dagtest.Hashed(cid.Raw, multihash.BLAKE2B_MIN+31, []byte("x")), dagtest.Hashed(cid.DagProtobuf, multihash.SHA3_256, dagtest.PBBytes("", dagtest.Hashed(cid.Raw, multihash.BLAKE2B_MIN+31, []byte("x")).Cid()))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src := newSource(t, all...)
			store := walktest.NewStore(t)
			n := newTestNode(t, store)
			job := newJob(dagtest.Last(all), src.addr())
			totals, err := n.Fetch(t.Context(), job)
			if err != nil {
				t.Fatal(err)
			}
			store.CheckWhole(1, all)
			count, size := dagtest.Distinct(all)
			if totals.Blocks != uint64(count) || totals.Bytes != uint64(size) {
				t.Errorf("totals are %+v, want %d blocks and %d bytes", totals, count, size)
			}
			sent := 0 // a block of no bytes needs no sending
			for _, b := range dagtest.Unique(all) {
				if len(b.RawData()) > 0 {
					sent++
				}
			}
			p := job.Progress
			if p.Blocks.Load() != uint64(count) || p.Bytes.Load() != uint64(size) || p.Received.Load() != uint64(sent) {
				t.Errorf("progress says %d blocks, %d bytes, %d received; want %d, %d, %d",
					p.Blocks.Load(), p.Bytes.Load(), p.Received.Load(), count, size, sent)
			}

			by := p.Delivered()
			if sent == 0 && by.Blocks() == 0 {
				by.Add(pin.Source{Name: src.host.ID().String()}) // nobody sent anything
			}
			if len(by.Sources) != 1 || by.Sources[0].Name != src.host.ID().String() || by.Sources[0].Blocks != uint64(sent) || by.Others != 0 {
				t.Errorf("it was delivered by %+v", by)
			}

			// What is on disk is not fetched again, whoever is there.
			src.close()
			again := newJob(dagtest.Last(all))
			again.Attempt = 2
			if totals, err = n.Fetch(t.Context(), again); err != nil {
				t.Fatal(err)
			}
			store.CheckWhole(2, all)
			if totals.Blocks != uint64(count) || again.Progress.Received.Load() != 0 || store.Stored() != count {
				t.Errorf("again: %+v, %d received, %d stored in all", totals, again.Progress.Received.Load(), store.Stored())
			}
			if by := again.Progress.Delivered(); by.Blocks() > 0 {
				t.Errorf("again: delivered by %+v", by)
			}
			// It is given back before the last write, which needs none.
			if held, acquired, _ := again.Slot.(*testSlot).state(); held || acquired != 1 || !again.Progress.Writes.Load() {
				t.Errorf("the worker was taken %d times, and is held: %v", acquired, held)
			}
		})
	}
}

func TestFetchOfAnInlinedRoot(t *testing.T) {
	n := newTestNode(t, walktest.NewStore(t))
	totals, err := n.Fetch(t.Context(), newJob(dagtest.Identity(cid.Raw, []byte("all of it"))))
	if err != nil || totals != (pin.Totals{}) {
		t.Fatalf("%+v, %v", totals, err)
	}
}

// A linked list gives no more than one block at a time to ask for, and none
// that could be claimed together but by reading ahead.
func TestFetchOfALongChainFromDisk(t *testing.T) {
	all := dagtest.Chain(5000)
	var have, missing []blocks.Block
	for i, b := range all {
		if i%100 == 7 {
			missing = append(missing, b)
		} else {
			have = append(have, b)
		}
	}
	store := walktest.NewStore(t, have...)
	n := newTestNode(t, store)
	job := newJob(dagtest.Last(all), newSource(t, missing...).addr())
	if _, err := n.Fetch(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	store.CheckWhole(1, all)
	if got := job.Progress.Received.Load(); got != uint64(len(missing)) {
		t.Errorf("received %d blocks, %d were missing", got, len(missing))
	}
	if store.Batches() > 200 {
		t.Errorf("the disk was synced %d times", store.Batches())
	}
}

// The same bytes are one block as raw and a tree as dag-pb or dag-cbor.
func TestCodecConfusion(t *testing.T) {
	leaf := dagtest.Raw("leaf")
	for name, node := range map[string]blocks.Block{"dag-pb": dagtest.PB("x", leaf.Cid()), "dag-cbor": dagtest.CBOR("x", leaf.Cid())} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := []blocks.Block{leaf, node}
			src := newSource(t, node)
			store := walktest.NewStore(t)
			n := newTestNode(t, store)
			totals, err := n.Fetch(t.Context(), newJob(dagtest.Under(cid.Raw, node), src.addr()))
			if err != nil || totals.Blocks != 1 {
				t.Fatalf("as raw: %+v, %v", totals, err)
			}
			job := newJob(node.Cid(), src.addr())
			done, result := start(t.Context(), n, job)
			eventually(t, "the leaf is waited for", func() bool { return job.Progress.Blocks.Load() == 1 })
			select {
			case <-done:
				t.Fatal("it is whole without its leaf")
			case <-time.After(50 * time.Millisecond):
			}
			src.add(t, leaf)
			if totals, err = wait(t, done, result); err != nil || totals.Blocks != 2 {
				t.Fatalf("as %s: %+v, %v", name, totals, err)
			}
			store.CheckWhole(1, all)
		})
	}
}

// A DAG may hold one node under two codecs, in either order, fetched or on
// disk: its bytes count once, and all that it links to is fetched.
func TestOneNodeUnderTwoCodecs(t *testing.T) {
	leaf := dagtest.Raw("leaf")
	node := dagtest.PB("node", leaf.Cid())
	asRaw := dagtest.Under(cid.Raw, node)
	for name, root := range map[string]blocks.Block{
		"raw first":       dagtest.PB("", asRaw, node.Cid()),
		"dag-pb first":    dagtest.PB("", node.Cid(), asRaw),
		"raw much later":  dagtest.PB("", node.Cid(), dagtest.PB("", dagtest.PB("", asRaw).Cid()).Cid()),
		"raw long before": dagtest.PB("", asRaw, dagtest.PB("", dagtest.PB("", node.Cid()).Cid()).Cid()),
	} {
		all := []blocks.Block{leaf, node, dagtest.PB("", asRaw), dagtest.PB("", dagtest.PB("", asRaw).Cid()), dagtest.PB("", node.Cid()), dagtest.PB("", dagtest.PB("", node.Cid()).Cid()), root}
		for where, have := range map[string][]blocks.Block{"fetched": nil, "on disk": {node}, "all on disk": all} {
			t.Run(name+", "+where, func(t *testing.T) {
				t.Parallel()
				store := walktest.NewStore(t, have...)
				n := newTestNode(t, store)
				job := newJob(root.Cid(), newSource(t, all...).addr())
				totals, err := n.Fetch(t.Context(), job)
				if err != nil {
					t.Fatal(err)
				}
				want := uint64(3)
				if strings.Contains(name, "long") || strings.Contains(name, "later") {
					want = 5
				}
				if totals.Blocks != want || !store.Has(leaf.Cid()) || len(store.Held(1)) != int(want) {
					t.Fatalf("%+v, leaf there: %v, %d references", totals, store.Has(leaf.Cid()), len(store.Held(1)))
				}
			})
		}
	}
}

func TestRefused(t *testing.T) {
	leaf := dagtest.Raw("leaf")
	broken := dagtest.Block(cid.DagProtobuf, []byte("\xff\xff not a node"))
	brokenCBOR := dagtest.Block(cid.DagCBOR, []byte{0xff})
	unknown := dagtest.Block(uint64(multicodec.Car), []byte("car"))
	cutOff := dagtest.Block(cid.DagCBOR, []byte{0x81})
	weak := dagtest.Hashed(cid.Raw, multihash.MURMUR3X64_64, []byte("x"))
	many := dagtest.Tree(dagtest.Leaves(300, 100), 10)
	for name, c := range map[string]struct {
		all    []blocks.Block
		limits pin.Limits
		says   []string
	}{
		"does not decode":        {all: []blocks.Block{broken}, says: []string{broken.Cid().String(), "does not decode as dag-pb"}},
		"child does not decode":  {all: []blocks.Block{broken, dagtest.PB("", broken.Cid())}, says: []string{broken.Cid().String(), "does not decode"}},
		"dag-cbor, does not":     {all: []blocks.Block{brokenCBOR}, says: []string{brokenCBOR.Cid().String(), "does not decode as dag-cbor"}},
		"child of unknown codec": {all: []blocks.Block{leaf, unknown, dagtest.PB("", leaf.Cid(), unknown.Cid())}, says: []string{unknown.Cid().String(), "codec car"}},
		"root of unknown codec":  {all: []blocks.Block{unknown}, says: []string{unknown.Cid().String(), "codec"}},
		"child with a weak hash": {all: []blocks.Block{leaf, dagtest.PB("", leaf.Cid(), weak.Cid())}, says: []string{weak.Cid().String(), "hash"}},
		"dag-cbor cut off":       {all: []blocks.Block{cutOff, dagtest.PB("", leaf.Cid(), cutOff.Cid())}, says: []string{cutOff.Cid().String(), "dag-cbor", "at byte 1: it is cut off"}},
		"inlined and broken":     {all: []blocks.Block{dagtest.PB("", dagtest.Identity(cid.DagProtobuf, []byte("\xff\xff")))}, says: []string{"does not decode"}},
		"too many blocks":        {all: many, limits: pin.Limits{Blocks: uint64(len(many) - 1)}, says: []string{fmt.Sprint(len(many) - 1), "pin.max_dag_blocks"}},
		"too many bytes":         {all: many, limits: pin.Limits{Bytes: 30_000}, says: []string{"30000", "pin.max_dag_bytes"}},
		"too large a block":      {all: many, limits: pin.Limits{BlockBytes: 99}, says: []string{"has", "99", "pin.max_block_size"}},
		"too many links":         {all: many, limits: pin.Limits{Links: 9}, says: []string{"10 links", "9", "pin.max_links"}},
		"too deep":               {all: many, limits: pin.Limits{Depth: 2}, says: []string{"3 links from the root", "pin.max_depth"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := walktest.NewStore(t)
			n := newTestNode(t, store)
			job := newJob(dagtest.Last(c.all), newSource(t, c.all...).addr())
			job.Limits = c.limits
			_, err := n.Fetch(t.Context(), job)
			var refused *pin.RefusedError
			if !errors.As(err, &refused) {
				t.Fatalf("the error is %v", err)
			}
			for _, s := range c.says {
				if !strings.Contains(refused.Reason, s) {
					t.Errorf("the reason %q does not say %q", refused.Reason, s)
				}
			}
		})
	}
}

func TestLimitsThatAreJustKept(t *testing.T) {
	all := dagtest.Tree(dagtest.Leaves(50, 2000), 10)
	count, size := dagtest.Distinct(all)
	job := newJob(dagtest.Last(all), newSource(t, all...).addr())
	job.Limits = pin.Limits{Blocks: uint64(count), Bytes: uint64(size), BlockBytes: 2000, Links: 10, Depth: 2}
	if _, err := newTestNode(t, walktest.NewStore(t)).Fetch(t.Context(), job); err != nil {
		t.Fatal(err)
	}
}

func TestDamagedBlockOnDiskIsFetchedAgain(t *testing.T) {
	all := dagtest.Tree(dagtest.Leaves(20, 100), 5)
	store := walktest.NewStore(t, all...)
	store.Damage(all[3].Cid(), []byte("torn"))
	store.Damage(dagtest.Last(all), nil)
	n := newTestNode(t, store)
	job := newJob(dagtest.Last(all), newSource(t, all...).addr())
	if _, err := n.Fetch(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	store.CheckWhole(1, all)
	if got := job.Progress.Received.Load(); got != 2 {
		t.Errorf("received %d blocks, 2 were damaged", got)
	}
}

// Reclaim may take a block between the look at it and the claim.
func TestBlockThatIsGoneOnceItIsClaimed(t *testing.T) {
	all := dagtest.Tree(dagtest.Leaves(20, 100), 5)
	store := walktest.NewStore(t, all...)
	victims := []cid.Cid{all[3].Cid(), dagtest.Last(all)}
	store.BeforeWrite = func(context.Context, graph.Batch) error {
		for _, c := range victims {
			store.Lose(c)
		}
		victims = nil
		return nil
	}
	n := newTestNode(t, store)
	job := newJob(dagtest.Last(all), newSource(t, all...).addr())
	totals, err := n.Fetch(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	store.CheckWhole(1, all)
	count, size := dagtest.Distinct(all)
	if totals != (pin.Totals{Blocks: uint64(count), Bytes: uint64(size)}) || job.Progress.Received.Load() != 2 {
		t.Errorf("%+v, %d received", totals, job.Progress.Received.Load())
	}
}

func TestErrorsOfTheStoreEndTheFetch(t *testing.T) {
	all := dagtest.Tree(dagtest.Leaves(20, 100), 5)
	store := walktest.NewStore(t)
	store.BeforeWrite = func(context.Context, graph.Batch) error { return fmt.Errorf("put: %w", pin.ErrDiskFull) }
	n := newTestNode(t, store)
	if _, err := n.Fetch(t.Context(), newJob(dagtest.Last(all), newSource(t, all...).addr())); !errors.Is(err, pin.ErrDiskFull) {
		t.Fatalf("the error is %v", err)
	}

	other := walktest.NewStore(t, all...)
	broken := errors.New("broken")
	other.BeforeWrite = func(context.Context, graph.Batch) error { return broken }
	if _, err := newTestNode(t, other).Fetch(t.Context(), newJob(dagtest.Last(all))); !errors.Is(err, broken) {
		t.Fatalf("the error is %v", err)
	}
}

// Not all of it is written when the last block comes.
func TestFetchWaitsForTheDisk(t *testing.T) {
	all := dagtest.Tree(dagtest.Leaves(20, 100), 5)
	store := walktest.NewStore(t)
	release := make(chan struct{})
	store.BeforeWrite = func(context.Context, graph.Batch) error { <-release; return nil }
	n := newTestNode(t, store)
	job := newJob(dagtest.Last(all), newSource(t, all...).addr())
	done, result := start(t.Context(), n, job)
	count, _ := dagtest.Distinct(all)
	eventually(t, "all blocks came", func() bool { return job.Progress.Received.Load() == uint64(count) })
	select {
	case <-done:
		t.Fatal("it is done before it is durable")
	case <-time.After(50 * time.Millisecond):
	}
	close(release)
	if _, err := wait(t, done, result); err != nil {
		t.Fatal(err)
	}
	store.CheckWhole(1, all)
}

// A slow disk holds the walk up before it holds all of a DAG in memory.
func TestSlowDiskBoundsWhatIsInMemory(t *testing.T) {
	all := dagtest.Tree(dagtest.Leaves(150, 1<<20), 174)
	store := walktest.NewStore(t)
	release := make(chan struct{})
	largest := 0
	store.BeforeWrite = func(_ context.Context, b graph.Batch) error {
		<-release
		size := 0
		for _, block := range b.Blocks {
			size += len(block.Data)
		}
		largest = max(largest, size)
		return nil
	}
	n := newTestNode(t, store)
	job := newJob(dagtest.Last(all), newSource(t, all...).addr())
	done, result := start(t.Context(), n, job)
	// One batch of 8 MiB is written, two are gathered, and one block may be too many.
	const most = 3*8<<20 + 2<<20
	eventually(t, "blocks come", func() bool { return job.Progress.Bytes.Load() > 2*8<<20 })
	for deadline := time.Now().Add(300 * time.Millisecond); time.Now().Before(deadline); {
		if got := job.Progress.Bytes.Load(); got > most {
			t.Fatalf("%d bytes were taken in while the disk stood still", got)
		}
		time.Sleep(time.Millisecond)
	}
	close(release)
	if _, err := wait(t, done, result); err != nil {
		t.Fatal(err)
	}
	store.CheckWhole(1, all)
	if largest > most {
		t.Errorf("one batch had %d bytes", largest)
	}
}

func TestResumeFetchesNothingTwice(t *testing.T) {
	all := dagtest.Tree(dagtest.Leaves(2000, 200), 20)
	src := newSource(t, all...)
	store := walktest.NewStore(t)
	n := newTestNode(t, store)
	ctx, cancel := context.WithCancel(t.Context())
	store.BeforeWrite = func(context.Context, graph.Batch) error {
		if store.Stored() > 300 {
			cancel()
		}
		return nil
	}
	job := newJob(dagtest.Last(all), src.addr())
	done, result := start(ctx, n, job)
	if _, err := wait(t, done, result); !errors.Is(err, context.Canceled) {
		t.Fatalf("the error is %v", err)
	}
	before := store.Stored()
	if _, err := n.Fetch(t.Context(), newJob(dagtest.Last(all), src.addr())); err != nil {
		t.Fatal(err)
	}
	count, _ := dagtest.Distinct(all)
	if store.Stored() != count {
		t.Errorf("%d blocks were stored, %d before the interruption; the DAG has %d", store.Stored(), before, count)
	}
	store.CheckWhole(1, all)
}
