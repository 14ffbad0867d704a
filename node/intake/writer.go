package intake

import (
	"cmp"
	"context"
	"fmt"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/node/walk"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
)

// batchLinks is how many links make a batch, however few bytes its blocks have. Each is about
// 100 bytes.
const batchLinks = 4096

// batch is what is written at a time.
type batch struct {
	graph.Batch
	bytes int               // of blocks, those in had included
	had   []graph.Block     // that were on disk, and are written only if they are gone
	nodes map[string][]byte // blocks with links, by hash, which may be read while they are on their way
}

// heldBut gives the blocks that the batch links to from other holders than one.
func (b *batch) heldBut(h graph.Holder) (held []walk.Held) {
	for _, l := range b.Links {
		if l.Holder != h {
			held = append(held, walk.Held{CID: cid.NewCidV1(l.Codec, l.Hash), Size: l.Size})
		}
	}
	return held
}

// writer makes blocks and links durable in the background, one batch at a time. Its methods
// belong to whoever holds the lock of the upload, but for stop.
type writer struct {
	store Store
	next  *batch
	last  *batch // that was sent; it may still be being written
	busy  bool   // the last result was not read yet
	jobs  chan *batch
	done  chan error // holds one
	quit  chan struct{}
	ended chan struct{}
	// failed is why a write failed. What it was to write may not be there.
	failed error
}

// newWriter starts a writer, which uses the store until stop returns.
func newWriter(ctx context.Context, cfg Config, a pin.Attempt, limits pin.Limits) *writer {
	w := &writer{
		store: cfg.Store, next: new(batch), last: new(batch),
		jobs: make(chan *batch), done: make(chan error, 1), quit: make(chan struct{}), ended: make(chan struct{}),
	}
	context.AfterFunc(ctx, func() { close(w.quit) })
	go func() {
		defer close(w.ended)
		for {
			select {
			case b := <-w.jobs:
				b.Limits = limits
				err := w.write(ctx, b)
				if err == nil && cfg.Durable != nil {
					err = cfg.Durable(ctx, b.heldBut(graph.HolderOf(a))...)
				}
				w.done <- err
			case <-w.quit:
				return
			}
		}
	}()
	return w
}

// stop waits until nothing is written any more. The writer's context has ended.
func (w *writer) stop() { <-w.ended }

// write makes a batch durable. What was found on disk before it was linked to may be gone by
// now, so it is looked for once the links are durable, and before anything is marked whole.
func (w *writer) write(ctx context.Context, b *batch) error {
	if len(b.had) == 0 {
		return w.store.Write(ctx, b.Batch)
	}
	first := graph.Batch{Links: b.Links, Nodes: b.Nodes, Blocks: b.Blocks, Limits: b.Limits}
	if err := w.store.Write(ctx, first); err != nil {
		return err
	}
	rest := graph.Batch{Whole: b.Whole, Limits: b.Limits}
	for _, block := range b.had {
		there, err := w.store.Blockstore().Has(ctx, cid.NewCidV1(cid.Raw, block.Hash))
		if err != nil {
			return fmt.Errorf("look for a block of the upload: %w", err)
		}
		if !there {
			rest.Blocks = append(rest.Blocks, block)
		}
	}
	if rest.Empty() {
		return nil
	}
	return w.store.Write(ctx, rest)
}

func (w *writer) link(l graph.Link) { w.next.Links = append(w.next.Links, l) }

func (w *writer) node(n graph.Node) { w.next.Nodes = append(w.next.Nodes, n) }

func (w *writer) whole(h graph.Holder) { w.next.Whole = append(w.next.Whole, h) }

// put writes a block. had is whether it was found on disk, and node whether it has links.
func (w *writer) put(b graph.Block, had, node bool) {
	if had {
		w.next.had = append(w.next.had, b)
	} else {
		w.next.Blocks = append(w.next.Blocks, b)
	}
	w.next.bytes += len(b.Data)
	if node {
		if w.next.nodes == nil {
			w.next.nodes = make(map[string][]byte)
		}
		w.next.nodes[string(b.Hash)] = b.Data
	}
}

// find gives the bytes of a block that may not be on disk yet.
func (w *writer) find(h multihash.Multihash) (data []byte, found bool) {
	for _, b := range []*batch{w.next, w.last} {
		if data, found = b.nodes[string(h)]; found {
			return data, true
		}
		for _, block := range b.Blocks { // seldom: blocks without links are hardly ever read
			if string(block.Hash) == string(h) {
				return block.Data, true
			}
		}
	}
	return nil, false
}

// send hands over what was gathered, if that is a batch of so many bytes. It waits while the
// batch before is being written.
func (w *writer) send(ctx context.Context, size int) error {
	if w.next.bytes < size && len(w.next.Links) < batchLinks && len(w.next.Whole) < batchLinks {
		return nil
	}
	return w.sendAll(ctx)
}

func (w *writer) sendAll(ctx context.Context) error {
	if err := w.wait(ctx); err != nil {
		return err
	}
	select {
	case w.jobs <- w.next:
		w.last, w.next, w.busy = w.next, new(batch), true
		return nil
	case <-w.quit:
		return errEnded
	case <-ctx.Done():
		return ctx.Err()
	}
}

// wait waits for the batch that is being written.
func (w *writer) wait(ctx context.Context) error {
	if !w.busy {
		return nil
	}
	select {
	case err := <-w.done:
		w.busy = false
		w.last = new(batch)
		w.failed = cmp.Or(w.failed, err)
		return err
	case <-w.quit:
		return errEnded
	case <-ctx.Done():
		return ctx.Err()
	}
}

// flush waits until everything is durable.
func (w *writer) flush(ctx context.Context) error {
	if !w.next.Empty() || len(w.next.had) > 0 {
		if err := w.sendAll(ctx); err != nil {
			return err
		}
	}
	return w.wait(ctx)
}
