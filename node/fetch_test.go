package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
)

func TestFetch(t *testing.T) {
	a, b := raw("a"), raw("b")
	inline := identity(cid.DagProtobuf, pbBytes("", under(cid.Raw, b)))
	both := pb("both", a.Cid(), b.Cid())
	v0 := cid.NewCidV0(both.Cid().Hash())
	for name, all := range map[string][]blocks.Block{
		"one raw block":    {a},
		"empty raw block":  {raw("")},
		"empty dag-pb":     {raw(""), blockOf(cid.DagProtobuf, nil), pb("", raw("").Cid(), under(cid.DagProtobuf, raw("")))},
		"dag-pb":           {a, b, both},
		"dag-cbor":         {a, b, cborBlock("c", a.Cid(), b.Cid())},
		"dag-json":         {a, b, jsonBlock("j", a.Cid(), b.Cid())},
		"all codecs":       {a, b, both, cborBlock("c", both.Cid()), jsonBlock("j", cborBlock("c", both.Cid()).Cid(), v0)},
		"linked twice":     {a, pb("", a.Cid(), a.Cid(), a.Cid())},
		"inlined node":     {b, pb("", inline)},
		"inlined leaf":     {pb("", identity(cid.Raw, []byte("x")))},
		"wide":             tree(leaves(3000, 64), 3000),
		"deep":             tree(leaves(700, 64), 3),
		"larger blocks":    tree(leaves(40, 1<<20), 174),
		"chain":            chain(60),
		"sha2-512":         {a, hashedBlock(cid.DagProtobuf, multihash.SHA2_512, pbBytes("", a.Cid()))},
		"blake3":           {a, hashedBlock(cid.DagProtobuf, multihash.BLAKE3, pbBytes("", a.Cid()))},
		"sha1":             {a, hashedBlock(cid.DagProtobuf, multihash.SHA1, pbBytes("", a.Cid()))},
		"blake2b and sha3": {hashedBlock(cid.Raw, multihash.BLAKE2B_MIN+31, []byte("x")), hashedBlock(cid.DagProtobuf, multihash.SHA3_256, pbBytes("", hashedBlock(cid.Raw, multihash.BLAKE2B_MIN+31, []byte("x")).Cid()))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src := newSource(t, all...)
			store := newMemStore(t)
			n := newTestNode(t, store)
			job := newJob(last(all), src.addr())
			totals, err := n.Fetch(t.Context(), job)
			if err != nil {
				t.Fatal(err)
			}
			store.checkWhole(1, all)
			count, size := distinct(all)
			if totals.Blocks != uint64(count) || totals.Bytes != uint64(size) {
				t.Errorf("totals are %+v, want %d blocks and %d bytes", totals, count, size)
			}
			sent := 0 // a block of no bytes needs no sending
			for _, b := range unique(all) {
				if len(b.RawData()) > 0 {
					sent++
				}
			}
			p := job.Progress
			if p.Blocks.Load() != uint64(count) || p.Bytes.Load() != uint64(size) || p.Received.Load() != uint64(sent) {
				t.Errorf("progress says %d blocks, %d bytes, %d received; want %d, %d, %d",
					p.Blocks.Load(), p.Bytes.Load(), p.Received.Load(), count, size, sent)
			}

			// What is on disk is not fetched again, whoever is there.
			src.close()
			again := newJob(last(all))
			again.Attempt = 2
			if totals, err = n.Fetch(t.Context(), again); err != nil {
				t.Fatal(err)
			}
			store.checkWhole(2, all)
			if totals.Blocks != uint64(count) || again.Progress.Received.Load() != 0 || store.stored() != count {
				t.Errorf("again: %+v, %d received, %d stored in all", totals, again.Progress.Received.Load(), store.stored())
			}
			if held, acquired, _ := again.Slot.(*testSlot).state(); !held || acquired != 1 {
				t.Errorf("the worker was taken %d times, and is held: %v", acquired, held)
			}
		})
	}
}

func TestFetchOfAnInlinedRoot(t *testing.T) {
	n := newTestNode(t, newMemStore(t))
	totals, err := n.Fetch(t.Context(), newJob(identity(cid.Raw, []byte("all of it"))))
	if err != nil || totals != (pin.Totals{}) {
		t.Fatalf("%+v, %v", totals, err)
	}
}

