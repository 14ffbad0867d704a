package walk

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/network"

	"github.com/holdfast-ipfs/holdfast/internal/tempfile"
	"github.com/holdfast-ipfs/holdfast/node/exchange"
	"github.com/holdfast-ipfs/holdfast/node/links"
	"github.com/holdfast-ipfs/holdfast/node/seen"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
)

const (
	// So many blocks are read from disk before those that came from the network are
	// handled. That takes a few milliseconds.
	localBatch = 64

	// While something is under way, the walk looks at its clocks this often.
	tick = 50 * time.Millisecond
	// While nothing is under way and no block came yet, it only looks whether another
	// walk has put a wanted block on disk.
	idleTick = 10 * time.Second
	// A block that was asked for so long ago is looked for on disk again.
	relookAfter = 5 * time.Second

	// How often the progress says how the asking goes.
	tellEvery = time.Second

	// A walk gives its worker back while the last of its blocks are written, if those are no more bytes: what
	// waits for the disk in all places together is 16 MiB then.
	lastBytes = 32 << 10

	// When a block is known to be too large to be sent, the others that are on their way
	// have so long to come. What came need not be fetched again for another DAG.
	oversizedPatience = 5 * time.Second
)

// Config is what a walk works with.
type Config struct {
	Store Store
	Asker Asker
	// Durable is called with blocks that were received, or found on disk, once they are
	// durable and held. Nil is nothing.
	Durable func(ctx context.Context, held ...Held) error
	// Refuse gives an error if a block may not be in a DAG, or if a block below it may
	// not; the error ends the walk. It is called once for each node, when the walk first
	// comes to it. Nil refuses nothing.
	Refuse func(c cid.Cid) error
	// Dir is the directory for temporary files, which the walk removes; "" is the
	// system's.
	Dir string
	// Room fails if there is no room for these files. Nil never does.
	Room tempfile.Room
	// Share is the same for all walks that divide memory among them. Nil: the walk has all
	// of it.
	Share *Share
	// Logger is where the walk logs; nil discards.
	Logger *slog.Logger

	seenMost, openMost, waitMost, loadedMost int // for tests; 0 is what Share gives
}

// Held is a block that is on disk, and that something needs from now on.
type Held struct {
	CID  cid.Cid
	Size int // bytes
}

// Run walks the job's DAG until every block of it is durable, and gives its totals. For
// the rest it keeps the contract of [pin.Engine]. When it returns, everything that it
// started has ended.
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
		seen:   seen.New(cfg.Dir, func() int { return cfg.most(cfg.seenMost, seenMost, seenLeast) }).Within(cfg.Room),
		open:   make(map[key]*item),
		wants:  make(map[string]*want),
		writer: newWriter(ctx, cfg, job.Limits),
	}
	w.top = &item{id: graph.HolderOf(job.Attempt), links: []cid.Cid{root}, count: 1, tracked: true, pending: 1}
	w.tracking, w.loaded = 1, 1
	w.delivered.before = job.Progress.Delivered()
	w.stack = []*item{w.top}
	err := w.run()
	job.Progress.SetDelivered(w.delivered.sum())
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

// walk is one walk. The goroutine of run owns it. The asker and the writer have
// goroutines of their own, and speak to it by channels.
type walk struct {
	cfg    Config
	job    pin.Job
	ctx    context.Context
	writer *writer

	top    *item         // stands for the attempt, which links to the root
	stack  []*item       // nodes with links that were not visited; the walk goes on with the last
	loaded int           // how many of their links are in memory
	low    int           // index into the stack: nodes below it have no links in memory
	open   map[key]*item // what was visited and is not whole
	seen   *seen.Set     // what was visited; see mark
	wants  map[string]*want
	asking []cid.Cid          // to be asked for
	inbox  []exchange.Arrival // blocks that came, and were not handled yet

	waits int // places in the parents of items
	late  int // places in the holders of items, all of which wait for their bytes

	tracking  int            // tracked nodes that are not whole
	untracked []graph.Holder // nodes that are marked as whole at the end
	numbers   numbers

	totals     pin.Totals  // of the blocks that were counted
	over       []pin.DAG   // nodes that were passed over; what is below them is not counted
	others     []graph.Ref // blocks that were walked; nil if there are too many
	manyOthers bool        // there are too many

	sharing  bool      // it takes part in the Share
	held     bool      // it holds the slot, as far as it knows
	gained   bool      // it received something while it held the slot
	lastGot  time.Time // when a block last came from the network
	told     time.Time // when tell last wrote the progress
	relooked time.Time // when relook last ran

	delivered delivered // who sent the blocks that came

	oversized   []exchange.Oversized // blocks that no peer can send
	oversizedAt time.Time            // when the first of them was known
}

