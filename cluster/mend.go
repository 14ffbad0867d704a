package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// mend looks at each candidate once more, tells those that are real, and mends them with repair.
func (r *round) mend(ctx context.Context) error {
	steps := []func(context.Context) error{
		each(r.missing, r.mendMissing), each(r.lost, r.mendLost), each(r.few, r.mendFew),
		each(r.outdate, r.mendOutdated), each(r.orphans, r.mendOrphan), each(r.strays, r.mendStray),
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// each calls fn with one after the other, with pauses, until ctx ends or no peer answers.
func each[T any](all []T, fn func(context.Context, T) error) func(context.Context) error {
	return func(ctx context.Context) error {
		for _, one := range all {
			if err := fn(ctx, one); err != nil {
				return err
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(mendPause):
			}
		}
		return nil
	}
}

// outcome tells a difference after it was mended or was not. An error that concerns all others too
// ends the check.
func (r *round) outcome(ctx context.Context, d Difference, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	d.Err, d.Mended = err, err == nil && r.repair && d.Mended
	r.found(d)
	if r.e.Reachable() != nil {
		return errAllAway(err)
	}
	return nil
}

// refused tells of a candidate that the cluster refuses to say anything of: the others are mended
// nevertheless. Another error ends the check.
func (r *round) refused(ctx context.Context, kind string, d pin.DAG, err error) error {
	if _, ok := errors.AsType[*refusal](err); !ok {
		return err
	}
	return r.outcome(ctx, Difference{Kind: kind, CID: d.String(), Text: "it seems so, and the cluster says nothing more of it"}, err)
}

// look reads a pin from the pinset, and what the records have of its DAG.
func (r *round) look(ctx context.Context, d pin.DAG) (is *pinInfo, a pin.Attempt, complete, held bool, err error) {
	if a, complete, held, err = r.e.records.Held(ctx, d); err != nil {
		return nil, 0, false, false, err
	}
	is, err = r.e.allocation(ctx, d)
	return is, a, complete, held, err
}

func (r *round) mendMissing(ctx context.Context, d pin.DAG) error {
	is, a, complete, held, err := r.look(ctx, d)
	if err != nil {
		return r.refused(ctx, Missing, d, err)
	}
	if !held || !complete || r.e.settles(d, a, is) {
		return nil
	}
	if is != nil && r.e.attemptIn(is.Metadata) == a {
		return r.mendForgotten(ctx, d, a, is)
	}
	text := "it is pinned here, and the cluster was not asked for it or has lost that"
	if is != nil {
		text = "it is pinned here, and the pinset does not say so"
	}
	if r.repair {
		err = r.post(ctx, d, a)
	}
	return r.outcome(ctx, Difference{Kind: Missing, CID: d.String(), Text: text, Mended: true}, err)
}

// post asks for what is wanted of a DAG, unless it is there so. The peers whose nodes have it are to keep
// it: a cluster that has lost its pinset does not know them, and would unpin it there and have others
// fetch it.
func (r *round) post(ctx context.Context, d pin.DAG, a pin.Attempt) error {
	w, err := r.e.want(ctx, d, a, nil)
	if err != nil {
		return err
	}
	for id, there := range r.there {
		if there.has(d.CID()) {
			w.first = append(w.first, id)
		}
	}
	_, _, err = r.e.place(ctx, w, 0)
	return err
}

// again asks for what is wanted of a DAG, whatever is there: the cluster chooses other peers for
// those that are away or full.
func (r *round) again(ctx context.Context, d pin.DAG, a pin.Attempt) error {
	w, err := r.e.want(ctx, d, a, nil)
	if err != nil {
		return err
	}
	_, err = r.e.replace(ctx, w)
	return err
}

// replace posts what is wanted, whatever is there, and gives what the cluster made of it; nil if
// the DAG was let go of meanwhile.
func (e *Engine) replace(ctx context.Context, w wanted) (posted *pinInfo, err error) {
	unlock, err := e.lock(ctx, w.dag)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if a, _, held, err := e.records.Held(ctx, w.dag); err != nil || !held || a != w.attempt {
		return nil, err
	}
	err = e.each(ctx, w.dag, func(p *peer) error {
		is, err := p.allocation(ctx, w.dag.CID())
		if err != nil {
			return err
		}
		posted, err = e.postWanted(ctx, p, w, is)
		return err
	})
	if tooFew(err) {
		return nil, e.tooFewFor(ctx, w.replication, err)
	}
	return posted, err
}

func (r *round) mendOutdated(ctx context.Context, d pin.DAG) error {
	is, a, complete, held, err := r.look(ctx, d)
	if err != nil {
		return r.refused(ctx, Outdated, d, err)
	}
	if is == nil || !held || !complete || r.e.attemptIn(is.Metadata) != a {
		return nil
	}
	if _, moves := r.e.moving.Load(d); moves { // it has a copy more meanwhile
		return nil
	}
	w, err := r.e.want(ctx, d, a, nil)
	if err != nil {
		return err
	}
	if !r.e.isOutdated(is, w) || r.e.settles(d, a, is) {
		return nil
	}
	text := "the pinset has other requests for it than there are"
	if !r.e.isAsWanted(is, w) {
		text = fmt.Sprintf("the pinset has it in %s copies, and %s are wanted", pin.Replication{Min: is.Min, Max: is.Max}, w.replication)
	}
	diff := Difference{Kind: Outdated, CID: d.String(), Text: text}
	if wait := r.holdsUp(is); wait != "" {
		diff.Text += wait
		return r.outcome(ctx, diff, nil)
	}
	if lack := r.e.keepsWithout(ctx, is, w); len(lack) > 0 {
		diff.Text += "; that waits until " + strings.Join(lack, " and ") + " have it, since the cluster chooses which copies go"
		return r.outcome(ctx, diff, ctx.Err())
	}
	if r.repair {
		_, err = r.e.replace(ctx, w)
	}
	diff.Mended = true
	return r.outcome(ctx, diff, err)
}

// keepsWithout names the peers that are to have a pin and do not, if the pinset has it on more than are
// wanted. Asked for fewer, the cluster could keep it on those alone.
func (e *Engine) keepsWithout(ctx context.Context, is *pinInfo, w wanted) (lack []string) {
	if len(is.Allocations) <= w.replication.With(was(is).replication).Max {
		return nil
	}
	for _, c := range e.ask(ctx, w.dag, is.Allocations, w.attempt, 0) {
		if !c.here(w.attempt) {
			lack = append(lack, c.name)
		}
	}
	return lack
}

func (r *round) mendFew(ctx context.Context, d pin.DAG) error {
	is, a, complete, held, err := r.look(ctx, d)
	if err != nil {
		return r.refused(ctx, Few, d, err)
	}
	if is == nil || !held || !complete || r.e.attemptIn(is.Metadata) != a {
		return nil
	}
	all := r.e.ask(ctx, d, is.Allocations, a, 0)
	have := all.count(a)
	if have >= is.Min || r.e.settles(d, a, is) {
		return nil
	}
	now := time.Now()
	r.e.check.mu.Lock()
	since, known := r.e.check.below[d]
	r.e.check.mu.Unlock()
	if !known {
		since = now
	}
	r.below[d] = since
	diff := Difference{Kind: Few, CID: d.String(), Text: all.text(a, pin.Replication{Min: is.Min, Max: is.Max})}
	if now.Sub(since) < r.e.cfg.LostAfter {
		diff.Text += "; unless they come back, other peers get it in " + (r.e.cfg.LostAfter - now.Sub(since)).Round(time.Minute).String()
		diff.Mended = r.repair && r.e.recover(ctx, d, a, all)
		return r.outcome(ctx, diff, nil)
	}
	if r.repair {
		if err = r.again(ctx, d, a); err == nil {
			r.below[d] = now // the new copies have their time
		}
	}
	diff.Mended = true
	return r.outcome(ctx, diff, err)
}

func (r *round) mendLost(ctx context.Context, at copyAt) error {
	p := r.e.byID(at.peer)
	if p == nil || !p.answers() {
		return nil
	}
	s, _, err := p.status(ctx, at.peer, at.cid)
	if err != nil {
		return ctx.Err()
	}
	if s.Status != isLost {
		return nil
	}
	if r.repair {
		err = p.recover(ctx, at.cid)
	}
	return r.outcome(ctx, Difference{
		Kind: Lost, CID: at.cid.String(), Peer: p.name(), Text: "its node does not have it, and should; it is fetched again", Mended: true,
	}, err)
}

func (r *round) mendOrphan(ctx context.Context, d pin.DAG) error {
	is, _, _, held, err := r.look(ctx, d)
	if err != nil {
		return r.refused(ctx, Orphan, d, err)
	}
	diff := Difference{Kind: Orphan, CID: d.String()}
	var only *peer
	if !held && is == nil { // it may be that the peer whose pinset was read did not hear of the removal
		only, diff.Peer = r.lister, r.lister.name()
		if is, err = only.allocation(ctx, d.CID()); err != nil {
			return ctx.Err() // it is away by now
		}
	}
	if held || is == nil || r.e.attemptIn(is.Metadata) == 0 {
		return nil
	}
	if !r.e.isOwnLife(is.Metadata) {
		diff.Text = "it was asked for before a backup was restored here, and no record has it: `holdfast cluster import` makes requests of it"
		return r.outcome(ctx, diff, nil)
	}
	diff.Text, diff.Mended = "the pinset keeps it, and nothing here needs it any more", true
	if r.repair {
		err = r.removeOrphan(ctx, d, r.e.attemptIn(is.Metadata), only)
	}
	return r.outcome(ctx, diff, err)
}

// removeOrphan lets go of a DAG that nothing holds: at one peer, unless that is nil.
func (r *round) removeOrphan(ctx context.Context, d pin.DAG, a pin.Attempt, at *peer) error {
	unlock, err := r.e.lock(ctx, d)
	if err != nil {
		return err
	}
	defer unlock()
	if _, _, held, err := r.e.records.Held(ctx, d); err != nil || held {
		return err
	}
	if at != nil {
		_, err = r.e.letGoAt(ctx, at, d, a)
	} else {
		_, err = r.e.letGo(ctx, d, a)
	}
	return err
}

func (r *round) mendStray(ctx context.Context, at copyAt) error {
	diff, err := r.unpinStray(ctx, at)
	if err != nil {
		return r.refused(ctx, Stray, pin.DAGOf(at.cid), err)
	}
	if diff.Kind == "" {
		return nil
	}
	return r.outcome(ctx, diff, diff.Err)
}

// unpinStray unpins at its node what the pinset does not have there. If it does not have it at all,
// only what this server let go of is unpinned: a node may have pins of its own. If it has it on other
// peers, these must have enough copies. The zero Difference is that there is no stray. It holds the
// lock of the DAG, and so does not tell what it found: whoever is told may be slow.
func (r *round) unpinStray(ctx context.Context, at copyAt) (diff Difference, err error) {
	p := r.e.byID(at.peer)
	d := pin.DAGOf(at.cid)
	if p == nil || !d.CID().Equals(at.cid) {
		return diff, nil
	}
	let, err := r.e.journal.has(ctx, d)
	if err != nil {
		return diff, err
	}
	unlock, err := r.e.lock(ctx, d)
	if err != nil {
		return diff, err
	}
	defer unlock()
	is, a, _, held, err := r.look(ctx, d)
	if err != nil {
		return diff, err
	}
	text := "it was unpinned here, and the peer's node still has it"
	switch {
	case is == nil && (held || !let), r.e.settles(d, a, is):
		return diff, nil
	case is != nil:
		ours := r.e.attemptIn(is.Metadata)
		if ours == 0 || len(is.Allocations) == 0 || slices.Contains(is.Allocations, at.peer) {
			return diff, nil
		}
		enough := max(is.Min, 1)
		if r.e.ask(ctx, d, is.Allocations, ours, enough).count(ours) < enough {
			return diff, ctx.Err() // this copy may be the only one
		}
		text = "its node has it, and the pinset has it on other peers"
	}
	of, _ := p.state()
	n := r.e.nodeOf(ctx, of.Node.ID)
	if n == nil {
		return diff, nil
	}
	s, _, err := p.status(ctx, at.peer, at.cid)
	if err != nil || s.Status != isRemote && s.Status != isUnpinned && s.Status != isUnpinError {
		return diff, ctx.Err() // the peer does something about it, or does not answer
	}
	if there, err := n.has(ctx, at.cid); err != nil || !there {
		return diff, ctx.Err()
	}
	diff = Difference{Kind: Stray, CID: at.cid.String(), Peer: p.name(), Text: text, Mended: true}
	if r.repair {
		diff.Err = n.remove(ctx, at.cid)
	}
	return diff, nil
}

// has reports whether the node has a CID pinned.
func (n *nodeRPC) has(ctx context.Context, c cid.Cid) (bool, error) {
	err := n.get(ctx, "pin/ls", pinQuery(c), nil)
	if _, ok := errors.AsType[*rpcError](err); ok {
		return false, nil
	}
	return err == nil, err
}