// A linked list gives no more than one block at a time to ask for, and none
// that could be claimed together but by reading ahead.
func TestFetchOfALongChainFromDisk(t *testing.T) {
	all := chain(5000)
	var have, missing []blocks.Block
	for i, b := range all {
		if i%100 == 7 {
			missing = append(missing, b)
		} else {
			have = append(have, b)
		}
	}
	store := newMemStore(t, have...)
	n := newTestNode(t, store)
	job := newJob(last(all), newSource(t, missing...).addr())
	if _, err := n.Fetch(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	store.checkWhole(1, all)
	if got := job.Progress.Received.Load(); got != uint64(len(missing)) {
		t.Errorf("received %d blocks, %d were missing", got, len(missing))
	}
	if store.batches > 200 {
		t.Errorf("the disk was synced %d times", store.batches)
	}
}

// The same bytes are one block as raw and a tree as dag-pb or dag-cbor.
func TestCodecConfusion(t *testing.T) {
	leaf := raw("leaf")
	for name, node := range map[string]blocks.Block{"dag-pb": pb("x", leaf.Cid()), "dag-cbor": cborBlock("x", leaf.Cid())} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := []blocks.Block{leaf, node}
			src := newSource(t, node)
			store := newMemStore(t)
			n := newTestNode(t, store)
			totals, err := n.Fetch(t.Context(), newJob(under(cid.Raw, node), src.addr()))
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
			store.checkWhole(1, all)
		})
	}
}

// A DAG may hold one node under two codecs, in either order, fetched or on
// disk: its bytes count once, and all that it links to is fetched.
func TestOneNodeUnderTwoCodecs(t *testing.T) {
	leaf := raw("leaf")
	node := pb("node", leaf.Cid())
	asRaw := under(cid.Raw, node)
	for name, root := range map[string]blocks.Block{
		"raw first":       pb("", asRaw, node.Cid()),
		"dag-pb first":    pb("", node.Cid(), asRaw),
		"raw much later":  pb("", node.Cid(), pb("", pb("", asRaw).Cid()).Cid()),
		"raw long before": pb("", asRaw, pb("", pb("", node.Cid()).Cid()).Cid()),
	} {
		all := []blocks.Block{leaf, node, pb("", asRaw), pb("", pb("", asRaw).Cid()), pb("", node.Cid()), pb("", pb("", node.Cid()).Cid()), root}
		for where, have := range map[string][]blocks.Block{"fetched": nil, "on disk": {node}, "all on disk": all} {
			t.Run(name+", "+where, func(t *testing.T) {
				t.Parallel()
				store := newMemStore(t, have...)
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
				if totals.Blocks != want || !store.has(leaf.Cid()) || len(store.refs[1]) != int(want) {
					t.Fatalf("%+v, leaf there: %v, %d references", totals, store.has(leaf.Cid()), len(store.refs[1]))
				}
			})
		}
	}
}

