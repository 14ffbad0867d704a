package node

import (
	"context"
	"fmt"
	"time"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/pin"
)

const (
	// A batch is one sync of the disk: with 8 MiB a sync costs little beside the
	// writing.
	batchBytes = 8 << 20
	// References alone are about 100 bytes each.
	batchRefs = 4096
	// What came is durable, and served to others, no later than this, however
	// little it is.
	batchAge = 200 * time.Millisecond
	// While one batch is written the next is gathered, up to this many times
	// its size; then the walk waits for the disk.
	maxGather = 2
)

// writer makes blocks and references durable in the background, one batch at
// a time. Its methods belong to the goroutine of the walk.
type writer struct {
	next    batch
	current batch // being written while busy
	busy    bool
	jobs    chan batch
	done    chan written // unbuffered: read it while busy, or stop
	quit    chan struct{}
	ended   chan struct{}
}

// batch is blocks to put and blocks that were found on disk, to be claimed.
type batch struct {
	puts   []blocks.Block
	bytes  int
	refs   []pin.Ref
	found  []cid.Cid // the same as refs
	oldest time.Time
}

func (b *batch) empty() bool { return len(b.puts) == 0 && len(b.refs) == 0 }

// full reports whether b holds n batches' worth.
func (b *batch) full(n int) bool { return b.bytes >= n*batchBytes || len(b.refs) >= n*batchRefs }

// written is what came of a batch. Of the blocks that were found, gone are no
// longer there.
type written struct {
	gone []cid.Cid
	err  error
}

// newWriter starts a writer. notify is called for blocks that are durable. The
// writer uses the store until stop returns; ctx makes that soon.
func newWriter(ctx context.Context, s Store, a pin.Attempt, notify func(context.Context, ...blocks.Block) error) *writer {
	w := &writer{
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
				r := b.write(ctx, s, a)
				if r.err == nil && len(b.puts) > 0 {
					r.err = notify(ctx, b.puts...)
				}
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

func (b *batch) write(ctx context.Context, s Store, a pin.Attempt) (r written) {
	if len(b.puts) > 0 {
		if err := s.PutClaimed(ctx, a, b.puts); err != nil {
			return written{err: err}
		}
	}
	if len(b.refs) == 0 {
		return r
	}
	if err := s.Claim(ctx, a, b.refs); err != nil {
		return written{err: err}
	}
	// What was seen before the claim may have been deleted before it, too.
	for _, c := range b.found {
		has, err := s.Blockstore().Has(ctx, c)
		if err != nil {
			return written{err: fmt.Errorf("look for block %s: %w", c, err)}
		}
		if !has {
			r.gone = append(r.gone, c)
		}
	}
	return r
}

func (w *writer) put(b blocks.Block, now time.Time) {
	w.age(now)
	w.next.puts = append(w.next.puts, b)
	w.next.bytes += len(b.RawData())
}

func (w *writer) claim(c cid.Cid, size int, now time.Time) {
	w.age(now)
	w.next.refs = append(w.next.refs, pin.Ref{Hash: c.Hash(), Size: size})
	w.next.found = append(w.next.found, c)
}

func (w *writer) age(now time.Time) {
	if w.next.empty() {
		w.next.oldest = now
	}
}

// flush hands over what was gathered, if the writer is free and it is enough,
// or old enough, or all.
func (w *writer) flush(now time.Time, all bool) {
	if w.busy || w.next.empty() {
		return
	}
	if all || w.next.full(1) || now.Sub(w.next.oldest) >= batchAge {
		w.jobs <- w.next // it waits for that
		w.current, w.next, w.busy = w.next, batch{}, true
	}
}

// finish is called with what was read from done.
func (w *writer) finish() { w.current, w.busy = batch{}, false }

// full reports that no more should be put before a batch is done.
func (w *writer) full() bool { return w.busy && w.next.full(maxGather) }

// idle reports that all that was put or claimed is durable.
func (w *writer) idle() bool { return !w.busy && w.next.empty() }

// find gives the bytes of a block that may not be on disk yet.
func (w *writer) find(c cid.Cid) (data []byte, ok bool) {
	for _, b := range []batch{w.next, w.current} {
		for _, p := range b.puts {
			if string(p.Cid().Hash()) == string(c.Hash()) {
				return p.RawData(), true
			}
		}
	}
	return nil, false
}
