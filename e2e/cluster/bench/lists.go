package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// listing is what is measured of pin/ls over one kind of node.
type listing struct {
	first, whole []time.Duration // of each list of all
	one          []time.Duration // of each answer about one CID
	busy         int             // pins that were under way until the last of them
	memory       uint64          // bytes that lists took more, without other work
	pins         int
}

// lists is P4 and P7: a node with many pins, as the only one of its cluster.
func (b *bench) lists(ctx context.Context) error {
	source, err := b.source(ctx)
	if err != nil {
		return err
	}
	defer source.Kill()
	n := b.of(100_000)
	b.say("P4, P7: adding %d blocks to the source", n)
	cids, err := oneBlock(ctx, source, 11, n)
	if err != nil {
		return err
	}
	var large []string
	for i := 0; i < 100 && b.wants("P4"); i++ {
		c, err := source.AddFile(ctx, rig.Random(uint64(1000+i), int64(b.of(4000))<<10), 1<<10)
		if err != nil {
			return err
		}
		large = append(large, c)
	}
	var kubo, holdfast listing
	if b.wants("P4") {
		if err := b.listsOfKubo(ctx, source, n, large, &kubo); err != nil {
			return err
		}
	}
	err = b.over(ctx, holdfasts, setup{size: 1, rf: 1, source: source}, func(w *world) error {
		began := time.Now()
		if err := errors.Join(w.pin(ctx, cids), w.await(ctx, n)); err != nil {
			return err
		}
		b.say("P4, P7: Holdfast has %d pins by its cluster after %s", n, short(time.Since(began)))
		if b.wants("P7") {
			if err := w.restarts(ctx, n); err != nil {
				return err
			}
		}
		if b.wants("P4") {
			return b.listed(ctx, w.nodes[0], n, large, &holdfast)
		}
		return nil
	})
	if err == nil && b.wants("P4") {
		b.reportLists(kubo, holdfast)
	}
	return err
}

// listsOfKubo measures a Kubo. It gets its pins without a cluster, which takes a tenth of the time.
func (b *bench) listsOfKubo(ctx context.Context, source *rig.Kubo, n int, large []string, l *listing) (err error) {
	k, err := b.newNode(ctx, kubos, nil, setup{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, k.end()) }()
	cids, err := oneBlock(ctx, k.kubo, 11, n)
	if err != nil {
		return err
	}
	began := time.Now()
	const atOnce = 100 // CIDs in a call
	for i := 0; i < n; i += atOnce {
		if err := k.kubo.RPC(ctx, "pin/add", url.Values{"arg": cids[i:min(i+atOnce, n)], "progress": {"false"}}, nil); err != nil {
			return err
		}
	}
	b.say("P4: Kubo has %d pins after %s", n, short(time.Since(began)))
	if err := reach(ctx, source, k); err != nil {
		return err
	}
	return b.listed(ctx, k, n, large, l)
}

// listed measures lists of a node that has n pins, alone and while it pins large DAGs.
func (b *bench) listed(ctx context.Context, k *node, n int, large []string, l *listing) error {
	const rounds, ones = 10, 100
	l.pins = n
	pid := k.process().PID()
	if err := k.listAll(ctx, n, nil); err != nil { // the first one warms up
		return err
	}
	before, err := rig.OwnMemory(pid)
	if err != nil {
		return err
	}
	stop := peakMemory(pid)
	for range rounds {
		if err := k.listAll(ctx, n, nil); err != nil {
			return err
		}
	}
	peak, err := stop()
	if err != nil {
		return err
	}
	l.memory = peak - min(peak, before)

	work, cancel := context.WithCancel(ctx)
	defer cancel()
	var all sync.WaitGroup
	var busy atomic.Int64
	for _, c := range large {
		all.Go(func() {
			busy.Add(1)
			err := k.Call(work, "pin/add", url.Values{"arg": {c}, "recursive": {"true"}, "progress": {"true"}}, nil)
			if err == nil { // else the measurement has ended
				busy.Add(-1)
			}
		})
	}
	time.Sleep(2 * time.Second) // until blocks of them come
	for i := range rounds {
		if err := k.listAll(ctx, n, l); err != nil {
			return err
		}
		for j := range ones {
			absent := rig.CID(rig.CodecRaw, fmt.Appendf(nil, "%d of %d", i, j))
			began := time.Now()
			err := k.Call(ctx, "pin/ls", url.Values{"arg": {absent}, "type": {"recursive"}, "stream": {"true"}}, nil)
			l.one = append(l.one, time.Since(began))
			if err == nil {
				return errors.New("what is not pinned is listed")
			}
		}
	}
	l.busy = int(busy.Load())
	cancel()
	all.Wait()
	b.say("P4: first byte %s, all %s, one CID p99 %s, %d pins under way", short(median(l.first)), short(median(l.whole)), short(percentile99(l.one)), l.busy)
	return nil
}

