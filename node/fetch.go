package node

import (
	"context"
	"time"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/holdfast-ipfs/holdfast/pin"
)

const (
	// Blocks on disk are read this many at a time before what came from the
	// network meanwhile is handled: a few milliseconds' worth.
	localBatch = 64

	// While something is under way, the walk looks at its clocks this often.
	tick = 50 * time.Millisecond
	// While nothing is, it has only providers to count and wants to renew.
	idleTick = 10 * time.Second

	// How often connected providers are counted anew.
	providersEvery = time.Second

	// A wait for a worker or for the disk that is longer than this is not held
	// against the network.
	pauseFrom = 10 * time.Millisecond
)

// Fetch implements [pin.Fetcher].
func (n *Node) Fetch(ctx context.Context, job pin.Job) (pin.Totals, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(n.ctx, cancel)() // the node's Close ends it too

	root := job.DAG.CID()
	if !root.Defined() {
		return pin.Totals{}, pin.Refused("%s names nothing", job.DAG)
	}
	f := &fetch{
		n:       n,
		job:     job,
		ctx:     ctx,
		seen:    make(map[string]mark),
		senders: make(map[peer.ID]struct{}),
	}
	if err := f.push(root, 0); err != nil {
		return pin.Totals{}, err
	}
	f.asker = newAsker(ctx, n.bitswap, &n.shares)
	f.writer = newWriter(ctx, n.store, job.Attempt, n.bitswap.Server.NotifyNewBlocks)
	f.origins = n.startOrigins(ctx, job)
	err := f.run()
	cancel()
	f.origins.stop()
	f.asker.stop()
	f.writer.stop()
	if err != nil {
		return pin.Totals{}, err
	}
	return f.totals, nil
}

// mark is what the walk knows of a multihash: the codecs it is read under, in
// the low bits, and whether its bytes are here.
type mark uint8

const (
	markCodecs = mark(codecRaw | codecDagPB | codecDagCBOR | codecDagJSON)
	markHere   = markCodecs + 1
)

// fetch is one walk. One goroutine owns it, that of run; the asker and the
// writer have goroutines of their own and speak to it by channels.
type fetch struct {
	n       *Node
	job     pin.Job
	ctx     context.Context
	asker   *asker
	writer  *writer
	origins *origins

	// frontier is what is known and not looked at yet. Last in, first out: what
	// hangs on one node is finished before its next sibling is begun, as far as
	// there are enough to ask for.
	frontier []place
	seen     map[string]mark // by multihash, all that ever was in the frontier
	totals   pin.Totals

	held    bool      // the slot, as far as this side knows
	gained  bool      // something was received while it was held
	lastGot time.Time // a block from the network
	senders map[peer.ID]struct{}
	counted time.Time // when senders were
}

// place is a node and how many links it is from the root.
type place struct {
	cid   cid.Cid
	depth uint64
}

// run walks until every block is durable or something ends it.
func (f *fetch) run() error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		more, err := f.fill()
		if err != nil {
			return err
		}
		f.asker.send()
		idle := !more && f.asker.empty()
		f.writer.flush(time.Now(), idle)
		if idle && f.writer.idle() {
			return nil
		}
		if err := f.wait(timer, more); err != nil {
			return err
		}
	}
}

// fill looks at nodes of the frontier until enough is asked for, and reports
// whether it stopped for another reason, so that there is more to do at once.
func (f *fetch) fill() (more bool, err error) {
	f.asker.renew(time.Now())
	for _, w := range f.asker.recalled() {
		if err := f.relook(w); err != nil {
			return false, err
		}
	}
	if !f.asker.wanting() {
		return false, nil
	}
	for read := 0; len(f.frontier) > 0 && f.asker.room() > 0; {
		if f.writer.full() {
			return false, nil // the writer wakes wait
		}
		if read == localBatch {
			return true, nil
		}
		next := f.frontier[len(f.frontier)-1]
		f.frontier = f.frontier[:len(f.frontier)-1]
		local, err := f.visit(next)
		if err != nil {
			return false, err
		}
		if local {
			read++
		}
	}
	return false, nil
}

