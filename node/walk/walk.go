package walk

import (
	"context"
	"errors"
	"log/slog"
	"time"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/network"

	"github.com/holdfast-ipfs/holdfast/node/exchange"
	"github.com/holdfast-ipfs/holdfast/node/links"
	"github.com/holdfast-ipfs/holdfast/node/seen"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
)

const (
	// Blocks on disk are read this many at a time before what came from the
	// network meanwhile is handled: a few milliseconds' worth.
	localBatch = 64

	// While something is under way, the walk looks at its clocks this often.
	tick = 50 * time.Millisecond
	// While nothing is and nothing came yet, it has only the disk to look at, in case
	// another walk has put there what is wanted.
	idleTick = 10 * time.Second
	// What was asked for so long ago is looked for on disk again.
	relookAfter = 5 * time.Second

	// How often it is told how the asking goes.
	tellEvery = time.Second

	// When a block is known to be too large to be sent, others that are on their way have
	// so long to come. They are not fetched again if the DAG is pinned without that block.
	oversizedPatience = 5 * time.Second
)

// Config is what a walk works with.
type Config struct {
	Store Store
	Asker Asker
	// Durable is told of blocks that were received and are durable. Nil: nobody is.
	Durable func(ctx context.Context, bs ...blocks.Block) error
	// Refuse says why a block may not be fetched, or passed over with what is below
	// it: an error that ends the walk. Nil: nothing is refused. It is asked of each
	// node once, when the walk first comes to it.
	Refuse func(c cid.Cid) error
	// Dir is where files may be put that nothing of the walk outlives; "" is the
	// system's.
	Dir string
	// Share is shared by the walks that divide memory among them. Nil: the walk has
	// it all.
	Share *Share
	// Logger is where the walk logs; nil discards.
	Logger *slog.Logger

	seenMost, openMost, waitMost, loadedMost int // for tests; 0 is what Share gives
}

// Run walks the job's DAG until every block of it is durable, and gives its totals.
// See [pin.Engine] for what else it keeps to. When it returns nothing that it
// started runs any more.
func Run(ctx context.Context, cfg Config, job pin.Job) (pin.Totals, error) {
	root := job.DAG.CID()
	if pin.DAGOf(job.Root) == job.DAG {
		root = job.Root // peers may look it up as it was written
	}
	if !root.Defined() {
		return pin.Totals{}, pin.Refused("%s names nothing", job.DAG)
	}
	if err := links.Check(root); err != nil {
		return pin.Totals{}, err
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Share == nil {
		cfg.Share = new(Share)
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &walk{
		cfg: cfg, job: job, ctx: ctx,
		seen:   seen.New(cfg.Dir, func() int { return cfg.most(cfg.seenMost, seenMost, seenLeast) }),
		open:   make(map[key]*item),
		wants:  make(map[string]*want),
		writer: newWriter(ctx, cfg, job.Limits),
	}
	w.top = &item{id: graph.HolderOf(job.Attempt), links: []cid.Cid{root}, count: 1, tracked: true, pending: 1}
	w.tracking, w.loaded = 1, 1
	w.stack = []*item{w.top}
	err := w.run()
	var totals pin.Totals
	if err == nil {
		totals, err = w.finish()
	}
	cancel()
	w.writer.stop()
	if w.sharing {
		cfg.Share.leave()
	}
	if err := errors.Join(err, w.seen.Close()); err != nil {
		return pin.Totals{}, err
	}
	return totals, nil
}

// walk is one walk. One goroutine owns it, that of run; the asker and the writer
// have goroutines of their own and speak to it by channels.
type walk struct {
	cfg    Config
	job    pin.Job
	ctx    context.Context
	writer *writer

	top    *item         // stands for the attempt, which links to the root
	stack  []*item       // nodes with links that were not visited, the one to go on with last
	loaded int           // links of those in memory
	low    int           // of the stack: below it no links are in memory
	open   map[key]*item // what was visited and is not whole
	seen   *seen.Set     // what was visited; see mark
	wants  map[string]*want
	asking []cid.Cid          // to be asked for
	inbox  []exchange.Arrival // that came, and for which the disk was too slow

	waits int // places in the parents of items
	late  int // places in the holders of items, all of which are wanted

	tracking  int            // nodes that are noted when they are whole
	untracked []graph.Holder // nodes that are to be marked when all is done
	numbers   numbers

	totals     pin.Totals  // of what was counted
	over       []pin.DAG   // nodes that were passed over and what is below them is not counted
	others     []graph.Ref // what was walked; nil if it is too much
	manyOthers bool        // it is too much

	sharing  bool      // it is one of those that divide memory
	held     bool      // the slot, as far as this side knows
	gained   bool      // something was received while it was held
	lastGot  time.Time // a block from the network
	told     time.Time // when the progress was last told of the asking
	relooked time.Time

	oversized   []exchange.Oversized // blocks that no peer can send
	oversizedAt time.Time            // when the first of them was known
}

// want is a block that the walk waits for.
type want struct {
	cid   cid.Cid
	items []*item // that it is, under different codecs
	asked time.Time
}

// run walks until every block is durable or something ends it.
func (w *walk) run() error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if err := w.arrivals(); err != nil {
			return err
		}
		more, err := w.fill()
		if err != nil {
			return err
		}
		if len(w.asking) > 0 {
			w.cfg.Asker.Ask(w.asking...)
			w.asking = w.asking[:0]
		}
		idle := !more && len(w.stack) == 0 && len(w.wants) == 0
		w.writer.flush(time.Now(), idle)
		if idle && w.writer.idle() {
			return nil
		}
		if len(w.inbox) > 0 && !w.writer.full() {
			continue
		}
		if err := w.wait(timer, more); err != nil {
			return err
		}
	}
}

