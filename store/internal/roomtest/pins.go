package roomtest

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ipfs/boxo/blockstore"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/node/walk"
	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
)

// Pins is what makes and removes pins: the rooms, or the store.
type Pins interface {
	pin.Records
	walk.Store
	Drop(ctx context.Context, a pin.Attempt) error
	NewUpload(ctx context.Context) (pin.Attempt, error)
	Blockstore() blockstore.Blockstore
}

// Account is the account of all pins that name none.
const Account = "0a11ce00-0000-4000-8000-000000000001"

// Pinned is a request, its attempt, and how many bytes its blocks have.
type Pinned struct {
	Request pin.Request
	Attempt pin.Attempt
	Bytes   int
}

// BeginPin makes a request for the n-th test DAG and begins its attempt.
func BeginPin(tb testing.TB, s Pins, n int) *Pinned {
	tb.Helper()
	r, err := s.Add(tb.Context(), Account, pintest.DAGSpec(n))
	Must(tb, err)
	a, _, err := s.Begin(tb.Context(), r.DAG())
	Must(tb, err)
	return &Pinned{Request: r, Attempt: a}
}

// Put stores blocks for a pin.
func (p *Pinned) Put(tb testing.TB, s Pins, bs []blocks.Block) {
	tb.Helper()
	Must(tb, PutTo(s, tb.Context(), p.Attempt, bs))
	for _, b := range bs {
		p.Bytes += len(b.RawData())
	}
}

// Complete marks a pin's DAG complete.
func (p *Pinned) Complete(tb testing.TB, s Pins, blocks int) {
	tb.Helper()
	_, _, err := s.Complete(tb.Context(), p.Request.DAG(), p.Attempt, pin.Totals{Blocks: uint64(blocks), Bytes: uint64(p.Bytes)})
	Must(tb, err)
}

// Remove removes a pin's request and drops what it referred to.
func (p *Pinned) Remove(tb testing.TB, s Pins) {
	tb.Helper()
	_, released, err := s.Remove(tb.Context(), Account, p.Request.ID)
	Must(tb, err)
	for _, a := range released {
		Must(tb, s.Drop(tb.Context(), a))
	}
}

// Release removes a pin's request and leaves what it held to be dropped.
func (p *Pinned) Release(tb testing.TB, s Pins) {
	tb.Helper()
	_, released, err := s.Remove(tb.Context(), Account, p.Request.ID)
	Must(tb, err)
	if !slices.Equal(released, []pin.Attempt{p.Attempt}) {
		tb.Fatalf("released %v, want %d", released, p.Attempt)
	}
}

// PinDAG pins a DAG, as a client and a walk do.
func PinDAG(tb testing.TB, s Pins, all []blocks.Block) *Pinned {
	tb.Helper()
	root := dagtest.Last(all)
	r, err := s.Add(tb.Context(), Account, pin.Spec{CID: root.String(), Root: root})
	Must(tb, err)
	a, complete, err := s.Begin(tb.Context(), r.DAG())
	Must(tb, err)
	p := &Pinned{Request: r, Attempt: a}
	if complete {
		return p
	}
	_, _, err = s.Complete(tb.Context(), r.DAG(), a, WalkDAG(tb, s, a, all))
	Must(tb, err)
	return p
}

// WalkDAG brings a DAG to disk under an attempt.
func WalkDAG(tb testing.TB, s Pins, a pin.Attempt, all []blocks.Block) pin.Totals {
	tb.Helper()
	asker := walktest.NewNetwork(all...).Asker(100, 1)
	defer asker.Close()
	t, err := walk.Run(tb.Context(), walk.Config{Store: s, Asker: asker, Dir: tb.TempDir()}, pin.Job{
		DAG: pin.DAGOf(dagtest.Last(all)), Attempt: a, Progress: new(pin.Progress), Slot: FreeSlot{},
	})
	Must(tb, err)
	// Until the next change the walk's own mark of the attempt may wait.
	Must(tb, s.Write(tb.Context(), graph.Batch{Whole: []graph.Holder{graph.HolderOf(a)}}))
	return t
}

// FreeSlot is a worker that is always free.
type FreeSlot struct{}

// Acquire takes the worker.
func (FreeSlot) Acquire(ctx context.Context) error { return ctx.Err() }

// Release gives it back.
func (FreeSlot) Release() {}

// The simplest DAG is flat: its attempt holds raw blocks. Much of what the store has to keep
// to shows with these already.

// ClaimTo writes links from an attempt to raw blocks.
func ClaimTo(s walk.Store, ctx context.Context, a pin.Attempt, refs []graph.Ref) error {
	return s.Write(ctx, graph.Batch{Links: RawLinks(a, refs)})
}

// PutTo writes raw blocks and the links from an attempt to them.
func PutTo(s walk.Store, ctx context.Context, a pin.Attempt, bs []blocks.Block) error {
	refs, written := make([]graph.Ref, len(bs)), make([]graph.Block, len(bs))
	for i, b := range bs {
		refs[i] = RefOf(b)
		written[i] = graph.Block{Hash: b.Cid().Hash(), Data: b.RawData()}
	}
	return s.Write(ctx, graph.Batch{Links: RawLinks(a, refs), Blocks: written})
}

// RawLinks are links from an attempt to raw blocks.
func RawLinks(a pin.Attempt, refs []graph.Ref) []graph.Link {
	links := make([]graph.Link, len(refs))
	for i, r := range refs {
		links[i] = graph.Link{Holder: graph.HolderOf(a), Ref: r, Codec: cid.Raw}
	}
	return links
}

// RefOf is a reference to a block.
func RefOf(b blocks.Block) graph.Ref { return graph.Ref{Hash: b.Cid().Hash(), Size: len(b.RawData())} }

// Has reports whether a block is there.
func Has(tb testing.TB, s Pins, b blocks.Block) bool {
	tb.Helper()
	there, err := s.Blockstore().Has(tb.Context(), b.Cid())
	Must(tb, err)
	return there
}

// SomeBlocks makes n distinct blocks of a size.
func SomeBlocks(seed uint64, n, size int) []blocks.Block {
	rng := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	bs := make([]blocks.Block, n)
	for i := range bs {
		data := make([]byte, size)
		rng.Read(data)
		bs[i] = blocks.NewBlock(data)
	}
	return bs
}

// SizesOf gives the sizes of blocks by multihash.
func SizesOf(bs []blocks.Block) map[string]int {
	sizes := map[string]int{}
	for _, b := range bs {
		sizes[string(b.Cid().Hash())] = len(b.RawData())
	}
	return sizes
}

// SmallChain is directories in a row, with a file each of their own and some in common.
func SmallChain(name string, n int) []blocks.Block {
	return ChainOf(name, n, func(i int) []blocks.Block {
		leaf := dagtest.Raw("in every directory of " + name)
		return []blocks.Block{leaf, dagtest.CBOR("twig of "+name, leaf.Cid()), dagtest.Raw(fmt.Sprint(name, "file", i))}
	})
}

// Links collects what a holder holds.
func Links(tb testing.TB, s interface {
	Links(ctx context.Context, h graph.Holder) iter.Seq2[graph.Link, error]
}, h graph.Holder) (all []graph.Link) {
	tb.Helper()
	for l, err := range s.Links(tb.Context(), h) {
		Must(tb, err)
		all = append(all, l)
	}
	return all
}
