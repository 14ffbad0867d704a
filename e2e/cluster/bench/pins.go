package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/cluster/peers"
	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// patience is how long anything may take, so that what hangs is an error.
const patience = 15 * time.Minute

// blocks is P1: one DAG of many small blocks gets two copies.
func (b *bench) blocks(ctx context.Context) error {
	source, err := b.source(ctx)
	if err != nil {
		return err
	}
	defer source.Kill()
	size := int64(b.of(400 << 20))
	b.say("P1: adding %d DAGs to the source", b.runs)
	var cids []string
	for i := range b.runs {
		c, err := source.AddFile(ctx, rig.Random(uint64(100+i), size), 4<<10)
		if err != nil {
			return err
		}
		cids = append(cids, c)
	}
	took := map[kind][]time.Duration{}
	for i, c := range cids {
		for _, k := range inTurns(i, kubos, holdfasts) {
			err := b.over(ctx, k, setup{source: source}, func(w *world) error {
				d, err := w.oneDAG(ctx, c)
				took[k] = append(took[k], d)
				b.say("P1, run %d of %d: %s %s", i+1, b.runs, k, short(d))
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	kubo, holdfast := median(took[kubos]), median(took[holdfasts])
	b.table.add(atLeast(row{part: "P1", what: fmt.Sprintf("pin %d blocks of 4 KiB, 2 copies of 3 nodes", b.of(102_400)), kubo: short(kubo), holdfast: short(holdfast)},
		kubo.Seconds()/holdfast.Seconds(), 4))
	return nil
}

// inTurns gives kinds in this order, and in every second run the other way round.
func inTurns(run int, kinds ...kind) (all []kind) {
	for i := range kinds {
		if run%2 == 1 {
			i = len(kinds) - 1 - i
		}
		all = append(all, kinds[i])
	}
	return all
}

// oneDAG times a pin until it has both copies. A copy that fails is tried again at once.
func (w *world) oneDAG(ctx context.Context, cid string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	began := time.Now()
	if err := w.Peers[0].Pin(ctx, cid, nil); err != nil {
		return 0, err
	}
	err := rig.Poll(ctx, 20*time.Millisecond, func() (bool, error) {
		n := 0
		for _, p := range w.Peers {
			is, err := p.Here(ctx, cid)
			switch {
			case err != nil:
				return false, err
			case is.Status == peers.Pinned:
				n++
			case is.Status == peers.PinError:
				w.b.say("a copy failed over %ss: %s", w.kind, is.Error)
				if err := p.Recover(ctx); err != nil {
					return false, err
				}
			}
		}
		return n >= 2, nil
	})
	return time.Since(began), err
}

// ofPins is what the parts about many pins measure over one kind of nodes.
type ofPins struct {
	pin    []time.Duration // all of P2
	unpin  []time.Duration // all of P5
	rm     []time.Duration // one call of P3 each
	rmBusy []time.Duration // the same, while P2 runs
	wrote  uint64          // bytes, in P3
	behind []time.Duration // all of P2, through the front
}

// pins is P2, P3, P5, and the part of P8 that is about pins.
func (b *bench) pins(ctx context.Context) error {
	source, err := b.source(ctx)
	if err != nil {
		return err
	}
	defer source.Kill()
	cids, err := oneBlock(ctx, source, 7, b.of(10_000))
	if err != nil {
		return err
	}
	kinds := []kind{kubos, nulls, holdfasts}
	if !b.wants("P2") && !b.wants("P3") && !b.wants("P5") {
		kinds = []kind{holdfasts}
	}
	all := map[kind]*ofPins{kubos: {}, nulls: {}, holdfasts: {}}
	for run := range b.runs {
		for _, k := range inTurns(run, kinds...) {
			if err := b.over(ctx, k, setup{source: source}, func(w *world) error { return w.manyPins(ctx, cids, all[k]) }); err != nil {
				return err
			}
		}
		if !b.wants("P8") {
			continue
		}
		err := b.over(ctx, holdfasts, setup{source: source}, func(w *world) error {
			d, err := w.throughFront(ctx, cids)
			all[holdfasts].behind = append(all[holdfasts].behind, d)
			b.say("P8: %d pins through the front: %s", len(cids), short(d))
			return err
		})
		if err != nil {
			return err
		}
	}
	b.reportPins(len(cids), all)
	return nil
}

// manyPins pins one block each, removes what is not pinned, and unpins some.
func (w *world) manyPins(ctx context.Context, cids []string, o *ofPins) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	used, err := w.processorTime(nil, len(cids))
	if err != nil {
		return err
	}
	beside := w.b.wants("P3") && w.kind != nulls
	work, stop := context.WithCancel(ctx)
	defer stop()
	var calls sync.WaitGroup
	var failed error
	if beside {
		calls.Go(func() {
			for i := 0; work.Err() == nil && failed == nil; i++ {
				var took time.Duration
				took, failed = w.nodes[0].rmOne(ctx, fmt.Appendf(nil, "nor has anybody %d", i))
				o.rmBusy = append(o.rmBusy, took)
				time.Sleep(20 * time.Millisecond) // so that P2 is what it is without it
			}
		})
	}
	began := time.Now()
	err = errors.Join(w.pin(ctx, cids), w.await(ctx, len(cids)))
	took := time.Since(began)
	stop()
	calls.Wait()
	if err := errors.Join(err, failed, used("P2")); err != nil {
		return err
	}
	o.pin = append(o.pin, took)
	w.b.say("P2: %s: %d pins in %s", w.kind, len(cids), short(o.pin[len(o.pin)-1]))
	if err := w.copies(ctx, cids, 2); err != nil {
		return err
	}
	if beside {
		if err := w.rmNothing(ctx, o); err != nil {
			return err
		}
	}
	some := cids[:w.b.of(1000)]
	began = time.Now()
	if err := errors.Join(w.unpin(ctx, some), w.await(ctx, len(cids)-len(some))); err != nil {
		return err
	}
	o.unpin = append(o.unpin, time.Since(began))
	w.b.say("P5: %s: %d unpinned in %s", w.kind, len(some), short(o.unpin[len(o.unpin)-1]))
	return nil
}

// rmNothing makes a node unpin what it has not pinned, call after call, as cluster does for each pin
// that is not for the node.
func (w *world) rmNothing(ctx context.Context, o *ofPins) error {
	n := w.nodes[0]
	before, err := writtenBy(n.process().PID())
	if err != nil {
		return err
	}
	for i := range w.b.of(5000) {
		took, err := n.rmOne(ctx, fmt.Appendf(nil, "nobody has pinned %d", i))
		if err != nil {
			return err
		}
		o.rm = append(o.rm, took)
	}
	after, err := writtenBy(n.process().PID())
	o.wrote += after - before
	return err
}

// rmOne times pin/rm of a block that is not pinned.
func (n *node) rmOne(ctx context.Context, block []byte) (time.Duration, error) {
	began := time.Now()
	err := n.Call(ctx, "pin/rm", url.Values{"arg": {rig.CID(rig.CodecRaw, block)}}, nil)
	took := time.Since(began)
	if err == nil || !strings.Contains(err.Error(), "not pinned or pinned indirectly") {
		return took, fmt.Errorf("pin/rm of what is not pinned answers %v", err)
	}
	return took, nil
}

func (b *bench) reportPins(n int, all map[kind]*ofPins) {
	k, h, null := all[kubos], all[holdfasts], all[nulls]
	if b.wants("P2") {
		kubo, holdfast, nothing := median(k.pin), median(h.pin), median(null.pin)
		r := row{part: "P2", what: fmt.Sprintf("%d pins of one block, 2 copies of 3 nodes", n), kubo: perSecond(n, kubo), holdfast: perSecond(n, holdfast)}
		b.table.add(atLeast(r, kubo.Seconds()/holdfast.Seconds(), 3))
		b.table.add(atLeast(row{part: "P2", what: "the same, beside a null node", holdfast: r.holdfast, beside: perSecond(n, nothing)},
			nothing.Seconds()/holdfast.Seconds(), 0.6))
	}
	if b.wants("P3") {
		b.table.add(within(row{part: "P3", what: "pin/rm of what is not pinned, p99", kubo: short(percentile99(k.rm)), holdfast: short(percentile99(h.rm))}, percentile99(h.rm), time.Millisecond))
		b.table.add(row{part: "P3", what: "the same while the pins of P2 are made", kubo: short(percentile99(k.rmBusy)), holdfast: short(percentile99(h.rmBusy))})
		r := row{part: "P3", what: fmt.Sprintf("written to disk by %d such calls", len(h.rm)), kubo: mib(k.wrote), holdfast: mib(h.wrote)}
		// A sync for each would write a block of 4 KiB at least. What the database does by itself is less.
		r.result, r.target, r.verdict = fmt.Sprintf("%d bytes a call", h.wrote/uint64(len(h.rm))), "no sync", verdict(h.wrote/uint64(len(h.rm)) < 64)
		b.table.add(r)
	}
	if b.wants("P5") {
		some := time.Duration(b.of(1000))
		r := row{part: "P5", what: fmt.Sprintf("unpin %d, each", some), kubo: short(median(k.unpin) / some), holdfast: short(median(h.unpin) / some), beside: short(median(null.unpin) / some)}
		b.table.add(within(r, median(h.unpin)/some, 5*time.Millisecond))
	}
	if b.wants("P8") {
		straight, behind := median(h.pin), median(h.behind)
		r := row{part: "P8", what: fmt.Sprintf("time until %d pins are pinned, through the front; beside: straight to cluster", n), holdfast: short(behind), beside: short(straight)}
		b.table.add(atMost(r, behind.Seconds()/straight.Seconds(), 1.3))
	}
}
