package cluster

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
)

const (
	// askTime is how long a description may wait for the peers. A peer that hangs must not be felt.
	askTime = 20 * time.Millisecond
	// maxLooks is how many DAGs are looked at for descriptions at the same time: those of more are from
	// memory. It is as many as there are connections to a peer, of which fetches have to have some.
	maxLooks = 32
	// fresh is how long what was seen of the copies counts as what is.
	fresh = 2 * time.Second
)

// Describe implements [pin.Describer]: in how many copies a DAG is there, and where.
//
//   - copies, copies_wanted: numbers, such as 2 of 2-3
//   - copies_on: the names of the peers that have it
//   - copies_missing: what the other peers say that should have it
//   - size: "not known", in the place of blocks and bytes, if no node said how large it is
func (e *Engine) Describe(ctx context.Context, r pin.Request, ask bool, info map[string]string) {
	if r.Status == pin.Pinned && r.Totals.Blocks == 0 && r.Totals.Bytes == 0 && !holdsItself(r.Root) {
		delete(info, "blocks")
		delete(info, "bytes")
		info["size"] = "not known: no node of the cluster told it"
	}
	if r.Status != pin.Pinned && r.Status != pin.Pinning {
		return
	}
	d := r.DAG()
	seen, ok := e.known.get(d)
	if ask && (!ok || time.Since(seen.at) > fresh) {
		select {
		case <-e.lookAgain(d):
		case <-time.After(askTime):
		case <-ctx.Done():
		}
		seen, ok = e.known.get(d)
	}
	if !ok || seen.at.IsZero() {
		return
	}
	var have, missing []string
	for _, c := range seen.copies {
		switch {
		case c.here(seen.attempt):
			have = append(have, c.name)
		case errors.Is(c.err, errNodeAway):
			missing = append(missing, c.name+": "+errNodeAway.Error())
		case c.err != nil:
			missing = append(missing, c.name+": does not answer")
		default:
			s := c.name + ": " + strings.ReplaceAll(c.status, "_", " ")
			if c.reason != "" {
				s += ": " + oneLine(c.reason)
			}
			missing = append(missing, s)
		}
	}
	info["copies"], info["copies_wanted"] = strconv.Itoa(len(have)), seen.wanted.String()
	if len(have) > 0 {
		info["copies_on"] = strings.Join(have, ", ")
	}
	if len(missing) > 0 {
		info["copies_missing"] = strings.Join(missing, "; ")
	}
}

// holdsItself reports whether a CID contains its data: then there are no blocks.
func holdsItself(c cid.Cid) bool {
	return c.Defined() && c.Prefix().MhType == multihash.IDENTITY
}

// lookAgain looks for the copies of a DAG, unless that is under way already. What it returns is
// closed when they were seen; it is nil if too many looks are under way.
func (e *Engine) lookAgain(d pin.DAG) <-chan struct{} {
	e.known.mu.Lock()
	defer e.known.mu.Unlock()
	seen := e.known.all[d]
	if seen.asking != nil {
		return seen.asking
	}
	if e.known.looks >= maxLooks {
		return nil
	}
	e.known.looks++
	done := make(chan struct{})
	seen.asking = done
	e.known.all[d] = seen
	e.work.Go(func() {
		defer close(done)
		w, all, ok := e.see(e.ctx, d)
		if ok {
			e.known.put(d, w.attempt, w.replication, all)
		}
		e.known.mu.Lock()
		defer e.known.mu.Unlock()
		e.known.looks--
		switch seen := e.known.all[d]; {
		case seen.asking != done:
		case seen.at.IsZero(): // nothing was ever seen of it
			delete(e.known.all, d)
		default:
			seen.asking = nil
			e.known.all[d] = seen
		}
	})
	return done
}

// see looks for the copies of a DAG.
func (e *Engine) see(ctx context.Context, d pin.DAG) (w wanted, all copies, ok bool) {
	a, _, held, err := e.records.Held(ctx, d)
	if err != nil || !held {
		return w, nil, false
	}
	if w, err = e.want(ctx, d, a, nil); err != nil {
		return w, nil, false
	}
	is, err := e.allocation(ctx, d)
	if err != nil || is == nil {
		return w, nil, false
	}
	return w, e.ask(ctx, d, is.Allocations, a, 0), true
}
