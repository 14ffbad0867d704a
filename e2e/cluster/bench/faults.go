package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/cluster/peers"
	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// outcome is what is left after faults.
type outcome struct {
	orphans int // pins on nodes that nobody asked to be there
	lost    int // pins that were acknowledged and are in no pinset
	missing int // copies that the pinset has and a node has not
}

// faults has peers and nodes die while pins come and go, over Kubos with cluster alone, and over Holdfasts with
// a front. It counts what is left on nodes that should have gone, and what has gone that should be there.
func (b *bench) faults(ctx context.Context) error {
	source, err := b.source(ctx)
	if err != nil {
		return err
	}
	defer source.Kill()
	n := b.of(400)
	cids, err := oneBlock(ctx, source, 19, 2*n)
	if err != nil {
		return err
	}
	var of [2]outcome
	s := setup{source: source, batchAge: 5 * time.Second, recover: 10 * time.Second, pinTimeout: 20 * time.Second}
	for i, k := range []kind{kubos, holdfasts} {
		if err := b.over(ctx, k, s, func(w *world) (err error) {
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			var d driver = straight{w}
			if k == holdfasts {
				f, err := w.startFront(ctx)
				if err != nil {
					return err
				}
				defer func() { err = errors.Join(err, f.stop()) }()
				d = &behindFront{w: w, s: f, ids: map[string]string{}}
			}
			of[i], err = w.faults(ctx, d, cids[:n], cids[n:])
			return err
		}); err != nil {
			return err
		}
	}
	kubo, holdfast := of[0], of[1]
	for _, r := range []struct {
		what           string
		kubo, holdfast int
	}{
		{"orphans on nodes", kubo.orphans, holdfast.orphans},
		{"pins that were acknowledged and are lost", kubo.lost, holdfast.lost},
		{"copies that are missing", kubo.missing, holdfast.missing},
	} {
		b.table.add(none(row{part: "faults", what: fmt.Sprintf("%s, after peers and nodes died beside %d pins; Kubos without a front", r.what, 2*n),
			kubo: fmt.Sprint(r.kubo), holdfast: fmt.Sprint(r.holdfast)}, r.holdfast))
	}
	return nil
}

// driver is how pins are asked for.
type driver interface {
	pin(ctx context.Context, cids []string) error
	unpin(ctx context.Context, cids []string) error
	// settled waits until all that can be done is done; pins is how many there are to be.
	settled(ctx context.Context, pins int) error
}

// straight asks a peer that runs, or the next one.
type straight struct{ w *world }

// pin asks again while a peer does not know enough of the others to allocate, as after a start.
func (d straight) pin(ctx context.Context, cids []string) error {
	return each(ctx, len(cids), func(ctx context.Context, i int) error {
		return rig.Poll(ctx, 200*time.Millisecond, func() (bool, error) {
			err := d.w.running(i).Pin(ctx, cids[i], nil)
			if err != nil && strings.Contains(err.Error(), "not enough peers") {
				return false, nil
			}
			return true, err
		})
	})
}

// unpin asks the next peer if one has not heard of a pin, as one that was killed may not have. What none
// has heard of is lost.
func (d straight) unpin(ctx context.Context, cids []string) error {
	return each(ctx, len(cids), func(ctx context.Context, i int) error {
		for j := range d.w.Peers {
			err := d.w.running(i+j).Unpin(ctx, cids[i])
			if refused, ok := errors.AsType[*peers.StatusError](err); !ok || refused.Code != http.StatusNotFound {
				return err
			}
		}
		return nil
	})
}

// settled tries again what failed, as long as anything changes.
func (d straight) settled(ctx context.Context, _ int) error {
	quiet := 0
	return rig.Poll(ctx, time.Second, func() (bool, error) {
		for _, p := range d.w.Peers {
			if err := p.Recover(ctx); err != nil {
				return false, err
			}
		}
		busy, err := d.w.busy(ctx)
		if busy > 0 {
			quiet = 0
		}
		quiet++
		return quiet > 20, err // two of cluster's own recoveries
	})
}

// behindFront asks a front.
type behindFront struct {
	w   *world
	s   *service
	ids map[string]string // of the requests, by CID
	of  map[string]int    // their accounts
}

func (d *behindFront) pin(ctx context.Context, cids []string) error {
	ids, err := d.s.pin(ctx, cids)
	if d.of == nil {
		d.of = map[string]int{}
	}
	for i, c := range cids {
		d.ids[c], d.of[c] = ids[i], i%accounts
	}
	return err
}