// want is a block that the walk waits for.
type want struct {
	cid   cid.Cid
	items []*item // the nodes that it is, one for each codec
	asked time.Time
}

// run walks until every block is durable, or an error ends the walk.
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
		if idle && w.writer.idle() {
			return nil
		}
		if idle && w.held && w.writer.bytes() <= lastBytes { // others use the worker while the disk is waited for
			w.job.Slot.Release()
			w.held = false
		}
		// What is lost from disk meanwhile is asked for again; then there is more to do than to write.
		w.job.Progress.Writes.Store(idle && !w.held)
		if idle && !w.writer.busy {
			if err := w.written(w.writer.rest()); err != nil {
				return err
			}
			continue
		}
		w.writer.flush(time.Now())
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

// fill visits links until enough is asked for. more is whether it stopped for another
// reason, and could go on at once.
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
			return false, nil // some of the blocks that these link to have to come first
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

// step visits the next link of the node on top of the stack.
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
	// The node leaves the stack before its last link is visited: else all of a linked list
	// would be on the stack.
	w.stack = w.stack[:at]
	w.loaded -= len(p.links)
	p.links = nil
	if local, err = w.visit(p, c); err == nil && p.tracked {
		w.settle(p)
	}
	return local, err
}

// room is how many blocks to ask for now. It is 0 while that would be few, since a message
// costs more than what is in it.
func (w *walk) room() int {
	room := w.cfg.Asker.Room()
	if room*8 < len(w.wants) {
		return 0
	}
	return room
}

// wait handles what comes next. With more to do it handles only what is here already.
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

// receive takes the blocks that came, if any did, once it has a worker for them. Until then
// they stay in the asker, which bounds the bytes that wait over all walks.
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

// rest releases the worker if there is nothing to do for it, and gives how long to sleep.
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

// tell writes into the progress how the asking goes. Before the first block came it does so
// each time, since the manager waits for peers that say to have the root.
func (w *walk) tell(now time.Time) {
	if !w.lastGot.IsZero() && now.Sub(w.told) < tellEvery {
		return
	}
	w.told = now
	st := w.cfg.Asker.Stats()
	w.job.Progress.Asked(st.Sources, st.Again, st.Gap)
	w.job.Progress.SetTroubles(st.Troubles)
	w.job.Progress.SetDelivered(w.delivered.sum())
	w.oversized = st.Oversized
}

// arrivals takes in the blocks that came, up to a batch. Their CIDs were computed from
// their bytes, so they need no check. Blocks that are not wanted are passed over.
func (w *walk) arrivals() error {
	for len(w.inbox) > 0 && !w.writer.full() && !w.writer.due() {
		a := w.inbox[0]
		w.inbox[0] = exchange.Arrival{} // so that its bytes are freed with the batch
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
		w.delivered.count(a)
		if want.items[0].counted {
			w.job.Progress.Received.Add(1) // it was counted, and lost from disk
		}
		if err := w.take(want.items, data, true); err != nil {
			return err
		}
		// Only now, since the links to a block go first.
		w.writer.put(want.items[0], a.Block)
	}
	return nil
}

// take goes on with items whose bytes are here, received or read from disk.
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

// acquire waits until the walk holds a worker: every block that is handled needs one.
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

// most is how much of something the walk keeps: what a test has set, or its share.
func (c *Config) most(set, total, least int) int {
	if set > 0 {
		return set
	}
	return c.Share.of(total, least)
}

// written takes in the result of a batch.
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

// numbers are holders that the store gave out and that are not used yet.
type numbers struct {
	next graph.Holder
	left int
}

// numbersAtATime is small, since each walk leaves some numbers unused.
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
