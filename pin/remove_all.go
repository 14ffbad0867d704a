package pin

import (
	"context"
	"errors"
	"fmt"
)

// removePage is how many requests removeAll removes at the same time, so that they share
// syncs.
const removePage = 1000

// removeAll calls remove with every request of an account, until none is left, and
// returns how many it removed. It stops after a page in which one failed. A request that
// is gone already is no failure.
func removeAll(ctx context.Context, rs Requests, account string, remove func(ctx context.Context, account, id string) error) (removed int, err error) {
	q := Query{Statuses: Statuses(), Limit: removePage}
	for {
		page, err := rs.List(ctx, account, q)
		if err != nil {
			return removed, fmt.Errorf("list pins to remove: %w", err)
		}
		if len(page.Requests) == 0 {
			return removed, nil
		}
		errs := make(chan error, len(page.Requests))
		for _, r := range page.Requests {
			go func() { errs <- remove(ctx, account, r.ID) }()
		}
		var failed error
		for range page.Requests {
			switch err := <-errs; {
			case err == nil:
				removed++
			case !errors.Is(err, ErrNotFound):
				failed = err
			}
		}
		if failed != nil {
			return removed, fmt.Errorf("remove pins: %w", failed)
		}
	}
}
