package cluster

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
)

const (
	// pollGrowth is by how much the time between two looks grows.
	pollGrowth = 1.5
	// proven is how long a peer must have been pinning, after a first failure, for that to count
	// as work: a peer gives up after its pin_timeout, 2 min, without progress of its node.
	proven = 5 * time.Minute
	// lookCost is how much time there is between two looks of all fetches together: a look is a question
	// to each of some peers, and each of those asks its node. Many pins at once would keep the peers
	// busy with answers instead of pins.
	lookCost = 2 * time.Millisecond
	// crowded is how many times as long as PollMax a fetch waits at most, if it is one of very many.
	crowded = 5
	// progressLooks is how many looks there are at least for one question to the nodes how far they are, which is
	// a call for each copy.
	progressLooks = 4
	// sizeTime is how long the nodes that have a DAG may take to say how large it is.
	sizeTime = 30 * time.Second
)

// Fetch implements [pin.Engine]: it asks the cluster for the DAG, and waits until enough peers
// have it. What was uploaded here is sent to a node before that. It needs no slot: the nodes do the work.
func (e *Engine) Fetch(ctx context.Context, j pin.Job) (pin.Totals, error) {
	if err := ctx.Err(); err != nil {
		return pin.Totals{}, err
	}
	w, err := e.want(ctx, j.DAG, j.Attempt, j.Origins)
	if err != nil {
		return pin.Totals{}, err
	}
	if w.first, err = e.deliver(ctx, j); err != nil {
		return pin.Totals{}, endedBy(ctx, err)
	}
	f := &fetch{e: e, job: j, want: w}
	e.fetching.Add(1)
	defer e.fetching.Add(-1)
	for pause := e.cfg.PollMin; ; pause = min(time.Duration(float64(pause)*pollGrowth), e.cfg.PollMax) {
		totals, done, err := f.step(ctx)
		if done || err != nil {
			return totals, endedBy(ctx, err)
		}
		if f.moved {
			pause, f.moved = e.cfg.PollMin, false
		}
		select {
		case <-ctx.Done():
			return pin.Totals{}, ctx.Err()
		case <-time.After(spaced(pause, e.fetching.Load(), crowded*e.cfg.PollMax)):
		}
	}
}

// spaced is how long a fetch waits for its next look, if it would wait for pause alone and there are n
// fetches: long enough that their looks together are lookCost apart, and limit at most for that.
func spaced(pause time.Duration, n int64, limit time.Duration) time.Duration {
	return max(pause, min(time.Duration(n)*lookCost, limit))
}