// refuseOversized ends the walk if a block of it is too large for any peer to send: once
// all others that are asked for are here, or after a while. A gateway may give more if the
// limit of a block allows more than a message takes, and what is repaired never fails.
func (w *walk) refuseOversized(now time.Time) error {
	limit := w.job.Limits.BlockBytes
	if len(w.oversized) == 0 || w.job.Repair || limit == 0 || limit > network.MessageSizeMax {
		return nil
	}
	if w.oversizedAt.IsZero() {
		w.oversizedAt = now
	}
	if others := len(w.stack) > 0 || len(w.wants) > len(w.oversized); others && now.Sub(w.oversizedAt) < oversizedPatience {
		return nil
	}
	b := w.oversized[0]
	return pin.Refused("block %s has %d bytes, more than peers can send: a message of Bitswap has %d bytes (4 MiB) at most, with what is around the block",
		b.CID, b.Bytes, network.MessageSizeMax)
}

// fill visits links until enough is asked for, and reports whether it stopped for
// another reason, so that there is more to do at once.
func (w *walk) fill() (more bool, err error) {
	if now := time.Now(); now.Sub(w.relooked) >= relookAfter {
		w.relooked = now
		if err := w.relook(now); err != nil {
			return false, err
		}
	}
	room := w.room()
	for read := 0; len(w.stack) > 0 && len(w.asking) < room; {
		if w.writer.full() {
			return false, nil // the writer wakes wait
		}
		if w.late >= w.cfg.most(w.cfg.waitMost, waitMost, waitLeast) {
			return false, nil // what all those link to has to come first
		}
		if read == localBatch {
			return true, nil
		}
		local, err := w.step()
		if err != nil {
			return false, err
		}
		if local {
			read++
		}
	}
	return false, nil
}

// step visits the next link of the node that is to be gone on with.
func (w *walk) step() (local bool, err error) {
	at := len(w.stack) - 1
	p := w.stack[at]
	if p.links == nil {
		if err := w.reload(p); err != nil {
			return false, err
		}
		w.low = min(w.low, at)
	}
	c := p.links[p.next]
	if p.next++; p.next < p.count {
		return w.visit(p, c)
	}
	// It goes before what its last link leads to: else a linked list would all be on
	// the stack.
	w.stack = w.stack[:at]
	w.loaded -= len(p.links)
	p.links = nil
	if local, err = w.visit(p, c); err == nil && p.tracked {
		w.settle(p)
	}
	return local, err
}

// room is how many blocks to ask for; not every single one for each that came,
// since a message costs more than what is in it.
func (w *walk) room() int {
	room := w.cfg.Asker.Room()
	if room*8 < len(w.wants) {
		return 0
	}
	return room
}

// wait handles what comes next, or, with more to do, what is here already.
func (w *walk) wait(timer *time.Timer, more bool) error {
	ready := w.cfg.Asker.Ready()
	if w.writer.full() {
		ready = nil // what is in flight waits there, no more than the window
	}
	if more {
		select {
		case <-ready:
			return w.receive()
		case r := <-w.writer.done:
			return w.written(r)
		case <-w.ctx.Done():
			return w.ctx.Err()
		default:
			return nil
		}
	}
	now := time.Now()
	timer.Reset(w.rest(now))
	if err := w.refuseOversized(now); err != nil {
		return err
	}
	select {
	case <-ready:
		return w.receive()
	case r := <-w.writer.done:
		return w.written(r)
	case <-timer.C:
		return nil
	case <-w.ctx.Done():
		return w.ctx.Err()
	}
}