// listAll lists all pins, of which there are at least n.
func (k *node) listAll(ctx context.Context, n int, l *listing) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	began := time.Now()
	res, err := k.Post(ctx, "pin/ls", url.Values{"stream": {"true"}, "type": {"recursive"}}, "", nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	buf := make([]byte, 64<<10)
	lines, first := 0, time.Duration(0)
	for {
		m, err := res.Body.Read(buf)
		if m > 0 && first == 0 {
			first = time.Since(began)
		}
		lines += bytes.Count(buf[:m], []byte("\n"))
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("pin/ls: %w", err)
		}
	}
	if lines < n {
		return fmt.Errorf("pin/ls lists %d of %d", lines, n)
	}
	if l != nil {
		l.first, l.whole = append(l.first, first), append(l.whole, time.Since(began))
	}
	return nil
}

func (b *bench) reportLists(kubo, holdfast listing) {
	const oneTarget, firstTarget, memoryTarget = 20 * time.Millisecond, 100 * time.Millisecond, 32 << 20
	what := fmt.Sprintf("pin/ls of %d while %d pins run (%d in Kubo)", holdfast.pins, holdfast.busy, kubo.busy)
	r := row{part: "P4", what: what + ": first byte, the worst of 10", kubo: short(maxOf(kubo.first)), holdfast: short(maxOf(holdfast.first))}
	b.table.add(within(r, maxOf(holdfast.first), firstTarget))
	b.table.add(atLeast(r, maxOf(kubo.first).Seconds()/maxOf(holdfast.first).Seconds(), 5))
	b.table.add(row{part: "P4", what: "its first byte, median", kubo: short(median(kubo.first)), holdfast: short(median(holdfast.first))})
	r = row{part: "P4", what: "all of it, median", kubo: short(median(kubo.whole)), holdfast: short(median(holdfast.whole))}
	r.result = fmt.Sprintf("%.1fx", median(kubo.whole).Seconds()/median(holdfast.whole).Seconds())
	b.table.add(r)
	r = row{part: "P4", what: "memory that lists take, without pins", kubo: mib(kubo.memory), holdfast: mib(holdfast.memory)}
	r.result, r.target, r.verdict = r.holdfast, "<= "+mib(memoryTarget), verdict(holdfast.memory <= memoryTarget)
	b.table.add(r)
	r = row{part: "P4", what: "pin/ls of one CID while they run, p99", kubo: short(percentile99(kubo.one)), holdfast: short(percentile99(holdfast.one))}
	b.table.add(within(r, percentile99(holdfast.one), oneTarget))
}

// restarts is P7: the node is ended, and killed, and started again, while its peer runs.
func (w *world) restarts(ctx context.Context, pins int) error {
	n := w.nodes[0]
	var slowest time.Duration
	added, fetched := 0.0, 0.0
	for _, kill := range []bool{false, true} {
		if kill {
			n.server.Kill()
		} else if err := n.server.Stop(); err != nil {
			return err
		}
		began := time.Now()
		p, err := n.data.Launch()
		if err != nil {
			return err
		}
		err = rig.Poll(ctx, 5*time.Millisecond, func() (bool, error) {
			var id struct{ ID string }
			return n.Call(ctx, "id", nil, &id) == nil && id.ID != "", p.Ended()
		})
		slowest = max(slowest, time.Since(began))
		if err != nil {
			return err
		}
		if n.server, err = n.data.Ready(ctx, p); err != nil {
			return err
		}
		if err := errors.Join(w.Peers[0].Recover(ctx), w.await(ctx, pins)); err != nil {
			return err
		}
		a, err := metric(ctx, n.server, "holdfast_http_requests_total", `route="rpc:/api/v0/pin/add"`)
		if err != nil {
			return err
		}
		f, err := metric(ctx, n.server, "holdfast_blocks_received_total")
		if err != nil {
			return err
		}
		added, fetched = added+a, fetched+f
	}
	w.b.table.add(within(row{part: "P7", what: fmt.Sprintf("start with %d pins until it answers id, stopped or killed before", pins), holdfast: short(slowest)}, slowest, 3*time.Second))
	w.b.table.add(none(row{part: "P7", what: "pins that are made again after that, and blocks that are fetched", holdfast: fmt.Sprintf("%.0f and %.0f", added, fetched)}, int(added+fetched)))
	return nil
}

func maxOf(all []time.Duration) (m time.Duration) {
	for _, d := range all {
		m = max(m, d)
	}
	return m
}
