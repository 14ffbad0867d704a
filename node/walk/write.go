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
	// What came is durable, and served to others, no later than this, however
	// little it is.
	batchAge = 200 * time.Millisecond
	// While one batch is written the next is gathered, up to this many times
	// its size; then the walk waits for the disk.
	maxGather = 2
)

// writer makes blocks and links durable in the background, one batch at a time.
// Its methods belong to the goroutine of the walk.
type writer struct {
	share   *Share
	next    batch
	current batch // being written while busy
	busy    bool
	jobs    chan batch
	done    chan written // unbuffered: read it while busy, or stop
	quit    chan struct{}
	ended   chan struct{}
}

// batch is what is written at a time, and for whom.
type batch struct {
	graph.Batch
	received []blocks.Block // the same as Blocks
	bytes    int            // of those
	waiting  []*item        // tracked parents of the links
	landing  []*item        // that are durable with this, or were found and are looked for again
	found    []*item        // of those, that were found
	oldest   time.Time
}

// holds reports whether the next batch holds n batches' worth.
func (w *writer) holds(n int) bool {
	b := &w.next
	return b.bytes >= n*w.share.of(batchMost, batchLeast) || len(b.Links) >= n*batchLinks || len(b.Whole) >= n*batchLinks
}

// written is what came of a batch. Of what was found, gone is no longer there, or
// not whole any more.
type written struct {
	gone map[*item]struct{}
	err  error
}

// newWriter starts a writer. It uses the store until stop returns; ctx makes that
// soon.
func newWriter(ctx context.Context, cfg Config, limits pin.Limits) *writer {
	w := &writer{
		share: cfg.Share,
		jobs:  make(chan batch),
		done:  make(chan written),
		quit:  make(chan struct{}),
		ended: make(chan struct{}),
	}
	go func() {
		defer close(w.ended)
		for {
			select {
			case b := <-w.jobs:
				b.Limits = limits
				r := b.write(ctx, cfg)
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
	return w
}

// stop waits until nothing is written any more.
func (w *writer) stop() {
	close(w.quit)
	<-w.ended
}

func (b *batch) write(ctx context.Context, cfg Config) (r written) {
	if err := cfg.Store.Write(ctx, b.Batch); err != nil {
		return written{err: err}
	}
	if cfg.Durable != nil && len(b.received) > 0 {
		if err := cfg.Durable(ctx, b.received...); err != nil {
			return written{err: err}
		}
	}
	// What was seen before the link may have been deleted before it, too.
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
		}
	}
	return r
}

// link writes that one node links to another. If it is tracked it waits for that.
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

// land tells of an item once it is durable; if it was found, after it was looked
// for again.
func (w *writer) land(it *item, found bool) {
	w.age()
	w.next.landing = append(w.next.landing, it)
	if found {
		w.next.found = append(w.next.found, it)
	}
}

// node writes what an item is the node of.
func (w *writer) node(it *item, a pin.Attempt) {
	w.age()
	w.next.Nodes = append(w.next.Nodes, graph.Node{ID: it.id, DAG: it.dag(), Attempt: a})
}

// whole writes that a node is.
func (w *writer) whole(h graph.Holder) {
	w.age()
	w.next.Whole = append(w.next.Whole, h)
}

func (w *writer) age() {
	if w.next.oldest.IsZero() {
		w.next.oldest = time.Now()
	}
}

// flush hands over what was gathered, if the writer is free and it is enough,
// or old enough, or all.
func (w *writer) flush(now time.Time, all bool) {
	if w.busy || w.next.oldest.IsZero() {
		return
	}
	if all || w.holds(1) || now.Sub(w.next.oldest) >= batchAge {
		w.jobs <- w.next // it waits for that
		w.current, w.next, w.busy = w.next, batch{}, true
	}
}

// finish is called with what was read from done, and gives the batch that it is of.
func (w *writer) finish() (b batch) {
	b, w.current, w.busy = w.current, batch{}, false
	return b
}

// full reports that no more should be put before a batch is done.
func (w *writer) full() bool { return w.busy && w.holds(maxGather) }

// due reports that a batch is to be handed over before more is put.
func (w *writer) due() bool { return !w.busy && w.holds(1) }

// idle reports that all that was to be written is durable.
func (w *writer) idle() bool { return !w.busy && w.next.oldest.IsZero() }

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