func TestRefused(t *testing.T) {
	leaf := raw("leaf")
	broken := blockOf(cid.DagProtobuf, []byte("\xff\xff not a node"))
	brokenCBOR := blockOf(cid.DagCBOR, []byte{0xff})
	unknown := blockOf(cid.GitRaw, []byte("blob 0\x00"))
	weak := hashedBlock(cid.Raw, multihash.MURMUR3X64_64, []byte("x"))
	many := tree(leaves(300, 100), 10)
	for name, c := range map[string]struct {
		all    []blocks.Block
		limits pin.Limits
		says   []string
	}{
		"does not decode":        {all: []blocks.Block{broken}, says: []string{broken.Cid().String(), "does not decode as dag-pb"}},
		"child does not decode":  {all: []blocks.Block{broken, pb("", broken.Cid())}, says: []string{broken.Cid().String(), "does not decode"}},
		"dag-cbor, does not":     {all: []blocks.Block{brokenCBOR}, says: []string{brokenCBOR.Cid().String(), "does not decode as dag-cbor"}},
		"child of unknown codec": {all: []blocks.Block{leaf, unknown, pb("", leaf.Cid(), unknown.Cid())}, says: []string{unknown.Cid().String(), "codec"}},
		"root of unknown codec":  {all: []blocks.Block{unknown}, says: []string{unknown.Cid().String(), "codec"}},
		"child with a weak hash": {all: []blocks.Block{leaf, pb("", leaf.Cid(), weak.Cid())}, says: []string{weak.Cid().String(), "hash"}},
		"inlined and broken":     {all: []blocks.Block{pb("", identity(cid.DagProtobuf, []byte("\xff\xff")))}, says: []string{"does not decode"}},
		"too many blocks":        {all: many, limits: pin.Limits{Blocks: uint64(len(many) - 1)}, says: []string{fmt.Sprint(len(many) - 1), "pin.max_dag_blocks"}},
		"too many bytes":         {all: many, limits: pin.Limits{Bytes: 30_000}, says: []string{"30000", "pin.max_dag_bytes"}},
		"too large a block":      {all: many, limits: pin.Limits{BlockBytes: 99}, says: []string{"has", "99", "pin.max_block_size"}},
		"too many links":         {all: many, limits: pin.Limits{Links: 9}, says: []string{"10 links", "9", "pin.max_links"}},
		"too deep":               {all: many, limits: pin.Limits{Depth: 2}, says: []string{"3 links from the root", "pin.max_depth"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := newMemStore(t)
			n := newTestNode(t, store)
			job := newJob(last(c.all), newSource(t, c.all...).addr())
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
	all := tree(leaves(50, 2000), 10)
	count, size := distinct(all)
	job := newJob(last(all), newSource(t, all...).addr())
	job.Limits = pin.Limits{Blocks: uint64(count), Bytes: uint64(size), BlockBytes: 2000, Links: 10, Depth: 2}
	if _, err := newTestNode(t, newMemStore(t)).Fetch(t.Context(), job); err != nil {
		t.Fatal(err)
	}
}

func TestDamagedBlockOnDiskIsFetchedAgain(t *testing.T) {
	all := tree(leaves(20, 100), 5)
	store := newMemStore(t, all...)
	store.blocks[string(all[3].Cid().Hash())] = []byte("torn")
	store.blocks[string(last(all).Hash())] = nil
	n := newTestNode(t, store)
	job := newJob(last(all), newSource(t, all...).addr())
	if _, err := n.Fetch(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	store.checkWhole(1, all)
	if got := job.Progress.Received.Load(); got != 2 {
		t.Errorf("received %d blocks, 2 were damaged", got)
	}
}

// Reclaim may take a block between the look at it and the claim.
func TestBlockThatIsGoneOnceItIsClaimed(t *testing.T) {
	all := tree(leaves(20, 100), 5)
	store := newMemStore(t, all...)
	victims := []cid.Cid{all[3].Cid(), last(all)}
	store.beforeClaim = func([]pin.Ref) error {
		for _, c := range victims {
			store.drop(c)
		}
		victims = nil
		return nil
	}
	n := newTestNode(t, store)
	job := newJob(last(all), newSource(t, all...).addr())
	totals, err := n.Fetch(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	store.checkWhole(1, all)
	count, size := distinct(all)
	if totals != (pin.Totals{Blocks: uint64(count), Bytes: uint64(size)}) || job.Progress.Received.Load() != 2 {
		t.Errorf("%+v, %d received", totals, job.Progress.Received.Load())
	}
}

func TestErrorsOfTheStoreEndTheFetch(t *testing.T) {
	all := tree(leaves(20, 100), 5)
	store := newMemStore(t)
	store.beforePut = func(context.Context, []blocks.Block) error { return fmt.Errorf("put: %w", pin.ErrDiskFull) }
	n := newTestNode(t, store)
	if _, err := n.Fetch(t.Context(), newJob(last(all), newSource(t, all...).addr())); !errors.Is(err, pin.ErrDiskFull) {
		t.Fatalf("the error is %v", err)
	}

	other := newMemStore(t, all...)
	broken := errors.New("broken")
	other.beforeClaim = func([]pin.Ref) error { return broken }
	if _, err := newTestNode(t, other).Fetch(t.Context(), newJob(last(all))); !errors.Is(err, broken) {
		t.Fatalf("the error is %v", err)
	}
}

// Not all of it is written when the last block comes.
func TestFetchWaitsForTheDisk(t *testing.T) {
	all := tree(leaves(20, 100), 5)
	store := newMemStore(t)
	release := make(chan struct{})
	store.beforePut = func(context.Context, []blocks.Block) error { <-release; return nil }
	n := newTestNode(t, store)
	job := newJob(last(all), newSource(t, all...).addr())
	done, result := start(t.Context(), n, job)
	count, _ := distinct(all)
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
	store.checkWhole(1, all)
}

// A slow disk holds the walk up before it holds all of a DAG in memory.
func TestSlowDiskBoundsWhatIsInMemory(t *testing.T) {
	all := tree(leaves(150, 1<<20), 174)
	store := newMemStore(t)
	release := make(chan struct{})
	largest := 0
	store.beforePut = func(_ context.Context, bs []blocks.Block) error {
		<-release
		size := 0
		for _, b := range bs {
			size += len(b.RawData())
		}
		largest = max(largest, size)
		return nil
	}
	n := newTestNode(t, store)
	job := newJob(last(all), newSource(t, all...).addr())
	done, result := start(t.Context(), n, job)
	const most = (maxGather+2)*batchBytes + 2<<20
	eventually(t, "blocks come", func() bool { return job.Progress.Bytes.Load() > maxGather*batchBytes })
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
	store.checkWhole(1, all)
	if largest > most {
		t.Errorf("one batch had %d bytes", largest)
	}
}

func TestResumeFetchesNothingTwice(t *testing.T) {
	all := tree(leaves(2000, 200), 20)
	src := newSource(t, all...)
	store := newMemStore(t)
	n := newTestNode(t, store)
	ctx, cancel := context.WithCancel(t.Context())
	job := newJob(last(all), src.addr())
	done, result := start(ctx, n, job)
	eventually(t, "some are stored", func() bool { return store.stored() > 300 })
	cancel()
	if _, err := wait(t, done, result); !errors.Is(err, context.Canceled) {
		t.Fatalf("the error is %v", err)
	}
	before := store.stored()
	if _, err := n.Fetch(t.Context(), newJob(last(all), src.addr())); err != nil {
		t.Fatal(err)
	}
	count, _ := distinct(all)
	if store.stored() != count {
		t.Errorf("%d blocks were stored, %d before the interruption; the DAG has %d", store.stored(), before, count)
	}
	store.checkWhole(1, all)
}