func (d *behindFront) unpin(ctx context.Context, cids []string) error {
	return each(ctx, len(cids), func(ctx context.Context, i int) error {
		return d.s.client(d.of[cids[i]]).Remove(ctx, d.ids[cids[i]])
	})
}

// settled has the front check, and mend what it finds, until there is nothing.
func (d *behindFront) settled(ctx context.Context, pins int) error {
	if err := d.s.awaitPinned(ctx, pins); err != nil {
		return err
	}
	return rig.Poll(ctx, time.Second, func() (bool, error) {
		out, err := d.s.server.Data.Run(ctx, nil, "cluster", "check", "--repair", "--json")
		var r struct{ Differences []any }
		if err != nil || json.Unmarshal([]byte(out), &r) != nil || len(r.Differences) > 0 {
			return false, nil // a peer may just have come back
		}
		busy, err := d.w.busy(ctx)
		return busy == 0, err
	})
}

// faults makes all of them, and looks at what is left. The second half of the pins is made while
// something is away.
func (w *world) faults(ctx context.Context, d driver, first, second []string) (o outcome, err error) {
	half := len(first) / 2
	steps := []func() error{
		func() error { return d.pin(ctx, first) },
		func() error { return w.calm(ctx) },
		// A node is away when it is told to unpin.
		w.nodes[1].stop,
		func() error { return d.unpin(ctx, first[:half/2]) },
		func() error { return w.calm(ctx) },
		func() error { w.Peers[1].Kill(); return nil },
		func() error { return w.nodes[1].start(ctx) },
		func() error { return errors.Join(w.Peers[1].Launch(), w.Peers[1].Ready(ctx)) },
		// A peer is away, and then dies before it has written its batch.
		func() error { w.Peers[0].Kill(); return nil },
		func() error { return d.unpin(ctx, first[half/2:half]) },
		func() error { return d.pin(ctx, second[:half]) },
		func() error { w.Peers[2].Kill(); return nil },
		func() error {
			for _, i := range []int{0, 2} {
				if err := errors.Join(w.Peers[i].Launch(), w.Peers[i].Ready(ctx)); err != nil {
					return err
				}
			}
			return w.AwaitPeers(ctx, len(w.Peers))
		},
		// A node and its peer die while they pin and unpin.
		func() error { return d.pin(ctx, second[half:]) },
		func() error { w.nodes[2].process().Kill(); w.Peers[2].Kill(); return nil },
		func() error { return d.unpin(ctx, second[half:half+half/2]) },
		func() error { return w.nodes[2].start(ctx) },
		func() error { return errors.Join(w.Peers[2].Launch(), w.Peers[2].Ready(ctx)) },
		func() error { return w.AwaitPeers(ctx, len(w.Peers)) },
	}
	for i, step := range steps {
		if err := step(); err != nil {
			return o, fmt.Errorf("step %d: %w", i, err)
		}
	}
	want := map[string]bool{}
	for _, c := range append(append([]string(nil), first...), second...) {
		want[c] = true
	}
	for _, c := range append(append([]string(nil), first[:half]...), second[half:half+half/2]...) {
		delete(want, c)
	}
	if err := d.settled(ctx, len(want)); err != nil {
		return o, err
	}
	return w.left(ctx, want)
}

// left compares what is wanted, the pinset and the nodes.
func (w *world) left(ctx context.Context, want map[string]bool) (o outcome, err error) {
	set, err := w.Peers[0].Allocations(ctx)
	if err != nil {
		return o, err
	}
	on := map[string]map[string]bool{} // peer -> CIDs
	in := map[string]bool{}
	for _, a := range set {
		in[a.CID] = true
		for _, id := range a.Allocations {
			if on[id] == nil {
				on[id] = map[string]bool{}
			}
			on[id][a.CID] = true
		}
	}
	for c := range want {
		if !in[c] {
			o.lost++
		}
	}
	for i, p := range w.Peers {
		pins, err := w.nodes[i].Pins(ctx)
		if err != nil {
			return o, err
		}
		for c := range pins {
			if !want[c] || !on[p.ID][c] {
				o.orphans++
			}
		}
		for c := range on[p.ID] {
			if !pins[c] {
				o.missing++
			}
		}
	}
	w.b.say("faults: %s: %d orphans, %d lost, %d copies missing", w.kind, o.orphans, o.lost, o.missing)
	return o, nil
}
