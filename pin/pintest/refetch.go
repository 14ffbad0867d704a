package pintest

import (
	"context"

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
	rec.complete = false // what replaced it is charged for as much as it was
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
	return some, nil
}