// receive takes what came, if anything did. Until there is a worker for it, it stays where
// what all walks have is counted.
func (w *walk) receive() error {
	if !w.cfg.Asker.Has() {
		return nil
	}
	if err := w.acquire(); err != nil {
		return err
	}
	w.inbox = w.cfg.Asker.Take()
	return nil
}

// rest lets go of the worker if there is nothing to do for it, and gives how
// long to sleep.
func (w *walk) rest(now time.Time) time.Duration {
	w.tell(now)
	waiting := w.writer.idle()
	if w.held && waiting && (!w.gained || now.Sub(w.lastGot) >= w.job.IdleTimeout) {
		w.job.Slot.Release()
		w.held, w.gained = false, false
	}
	switch {
	case w.held || !waiting:
		return tick
	case w.lastGot.IsZero():
		return idleTick
	}
	return tellEvery
}

// tell says how the asking goes; before anything came at each chance, as who says to
// have it is waited for.
func (w *walk) tell(now time.Time) {
	if !w.lastGot.IsZero() && now.Sub(w.told) < tellEvery {
		return
	}
	w.told = now
	st := w.cfg.Asker.Stats()
	w.job.Progress.Asked(st.Sources, st.Again, st.Gap)
	w.job.Progress.SetTroubles(st.Troubles)
	w.oversized = st.Oversized
}

// arrivals takes in the blocks that came, up to a batch. Their CIDs were computed
// from their bytes, so they are what they say they are; what is not wanted is nothing.
func (w *walk) arrivals() error {
	for len(w.inbox) > 0 && !w.writer.full() && !w.writer.due() {
		a := w.inbox[0]
		w.inbox[0] = exchange.Arrival{} // its bytes are let go of with the batch
		w.inbox = w.inbox[1:]
		want := w.wants[hashOf(a.Block.Cid())]
		if want == nil {
			continue
		}
		delete(w.wants, hashOf(want.cid))
		if err := w.acquire(); err != nil {
			return err
		}
		w.gained, w.lastGot = true, time.Now()
		data := a.Block.RawData()
		if want.items[0].counted {
			w.job.Progress.Received.Add(1) // once more: it was lost from disk
		}
		if err := w.take(want.items, data, true); err != nil {
			return err
		}
		// After the links to it.
		w.writer.put(want.items[0], a.Block)
	}
	return nil
}

// take goes on with items whose bytes are here: received, or read from disk.
func (w *walk) take(items []*item, data []byte, received bool) error {
	for _, it := range items {
		it.size = len(data)
		if err := w.count(it, received); err != nil {
			return err
		}
		if !it.held {
			w.hold(it)
		}
		w.writer.land(it, !received)
		if err := w.expand(it, data, !received); err != nil {
			return err
		}
	}
	return nil
}

// acquire holds a worker, as every block that is handled needs one.
func (w *walk) acquire() error {
	if err := w.job.Slot.Acquire(w.ctx); err != nil {
		if w.ctx.Err() != nil {
			return w.ctx.Err()
		}
		return err
	}
	w.held = true
	if !w.sharing {
		w.sharing = true
		w.cfg.Share.join()
	}
	return nil
}

// most is how much of something is kept: what a test sets, or a share.
func (c *Config) most(set, total, least int) int {
	if set > 0 {
		return set
	}
	return c.Share.of(total, least)
}

// written takes in what the writer has done.
func (w *walk) written(r written) error {
	b := w.writer.finish()
	if r.err != nil {
		if w.ctx.Err() != nil {
			return w.ctx.Err()
		}
		return r.err
	}
	for _, it := range b.landing {
		if _, gone := r.gone[it]; gone {
			if err := w.lost(it); err != nil {
				return err
			}
			continue
		}
		if it.passed {
			if err := w.passedOver(it); err != nil {
				return err
			}
		}
		w.landed(it)
	}
	for _, p := range b.waiting {
		w.settle(p)
	}
	return nil
}

// numbers are holders that were given out and not used.
type numbers struct {
	next graph.Holder
	left int
}

// numbersAtATime is few: each walk leaves some of them unused.
const numbersAtATime = 64

func (w *walk) number() (graph.Holder, error) {
	n := &w.numbers
	if n.left == 0 {
		first, err := w.cfg.Store.NewHolders(w.ctx, numbersAtATime)
		if err != nil {
			return 0, err
		}
		n.next, n.left = first, numbersAtATime
	}
	h := n.next
	n.next++
	n.left--
	return h, nil
}
