package pintest

import (
	"context"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// Keep implements [pin.Work].
func (r *Records) Keep(ctx context.Context, d pin.DAG, a pin.Attempt, p pin.Kept) error {
	if err := r.enter(ctx, "Keep"); err != nil {
		return err
	}
	defer r.mu.Unlock()
	if rec := r.dags[d]; rec != nil && a != 0 && rec.attempt == a && !rec.complete && !rec.repairing() {
		p.Last = p.Last.Truncate(time.Millisecond)
		rec.partial = p
	}
	return nil
}

// Kept implements [pin.Work].
func (r *Records) Kept(ctx context.Context, d pin.DAG) (pin.Kept, bool, error) {
	if err := r.enter(ctx, "Kept"); err != nil {
		return pin.Kept{}, false, err
	}
	defer r.mu.Unlock()
	if rec := r.dags[d]; rec != nil {
		return rec.partial, rec.repairing(), nil
	}
	return pin.Kept{}, false, nil
}

// GiveWay implements [pin.Work].
func (r *Records) GiveWay(ctx context.Context, d pin.DAG) ([]pin.Attempt, error) {
	if err := r.enter(ctx, "GiveWay"); err != nil {
		return nil, err
	}
	defer r.mu.Unlock()
	rec := r.dags[d]
	if rec == nil || rec.attempt == 0 || rec.partial.Last.IsZero() {
		return nil, nil
	}
	a := rec.attempt
	r.deleting[a] = d
	rec.attempt, rec.partial.Blocks, rec.partial.Bytes = 0, 0, 0
	return []pin.Attempt{a}, nil
}

// Partials implements [pin.Work].
func (r *Records) Partials(ctx context.Context) iter.Seq2[pin.Waiting, error] {
	return func(yield func(pin.Waiting, error) bool) {
		if err := r.enter(ctx, "Partials"); err != nil {
			yield(pin.Waiting{}, err)
			return
		}
		var found []pin.Waiting
		for _, d := range slices.Sorted(maps.Keys(r.dags)) {
			w := pin.Waiting{DAG: d, Kept: r.dags[d].partial}
			if w.Last.IsZero() {
				continue
			}
			for _, req := range r.all() {
				if req.DAG() == d && !req.Status.Done() && !slices.Contains(w.Accounts, req.Account) {
					w.Accounts = append(w.Accounts, req.Account)
				}
			}
			if len(w.Accounts) > 0 {
				found = append(found, w)
			}
		}
		r.mu.Unlock()
		for _, w := range found {
			if !yield(w, nil) {
				return
			}
		}
	}
}
