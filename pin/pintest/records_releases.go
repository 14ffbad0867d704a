package pintest

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// Released implements [pin.Releases].
func (r *Records) Released(ctx context.Context) ([]pin.Attempt, error) {
	if err := r.enter(ctx, "Released"); err != nil {
		return nil, err
	}
	defer r.mu.Unlock()
	all := slices.Sorted(maps.Keys(r.deleting))
	return slices.DeleteFunc(all, r.isKept), nil
}

// ReleasedDAG implements [pin.Releases].
func (r *Records) ReleasedDAG(ctx context.Context, a pin.Attempt) (pin.DAG, error) {
	if err := r.enter(ctx, "ReleasedDAG"); err != nil {
		return "", err
	}
	defer r.mu.Unlock()
	d := r.deleting[a]
	if d == "" {
		return "", pin.ErrNotFound
	}
	return d, nil
}

// Dropped implements [pin.Releases].
func (r *Records) Dropped(ctx context.Context, a pin.Attempt) error {
	if err := r.enter(ctx, "Dropped"); err != nil {
		return err
	}
	defer r.mu.Unlock()
	for d, rec := range r.dags {
		if rec.attempt == a && a != 0 {
			return fmt.Errorf("attempt %d at %s is not released", a, d)
		}
	}
	delete(r.deleting, a)
	return nil
}

// Roots implements [pin.Work].
func (r *Records) Roots(ctx context.Context) iter.Seq2[pin.DAG, error] {
	return func(yield func(pin.DAG, error) bool) {
		if err := r.enter(ctx, "Roots"); err != nil {
			yield("", err)
			return
		}
		var found []pin.DAG
		for d, rec := range r.dags {
			if rec.complete {
				found = append(found, d)
			}
		}
		r.mu.Unlock()
		slices.Sort(found)
		for _, d := range found {
			if err := ctx.Err(); err != nil {
				yield("", err)
				return
			}
			if !yield(d, nil) {
				return
			}
		}
	}
}

// NewUpload gives the attempt of an upload: it is for no DAG, and is released from the start.
func (r *Records) NewUpload(ctx context.Context) (pin.Attempt, error) {
	if err := r.enter(ctx, "NewUpload"); err != nil {
		return 0, err
	}
	defer r.mu.Unlock()
	r.attempts++
	r.deleting[r.attempts] = ""
	return r.attempts, nil
}

// release forgets every DAG that nothing holds, releases its attempt, and lists those that
// it released.
func (r *Records) release() []pin.Attempt {
	r.forgetDelivered()
	kept := map[pin.DAG]bool{}
	for _, req := range r.requests {
		for _, d := range held(req) {
			kept[d] = true
		}
	}
	for _, l := range r.lingers {
		kept[l.dag] = true
	}
	var released []pin.Attempt
	for d, rec := range r.dags {
		if kept[d] {
			continue
		}
		delete(r.dags, d)
		if rec.attempt != 0 {
			r.deleting[rec.attempt] = d
			released = append(released, rec.attempt)
		}
	}
	slices.Sort(released)
	return released
}
