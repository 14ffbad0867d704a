package pin

import (
	"context"
	"fmt"
)

// Refetcher takes back that a DAG is complete. What implements [Records] does
// this too.
type Refetcher interface {
	// Refetch makes a DAG that is complete one that is fetched, under the same
	// attempt, and its pinned requests Pinning, so that everything of it is
	// hashed again and what is damaged or missing is fetched. Failed requests
	// stay as they are. The mark is atomic, with at least one request; others
	// follow in as many commits as they need, and one that a crash leaves
	// Pinned is right again once the DAG is. It gives some of the requests
	// that are Pinning now, at least one if there are any.
	// Errors: ErrNotFound if nothing holds the DAG.
	Refetch(ctx context.Context, d DAG) (some []Request, err error)
}

// Repair has a DAG that was complete hashed again as a whole, and fetches what
// is damaged or missing. It returns when that is recorded, long before it is
// done. Errors: those of [Refetcher].Refetch.
func (m *Manager) Repair(ctx context.Context, r Refetcher, d DAG) error {
	if err := m.enter(); err != nil {
		return err
	}
	defer m.calls.Done()
	some, err := r.Refetch(ctx, d)
	if err != nil {
		return fmt.Errorf("repair: %w", err)
	}
	for _, req := range some {
		m.joined(req)
	}
	return nil
}
