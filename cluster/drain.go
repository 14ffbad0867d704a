package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// drainersAtOnce is how many pins move at the same time: each round of each waits for a batch of the
// cluster, some seconds, and the nodes have pins of users as well.
const drainersAtOnce = 32

// drainRounds is how often a pin is asked for until the cluster takes it from a peer that has room. It
// chooses by chance which copy goes, and not evenly: that of the peer it knows longest goes one time
// in eight.
const drainRounds = 200

// Drained is how far a drain is.
type Drained struct {
	Done, Failed, Total uint64
	CID                 string // the last one that was done
}

// Drain moves the copies of this server's pins from a peer to others, some at the same time, so
// that none has fewer copies than before. peer is its name or its ID. The peer stays a member, and
// gets new pins while it has room. What others asked the cluster for stays where it is. tell is
// called after each pin, one call after the other. Errors of single pins are logged and counted.
func (e *Engine) Drain(ctx context.Context, name string, tell func(Drained)) (done Drained, err error) {
	id, err := e.findPeer(name)
	if err != nil {
		return done, err
	}
	room, err := e.freespace(ctx)
	if err != nil {
		return done, err
	}
	_, hasRoom := room[id]
	full := !hasRoom
	var dags []pin.DAG
	err = e.each(ctx, "", func(p *peer) error {
		dags = nil
		for is, err := range p.allocations(ctx) {
			if err != nil {
				return err
			}
			if !slices.Contains(is.Allocations, id) || e.attemptIn(is.Metadata) == 0 {
				continue
			}
			if c, err := cid.Decode(is.CID); err == nil {
				dags = append(dags, pin.DAGOf(c))
			}
		}
		return nil
	})
	if err != nil {
		return done, err
	}
	done.Total = uint64(len(dags))
	var mu sync.Mutex
	var movers sync.WaitGroup
	next := make(chan pin.DAG)
	for range drainersAtOnce {
		movers.Go(func() {
			for d := range next {
				err := e.move(ctx, d, id, full)
				if ctx.Err() != nil {
					continue
				}
				if err != nil {
					e.log.Warn("a pin stays at a peer that is drained", "cid", d, "peer", e.nameOf(id), "err", err)
				}
				mu.Lock()
				if err != nil {
					done.Failed++
				} else {
					done.Done++
				}
				done.CID = d.String()
				tell(done)
				mu.Unlock()
			}
		})
	}
	for _, d := range dags {
		select {
		case next <- d:
		case <-ctx.Done():
		}
	}
	close(next)
	movers.Wait()
	return done, ctx.Err()
}

// ErrNoPeer: there is no peer of a name.
var ErrNoPeer = errors.New("the cluster has no peer")

// findPeer finds the ID of a peer by its name or its ID.
func (e *Engine) findPeer(s string) (string, error) {
	var names []string
	for _, p := range e.peers {
		is, _ := p.state()
		if is.ID != "" && (is.ID == s || is.Name == s || p.host == s) {
			return is.ID, nil
		}
		if is.Name != "" {
			names = append(names, is.Name)
		}
	}
	if slices.Contains(e.members(), s) {
		return s, nil
	}
	return "", fmt.Errorf("%w %q: it has %s", ErrNoPeer, s, strings.Join(names, ", "))
}

// move moves one copy from a peer to another. full says that the peer has no room.
func (e *Engine) move(ctx context.Context, d pin.DAG, from string, full bool) error {
	e.moving.Store(d, nil)
	defer e.moving.Delete(d)
	for range drainRounds {
		a, complete, held, err := e.records.Held(ctx, d)
		if err != nil || !held || !complete {
			return err // it was unpinned, or its fetch places it
		}
		is, err := e.allocation(ctx, d)
		if err != nil || is == nil {
			return err
		}
		w, err := e.want(ctx, d, a, nil)
		if err != nil {
			return err
		}
		if !slices.Contains(is.Allocations, from) {
			if e.isAsWanted(is, w) || len(e.keepsWithout(ctx, is, w)) > 0 {
				return nil // a check sees to the number of copies
			}
			_, err := e.replace(ctx, w)
			return err
		}
		others := e.ask(ctx, d, is.Allocations, a, 0).countBut(a, from)
		n := 0
		switch {
		case full:
			// The cluster takes all copies from a peer without room. Its node has them until its grace
			// is over.
			n = w.replication.Min
		case others < w.replication.Min:
			// One copy more, elsewhere.
			more := len(is.Allocations) + 1
			w.replication, n = pin.Replication{Min: more, Max: more}, others+1
		default:
			// One copy less. Which one goes is the cluster's choice.
			w.replication.Max = max(w.replication.Min, len(is.Allocations)-1)
		}
		w.first = e.membersBut(from, is.Allocations)
		posted, err := e.replace(ctx, w)
		if err != nil || posted == nil {
			return err
		}
		if err := e.awaitCopies(ctx, d, a, posted, from, n); err != nil {
			return err
		}
	}
	return errors.New("the cluster leaves it there; try again, or make the peer's node full for new pins meanwhile")
}

// countBut is how many copies are there without that of one peer.
func (all copies) countBut(a pin.Attempt, peer string) (n int) {
	for _, c := range all {
		if c.peer != peer && c.here(a) {
			n++
		}
	}
	return n
}

// allocation reads a pin from the pinset; nil if it is not there.
func (e *Engine) allocation(ctx context.Context, d pin.DAG) (is *pinInfo, err error) {
	err = e.each(ctx, d, func(p *peer) (err error) {
		is, err = p.allocation(ctx, d.CID())
		return err
	})
	return is, err
}

// membersBut are the peers that neither are left out nor have a copy.
func (e *Engine) membersBut(out string, have []string) (all []string) {
	for _, id := range e.members() {
		if id != out && !slices.Contains(have, id) {
			all = append(all, id)
		}
	}
	return all
}

// copyTime is how long a copy may take to come to another peer before a drain goes on with the next
// pin.
const copyTime = time.Hour

// awaitCopies waits until the pinset has what was posted, and so many peers have the DAG beside one. If
// somebody else has changed the pin meanwhile, it returns nil too: the next round looks what is to be done.
func (e *Engine) awaitCopies(ctx context.Context, d pin.DAG, a pin.Attempt, posted *pinInfo, but string, n int) error {
	pause := e.cfg.PollMin
	for deadline := time.Now().Add(copyTime); ; pause = min(2*pause, e.cfg.PollMax) {
		is, err := e.allocation(ctx, d)
		if err != nil {
			return err
		}
		if is == nil { // the next round looks whether it was unpinned
			return nil
		}
		var all copies
		if is.Min == posted.Min && is.Max == posted.Max {
			if n == 0 {
				return nil
			}
			if all = e.ask(ctx, d, is.Allocations, a, 0); all.countBut(a, but) >= n {
				return nil
			}
		} else if !e.settles(d, a, is) {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.New(all.text(a, pin.Replication{Min: n, Max: n}))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}