// wait handles what comes next, or, with more to do, what is here already.
func (f *fetch) wait(timer *time.Timer, more bool) error {
	in := f.asker.in
	if f.writer.full() {
		in = nil // what is in flight waits in Bitswap, no more than the window
	}
	if more {
		select {
		case a := <-in:
			return f.handle(a, in)
		case r := <-f.writer.done:
			return f.written(r)
		case <-f.ctx.Done():
			return f.ctx.Err()
		default:
			return nil
		}
	}
	timer.Reset(f.rest(time.Now()))
	met := f.origins.met
	if !f.asker.last.IsZero() {
		met = nil // only the first block is waited for so anxiously
	}
	began := time.Now()
	defer func() {
		if in == nil {
			f.asker.pause(time.Since(began))
		}
	}()
	select {
	case a := <-in:
		return f.handle(a, in)
	case r := <-f.writer.done:
		return f.written(r)
	case f.asker.met = <-met:
		return nil
	case <-timer.C:
		return nil
	case <-f.ctx.Done():
		return f.ctx.Err()
	}
}

// rest lets go of the worker if there is nothing to do for it, and gives how
// long to sleep.
func (f *fetch) rest(now time.Time) time.Duration {
	f.countProviders(now)
	waiting := f.writer.idle()
	if f.held && waiting && (!f.gained || now.Sub(f.lastGot) >= f.job.IdleTimeout) {
		f.job.Slot.Release()
		f.held, f.gained = false, false
	}
	if f.held || !waiting || f.asker.restless() {
		return tick
	}
	return idleTick
}

// handle takes in a block that came, and those behind it.
func (f *fetch) handle(a arrival, in <-chan arrival) error {
	for {
		if err := f.received(a); err != nil {
			return err
		}
		if f.writer.full() {
			return nil
		}
		select {
		case a = <-in:
		default:
			return nil
		}
	}
}

// received takes in one block from the network. Bitswap computed its CID from
// its bytes, so it is what it says it is; if that is not wanted, or not any
// more, it is nothing.
func (f *fetch) received(a arrival) error {
	w := f.asker.take(a.block, time.Now())
	if w == nil {
		return nil
	}
	if err := f.acquire(); err != nil {
		return err
	}
	now := time.Now()
	f.gained, f.lastGot = true, now
	if a.from != "" {
		f.senders[a.from] = struct{}{}
	}
	data := a.block.RawData()
	if w.counted {
		f.job.Progress.Received.Add(1) // once more: it was lost from disk
	} else if err := f.count(w.cid, data, now, true); err != nil {
		return err
	}
	f.writer.put(a.block, now)
	return f.expand(place{w.cid, w.depth}, w.codecs, data)
}

// acquire holds a worker, as every block that is handled needs one.
func (f *fetch) acquire() error {
	began := time.Now()
	if err := f.job.Slot.Acquire(f.ctx); err != nil {
		if f.ctx.Err() != nil {
			return f.ctx.Err()
		}
		return err
	}
	f.asker.pause(time.Since(began))
	f.held = true
	return nil
}

// written takes in what the writer has done.
func (f *fetch) written(r written) error {
	f.writer.finish()
	if r.err != nil {
		if f.ctx.Err() != nil {
			return f.ctx.Err()
		}
		return r.err
	}
	for _, c := range r.gone {
		f.asker.want(&want{cid: c, key: string(c.Hash()), counted: true})
	}
	return nil
}

// countProviders tells how many of those who sent blocks are still connected.
func (f *fetch) countProviders(now time.Time) {
	if now.Sub(f.counted) < providersEvery {
		return
	}
	f.counted = now
	n := int64(0)
	for p := range f.senders {
		if f.n.host.Network().Connectedness(p) == network.Connected {
			n++
		}
	}
	f.job.Progress.Providers.Store(n)
}

// arrival is a block from the network and who sent it, if that is known.
type arrival struct {
	block blocks.Block
	from  peer.ID
}
