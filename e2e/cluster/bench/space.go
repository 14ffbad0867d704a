package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// freed is what is measured while space comes back over one kind of node.
type freed struct {
	ratio   float64       // disk to live
	took    time.Duration // until it was so
	pins    int           // that were made meanwhile
	longest time.Duration // that one of them took
}

const spaceTarget = 1.1

// space is P6: 60 % of what is pinned goes, in whole DAGs of blocks of three sizes. Holdfast gives the
// space back by itself, Kubos are told to. Pins go on meanwhile.
func (b *bench) space(ctx context.Context) error {
	source, err := b.source(ctx)
	if err != nil {
		return err
	}
	defer source.Kill()
	size := int64(b.of(8 << 20))
	var cids []string
	for i := range 90 {
		c, err := source.AddFile(ctx, rig.Random(uint64(3000+i), size), []int{256 << 10, 16 << 10, 4 << 10}[i%3])
		if err != nil {
			return err
		}
		cids = append(cids, c)
	}
	small, err := oneBlock(ctx, source, 17, 5000)
	if err != nil {
		return err
	}
	var of [2]freed
	for i, k := range []kind{kubos, holdfasts} {
		s := setup{source: source, env: map[string]string{
			"HOLDFAST_RPC_UNPIN_GRACE":        "0s",
			"HOLDFAST_STORE_RECLAIM_INTERVAL": "10s", // else it may take the hour that is the default
		}}
		if err := b.over(ctx, k, s, func(w *world) (err error) {
			of[i], err = w.space(ctx, cids, small, uint64(size))
			return err
		}); err != nil {
			return err
		}
	}
	kubo, holdfast := of[0], of[1]
	r := row{part: "P6", what: "disk to live after 60 % was unpinned, by itself; Kubo: by repo/gc", kubo: fmt.Sprintf("%.2f", kubo.ratio), holdfast: fmt.Sprintf("%.2f", holdfast.ratio)}
	b.table.add(atMost(r, holdfast.ratio, spaceTarget))
	b.table.add(row{part: "P6", what: "until then", kubo: short(kubo.took), holdfast: short(holdfast.took)})
	b.table.add(row{part: "P6", what: "the slowest pin of one block meanwhile", kubo: fmt.Sprintf("%s of %d", short(kubo.longest), kubo.pins), holdfast: fmt.Sprintf("%s of %d", short(holdfast.longest), holdfast.pins)})
	return nil
}

func (w *world) space(ctx context.Context, cids, small []string, size uint64) (f freed, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := errors.Join(w.pin(ctx, cids), w.await(ctx, len(cids))); err != nil {
		return f, err
	}
	live := func(c string) uint64 {
		for _, one := range cids {
			if one == c {
				return size
			}
		}
		return blockSize
	}
	before, err := w.diskToLive(ctx, live)
	if err != nil {
		return f, err
	}
	gone := cids[:len(cids)*6/10]
	if err := errors.Join(w.unpin(ctx, gone), w.await(ctx, len(cids)-len(gone))); err != nil {
		return f, err
	}
	work, stop := context.WithCancel(ctx)
	defer stop()
	var pins sync.WaitGroup
	var failed error
	pins.Go(func() { f.pins, f.longest, failed = w.nodes[0].pinOn(work, small) })
	began := time.Now()
	if w.kind == kubos {
		err = w.Peers[0].Do(ctx, http.MethodPost, "/ipfs/gc", nil)
	}
	if err == nil {
		err = rig.Poll(ctx, 500*time.Millisecond, func() (bool, error) {
			var err error
			f.ratio, err = w.diskToLive(ctx, live)
			// A Kubo does no more by itself.
			return f.ratio <= spaceTarget || w.kind == kubos || time.Since(began) > 3*time.Minute, err
		})
	}
	f.took = time.Since(began)
	stop()
	pins.Wait()
	w.b.say("P6: %s: disk to live %.2f, then %.2f after %s; %d pins meanwhile, the slowest %s", w.kind, before, f.ratio, short(f.took), f.pins, short(f.longest))
	return f, errors.Join(err, failed)
}

// diskToLive is the ratio of what all nodes have on disk to what their pins have. Cluster may give
// nearly all pins to two of three nodes, so the ratio of a single one says little.
func (w *world) diskToLive(ctx context.Context, live func(cid string) uint64) (float64, error) {
	var sum, all uint64
	for _, n := range w.nodes {
		pins, err := n.Pins(ctx)
		if err != nil {
			return 0, err
		}
		for c := range pins {
			sum += live(c)
		}
		disk, err := diskUse(n.dir())
		if err != nil {
			return 0, err
		}
		all += disk
	}
	return float64(all) / float64(max(sum, 1)), nil
}

// pinOn pins one CID after the other until ctx ends, and gives how many and what the slowest took.
func (n *node) pinOn(ctx context.Context, cids []string) (pins int, longest time.Duration, err error) {
	for _, c := range cids {
		began := time.Now()
		err := n.Call(ctx, "pin/add", url.Values{"arg": {c}, "recursive": {"true"}}, nil)
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			return pins, longest, fmt.Errorf("pin meanwhile: %w", err)
		}
		pins, longest = pins+1, max(longest, time.Since(began))
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	return pins, longest, nil
}
