package walk

import (
	"context"
	"fmt"
	"time"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
)

const (
	// Links alone are about 100 bytes each.
	batchLinks = 4096
	// What came is written no later than this, however little it is. It is served to
	// others from then on.
	batchAge = 200 * time.Millisecond
	// While one batch is written, the next is gathered, up to this many times the size of
	// a batch. Then the walk waits for the disk.
	maxGather = 2
)

// writer makes blocks and links durable in the background, one batch at a time.
// Its methods belong to the goroutine of the walk.
type writer struct {
	ctx     context.Context
	cfg     Config
	limits  pin.Limits
	share   *Share
	next    batch
	current batch // being written while busy
	busy    bool
	jobs    chan batch   // nil before the first batch for the background
	done    chan written // unbuffered: somebody has to read it while busy, or call stop
	quit    chan struct{}
	ended   chan struct{}
}

// batch is what is written at a time, and what waits for that.
type batch struct {
	graph.Batch
	received []blocks.Block // the same as Blocks
	bytes    int            // of those
	waiting  []*item        // tracked parents of the links
	landing  []*item        // durable with this batch, or found on disk and looked for again after it
	found    []*item        // those of landing that were found on disk
	oldest   time.Time
}

// holds reports whether the next batch is as large as n batches.
func (w *writer) holds(n int) bool {
	b := &w.next
	return b.bytes >= n*w.share.of(batchMost, batchLeast) || len(b.Links) >= n*batchLinks || len(b.Whole) >= n*batchLinks
}

// written is the result of a batch. gone has the items that were found on disk, and that
// are not there any more, or not whole.
type written struct {
	gone map[*item]struct{}
	err  error
}

// newWriter makes a writer. It uses the store until stop returns, which is soon after ctx
// has ended.
func newWriter(ctx context.Context, cfg Config, limits pin.Limits) *writer {
	return &writer{ctx: ctx, cfg: cfg, limits: limits, share: cfg.Share}
}

// start begins to write in the background. A small DAG does without.
func (w *writer) start() {
	w.jobs, w.done = make(chan batch), make(chan written)
	w.quit, w.ended = make(chan struct{}), make(chan struct{})
	go func() {
		defer close(w.ended)
		for {
			select {
			case b := <-w.jobs:
				r := w.write(b)
				select {
				case w.done <- r:
				case <-w.quit:
					return
				}
			case <-w.quit:
				return
			}
		}
	}()
}

// stop waits until nothing is written any more.
func (w *writer) stop() {
	if w.jobs == nil {
		return
	}
	close(w.quit)
	<-w.ended
}

// write makes a batch durable.
func (w *writer) write(b batch) (r written) {
	ctx, cfg := w.ctx, &w.cfg
	b.Limits = w.limits
	if err := cfg.Store.Write(ctx, b.Batch); err != nil {
		return written{err: err}
	}
	var held []Held
	for _, block := range b.received {
		held = append(held, Held{block.Cid(), len(block.RawData())})
	}
	// A block that was seen before the link was durable may have been deleted in between.
	for _, it := range b.found {
		there, err := cfg.Store.Blockstore().Has(ctx, it.cid)
		if err != nil {
			return written{err: fmt.Errorf("look for block %s: %w", it.cid, err)}
		}
		if there && it.passed {
			if there, err = cfg.Store.Whole(ctx, it.dag(), b.Limits, true); err != nil {
				return written{err: err}
			}
		}
		if !there {
			if r.gone == nil {
				r.gone = make(map[*item]struct{})
			}
			r.gone[it] = struct{}{}
			continue
		}
		held = append(held, Held{it.cid, it.size})
	}
	if cfg.Durable != nil && len(held) > 0 {
		r.err = cfg.Durable(ctx, held...)
	}
	return r
}

// link writes that one node links to another. A tracked node waits until the link is
// durable.
func (w *writer) link(parent, it *item) {
	if parent.tracked {
		parent.pending++
		w.next.waiting = append(w.next.waiting, parent)
	}
	w.linkFrom(parent.id, it)
}

// linkFrom is link for a node that is not tracked.
func (w *writer) linkFrom(h graph.Holder, it *item) {
	w.age()
	w.next.Links = append(w.next.Links, it.link(h))
}

// put writes an item's bytes, which were received.
func (w *writer) put(it *item, b blocks.Block) {
	w.age()
	w.next.Blocks = append(w.next.Blocks, graph.Block{Hash: multihash.Multihash(it.hash), Data: b.RawData()})
	w.next.received = append(w.next.received, b)
	w.next.bytes += len(b.RawData())
}

// land has written name an item: once it is durable, or, if it was found on disk, after it
// was looked for again.
func (w *writer) land(it *item, found bool) {
	w.age()
	w.next.landing = append(w.next.landing, it)
	if found {
		w.next.found = append(w.next.found, it)
	}
}

// node writes which block, under which codec, an item is the node of.
func (w *writer) node(it *item, a pin.Attempt) {
	w.age()
	w.next.Nodes = append(w.next.Nodes, graph.Node{ID: it.id, DAG: it.dag(), Attempt: a})
}

// whole writes that a node is whole.
func (w *writer) whole(h graph.Holder) {
	w.age()
	w.next.Whole = append(w.next.Whole, h)
}

func (w *writer) age() {
	if w.next.oldest.IsZero() {
		w.next.oldest = time.Now()
	}
}

// flush hands over what was gathered if the writer is free and this is a batch's worth, or
// is old enough.
func (w *writer) flush(now time.Time) {
	if w.busy || w.next.oldest.IsZero() {
		return
	}
	if w.holds(1) || now.Sub(w.next.oldest) >= batchAge {
		if w.jobs == nil {
			w.start()
		}
		w.jobs <- w.next // the writer is free, so it takes this at once
		w.current, w.next, w.busy = w.next, batch{}, true
	}
}

// rest writes what was gathered, while nothing else is to be done. The writer must be free.
func (w *writer) rest() written {
	w.current, w.next = w.next, batch{}
	return w.write(w.current)
}

// finish gives the batch that was written. It is called after done was read.
func (w *writer) finish() (b batch) {
	b, w.current, w.busy = w.current, batch{}, false
	return b
}

// full reports that the walk should put no more before a batch is done.
func (w *writer) full() bool { return w.busy && w.holds(maxGather) }

// due reports that the walk should flush before it puts more.
func (w *writer) due() bool { return !w.busy && w.holds(1) }

// idle reports that everything that was put is durable.
func (w *writer) idle() bool { return !w.busy && w.next.oldest.IsZero() }

// bytes is how many bytes of blocks are not durable.
func (w *writer) bytes() int { return w.current.bytes + w.next.bytes }

// find gives the bytes of a block that may not be on disk yet.
func (w *writer) find(c cid.Cid) (data []byte, ok bool) {
	for _, b := range []batch{w.next, w.current} {
		for _, p := range b.Blocks {
			if string(p.Hash) == hashOf(c) {
				return p.Data, true
			}
		}
	}
	return nil, false
}