// endedBy is the context's error if that has ended, whatever the call said that met its end.
func endedBy(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// fetch is one call of Fetch.
type fetch struct {
	e     *Engine
	job   pin.Job
	want  wanted
	at    *pinInfo  // as the pinset has it, or will; nil before it was asked for
	since time.Time // when it was last asked for
	tried time.Time // when peers whose nodes lost it were last asked to try again
	again bool      // a peer is away or has not heard of it for too long: the pin is asked for although it is there
	tries int       // how often that was done
	reads int       // how often the pinset was read anew, as some peers had not heard of the pin
	moved bool      // something changed since the last look
	seen  copies    // what the last look found
	last  string    // the same, as text
	grown time.Time // when the nodes were last asked how far they are
}

// step looks once.
func (f *fetch) step(ctx context.Context) (totals pin.Totals, done bool, err error) {
	if f.at == nil {
		skip := 0
		if f.again {
			f.tries++
			skip = f.tries
		}
		var posted bool
		if f.at, posted, err = f.e.place(ctx, f.want, skip); err != nil {
			return totals, false, err
		}
		f.since, f.again = time.Now(), false
		f.tried, f.grown = f.since, f.since
		if posted { // no peer has heard of it yet
			return totals, false, nil
		}
	}
	min := f.want.replication.Min
	all := f.e.askBut(ctx, f.want.dag, f.at.Allocations, f.want.attempt, min, f.seen)
	if ctx.Err() != nil {
		return totals, false, ctx.Err()
	}
	f.e.known.put(f.want.dag, f.want.attempt, f.want.replication, all)
	if all.count(f.want.attempt) >= min {
		totals, err = f.e.totals(ctx, f.want, all)
		if err != nil {
			return totals, false, err
		}
		if err := overLimits(totals, f.job.Limits, f.job.Repair); err != nil {
			return pin.Totals{}, false, err
		}
		if totals.Blocks > 0 {
			f.job.Progress.Set(totals.Blocks, totals.Bytes)
		}
		return totals, true, nil
	}
	f.seen = all
	text := all.text(f.want.attempt, f.want.replication)
	f.moved, f.last = text != f.last, text
	f.job.Progress.SetNote(text)
	f.progress(ctx, all)
	f.recover(ctx, all)
	if f.unheard(all) {
		f.at = nil
	}
	return totals, false, nil
}

// progress notes how far the nodes are.
func (f *fetch) progress(ctx context.Context, all copies) {
	now := time.Now()
	for _, c := range all {
		if c.status == isPinning && (c.tries <= 1 || now.Sub(c.since) > proven) {
			f.job.Progress.Works()
		}
	}
	if now.Sub(f.grown) < spaced(min(time.Second, f.e.cfg.PollMax), progressLooks*f.e.fetching.Load(), progressLooks*crowded*f.e.cfg.PollMax) {
		return
	}
	f.grown = now
	var most pin.Totals
	for _, c := range all {
		if c.status != isPinning && c.status != isPinned {
			continue
		}
		if n := f.e.nodeOf(ctx, c.node); n != nil {
			if t := n.progress(ctx, f.want.dag.CID()); t.Blocks > most.Blocks {
				most = t
			}
		}
	}
	if most.Blocks > f.job.Progress.Blocks.Load() {
		f.job.Progress.Set(most.Blocks, most.Bytes)
		f.job.Progress.Received.Store(most.Blocks)
	}
}

// recover has the peers try again as [Engine.recover] says, once in a while.
func (f *fetch) recover(ctx context.Context, all copies) {
	if time.Since(f.tried) >= f.e.cfg.HearWithin && f.e.recover(ctx, f.want.dag, f.want.attempt, all) {
		f.tried = time.Now()
	}
}

// recover has the peers try again whose nodes lost what they had, such as one that was replaced, or were away
// when they were asked to pin, and reports whether there are any. By themselves they do that every
// pin_recover_interval, 12 min.
func (e *Engine) recover(ctx context.Context, d pin.DAG, a pin.Attempt, all copies) (any bool) {
	for _, c := range all {
		p := e.byID(c.peer)
		if p == nil || c.attempt != a || c.status != isLost && (c.status != isPinError || !nodeWasAway(c.reason)) {
			continue
		}
		any = true
		if err := p.recover(ctx, d.CID()); err != nil { // it is asked again
			e.log.Debug("a peer is not asked to fetch what its node does not have", "cid", d, "err", err)
		}
	}
	return any
}

// nodeWasAway reports whether a peer could not ask its node to pin: its HTTP client says why, and not the node.
func nodeWasAway(reason string) bool { return strings.HasPrefix(reason, `Post "`) }

// unheard reports whether the pin is to be asked for again: some peers never heard of it, or are
// away for too long.
func (f *fetch) unheard(all copies) bool {
	waited := time.Since(f.since)
	for _, c := range all {
		switch {
		case c.err != nil:
			if waited >= f.e.cfg.ReplaceAfter {
				f.again = true
				return true
			}
		case c.attempt != f.want.attempt || c.status == isUnpinned || c.status == isRemote:
			if waited >= f.e.cfg.HearWithin {
				f.again = f.reads > 0 // what was asked for is there, and does not come to all
				f.reads++
				if f.again {
					f.e.warnUnheard(f.want.dag, f.tries, c)
				}
				return true
			}
		}
	}
	return len(all) == 0
}

// warnEvery is how often it is logged at most that pins do not come to all peers: it may be all pins of one.
const warnEvery = time.Minute

// warnUnheard logs that a peer has not heard of a pin that another one has in its pinset.
func (e *Engine) warnUnheard(d pin.DAG, skip int, by copyOf) {
	last, now := e.warned.Load(), time.Now().UnixNano()
	if now-last < int64(warnEvery) || !e.warned.CompareAndSwap(last, now) {
		return
	}
	e.log.Warn("a pin does not come to all peers of the cluster, and is asked for again at another one",
		"cid", d, "has_it", e.peerFor(d, skip).name(), "has_not", by.name,
		"hint", "if it is always the same that has it: is its ID in consensus.crdt.trusted_peers of the others?")
}

// overLimits refuses a DAG that turns out to exceed its limits.
func overLimits(t pin.Totals, l pin.Limits, repair bool) error {
	switch {
	case repair:
		return nil
	case l.Blocks > 0 && t.Blocks > l.Blocks:
		return pin.Refused("the DAG has %d blocks, and pin.max_dag_blocks allows %d", t.Blocks, l.Blocks)
	case l.Bytes > 0 && t.Bytes > l.Bytes:
		return pin.Refused("the DAG has %d bytes, and pin.max_dag_bytes allows %d", t.Bytes, l.Bytes)
	}
	return nil
}

// place sees to it that the pinset has what is wanted. If skip is not 0 it posts that also if it is there, by
// another peer than usual, as many after that one: the cluster then chooses other peers for those that are
// away. If there are no others, the pin stays as it is. posted says that the pin was asked for just now.
func (e *Engine) place(ctx context.Context, w wanted, skip int) (is *pinInfo, posted bool, err error) {
	unlock, err := e.lock(ctx, w.dag)
	if err != nil {
		return nil, false, err
	}
	defer unlock()
	// The attempt may have been released, and its DAG let go of, while this waited.
	if a, _, held, err := e.records.Held(ctx, w.dag); err != nil {
		return nil, false, err
	} else if !held || a != w.attempt {
		return nil, false, fmt.Errorf("ask the cluster for %s: %w", w.dag, pin.ErrSuperseded)
	}
	_, known := e.known.get(w.dag)
	read := (*peer).find
	if known {
		read = (*peer).allocation
	}
	var now *pinInfo
	err = e.eachFrom(ctx, w.dag, skip, func(p *peer) error {
		if now, err = read(p, ctx, w.dag.CID()); err != nil || skip == 0 && e.isAsWanted(now, w) {
			is = now
			return err
		}
		first := w
		if now != nil { // none gives way before it is known which of them are there; then a check sees to that
			first.replication.Max = max(w.replication.Max, len(now.Allocations))
		}
		is, err = e.postWanted(ctx, p, first, now)
		posted = err == nil
		return err
	})
	if tooFew(err) && e.isAsWanted(now, w) {
		return now, false, nil
	}
	if tooFew(err) {
		return nil, false, e.tooFewFor(ctx, w.replication, err)
	}
	return is, posted, err
}

// postWanted posts what is wanted. Without the origins, if the cluster cannot read one of them: they
// are hints.
func (e *Engine) postWanted(ctx context.Context, p *peer, w wanted, now *pinInfo) (is *pinInfo, err error) {
	q := e.optionsFor(w, now)
	undo := e.note(w.dag, w.attempt, q) // whatever other answer comes, it may have been written
	is, err = p.post(ctx, w.dag.CID(), q)
	if badOptions(err) && q.Has("origins") {
		q.Del("origins")
		is, err = p.post(ctx, w.dag.CID(), q)
	}
	if tooFew(err) {
		undo()
	}
	if badOptions(err) {
		err = fmt.Errorf("the cluster does not take the pin: %w", err)
	}
	return is, err
}

// tooFewFor is what to say if the cluster has too few peers with room for so many copies.
func (e *Engine) tooFewFor(ctx context.Context, r pin.Replication, why error) error {
	room, err := e.freespace(ctx)
	if err != nil {
		return err
	}
	alive := 0
	for _, p := range e.peers {
		if p.answers() {
			alive++
		}
	}
	alone := len(room) >= e.leastWithRoom() // others, which want fewer copies, go on
	if alive >= r.Min && len(room) < r.Min && !alone {
		return fmt.Errorf("%w: %d of the cluster's peers have room, and %d copies are wanted", pin.ErrDiskFull, len(room), r.Min)
	}
	e.log.Debug("too few peers for a pin", "err", why)
	reason := fmt.Sprintf("the cluster has %d peers with room that answer, and %d copies are wanted", len(room), r.Min)
	if len(room) >= r.Min { // a peer that was just started has not heard how much room the others have
		reason = fmt.Sprintf("a peer of the cluster does not know yet of %d peers with room, and so many copies are wanted", r.Min)
	}
	return &pin.AwayError{Reason: reason, Alone: alone}
}

// totals asks the nodes that have a DAG how large it is. It is zero if none of them can say.
func (e *Engine) totals(ctx context.Context, w wanted, all copies) (pin.Totals, error) {
	deadline := time.Now().Add(sizeTime)
	for {
		var failed error
		for _, c := range all {
			if !c.here(w.attempt) {
				continue
			}
			n := e.nodeOf(ctx, c.node)
			if n == nil {
				continue
			}
			t, known, err := n.totals(ctx, w.dag.CID())
			switch {
			case err != nil:
				failed = err
			case known:
				return t, nil
			}
		}
		if ctx.Err() != nil {
			return pin.Totals{}, ctx.Err()
		}
		if failed == nil {
			return pin.Totals{}, nil
		}
		if time.Now().After(deadline) {
			return pin.Totals{}, fmt.Errorf("ask how large %s is: %w", w.dag, failed)
		}
		select {
		case <-ctx.Done():
			return pin.Totals{}, ctx.Err()
		case <-time.After(e.cfg.PollMax):
		}
	}
}
