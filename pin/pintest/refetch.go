package pintest

import (
	"context"
	"slices"

	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
)

var _ pin.Refetcher = (*Records)(nil)

// Refetch implements [pin.Refetcher]. It gives all of the requests.
func (r *Records) Refetch(ctx context.Context, d pin.DAG) (some []pin.Request, err error) {
	if err := r.enter(ctx, "Refetch"); err != nil {
		return nil, err
	}
	defer r.mu.Unlock()
	rec, ok := r.dags[d]
	if !ok {
		return nil, pin.ErrNotFound
	}
	rec.complete = false // a request that replaced one of its requests is still charged for it
	for _, req := range r.requests {
		if req.DAG() != d {
			continue
		}
		if req.Status == pin.Pinned {
			req.Status = pin.Pinning
		}
		if req.Status == pin.Pinning {
			some = append(some, r.public(req))
		}
	}
	r.forgetDelivered()
	return some, nil
}

// NotWhole implements [pin.Refetcher], as if each DAG were its root alone. It has no marks
// to take back.
func (r *Records) NotWhole(ctx context.Context, blocks []multihash.Multihash) (dags []pin.DAG, marks int, err error) {
	if err := r.enter(ctx, "NotWhole"); err != nil {
		return nil, 0, err
	}
	defer r.mu.Unlock()
	for d, rec := range r.dags {
		if rec.attempt != 0 && slices.ContainsFunc(blocks, func(h multihash.Multihash) bool { return string(h) == string(d.CID().Hash()) }) {
			dags = append(dags, d)
		}
	}
	return dags, 0, nil
}

// Repairing implements [pin.Work].
func (r *Records) Repairing(ctx context.Context, d pin.DAG) (bool, error) {
	if err := r.enter(ctx, "Repairing"); err != nil {
		return false, err
	}
	defer r.mu.Unlock()
	rec, ok := r.dags[d]
	return ok && rec.repairing(), nil
}
