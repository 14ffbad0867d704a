package cluster

import (
	"context"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// mendForgotten sees to a pin that others have, and that the peer whose pinset was read does not: it lost
// that when it was killed, and never learns of it again, or it has only just joined. What is asked for once
// more comes to it as a new pin does.
func (r *round) mendForgotten(ctx context.Context, d pin.DAG, a pin.Attempt, is *pinInfo) error {
	name := r.lister.name()
	at := copyAt{d.CID(), r.lister.base}
	there, err := r.lister.allocation(ctx, d.CID())
	if err != nil {
		return ctx.Err() // it is away by now
	}
	r.e.check.mu.Lock()
	since, known := r.e.check.forgotten[at]
	switch {
	case there != nil:
		delete(r.e.check.forgotten, at)
	case !known:
		if len(r.e.check.forgotten) >= maxCandidates { // of pins that are gone by now, too
			clear(r.e.check.forgotten)
		}
		since = time.Now()
		r.e.check.forgotten[at] = since
	}
	r.e.check.mu.Unlock()
	if there != nil {
		return nil
	}
	if w, err := r.e.want(ctx, d, a, nil); err != nil || !r.e.isAsWanted(is, w) {
		return err // it is asked for otherwise, as an outdated one
	}
	diff := Difference{Kind: Missing, CID: d.String(), Peer: name, Text: "the pinset of this peer does not have it, and others do"}
	if left := r.e.cfg.LostAfter - time.Since(since); left > 0 {
		diff.Text += "; unless it comes, it is asked for again in " + left.Round(time.Minute).String()
		return r.outcome(ctx, diff, nil)
	}
	if wait := r.holdsUp(is); wait != "" {
		diff.Text += wait
		return r.outcome(ctx, diff, nil)
	}
	if r.repair {
		if err = r.again(ctx, d, a); err == nil {
			r.e.check.mu.Lock()
			delete(r.e.check.forgotten, at)
			r.e.check.mu.Unlock()
		}
	}
	diff.Mended = true
	return r.outcome(ctx, diff, err)
}

// holdsUp says which peer has to have room or to answer before a pin is asked for again: the cluster would
// take the copy from it. It is "" if none has to.
func (r *round) holdsUp(is *pinInfo) string {
	for _, id := range is.Allocations {
		if _, ok := r.room[id]; !ok && !r.e.isGone(id) {
			return "; that waits until " + r.e.nameOf(id) + " has room or answers again"
		}
	}
	return ""
}
