package daemon

import (
	"context"
	"time"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store"
)

// restoreLook is how often it is looked whether a pin is done: a person sees no delay, and thousands
// of pins that are done cost one look each.
const restoreLook = 50 * time.Millisecond

// wait waits until nothing of some requests is left for the restore to hold: their pins hold all
// that their fetches came to. A fetch goes on as long as it finds something, here or elsewhere, so
// there is no limit of time. One that finds nothing more is put off after some seconds, and then
// holds what it has. What is below a block that nobody has it could not come to: that goes with the
// next reclaim, and the pin counts as stuck.
func (r *requestsRestore) wait(ctx context.Context, account string, page []pin.Request) error {
	for _, was := range page {
		if was.Status == pin.Failed || was.Damaged {
			continue
		}
		reach, err := r.awaitReach(ctx, account, was)
		if err != nil {
			return err
		}
		if reach != pin.ReachedEnd {
			r.done.Waiting++
			if was.Status == pin.Pinned {
				r.done.Stuck++
			}
		}
		r.total++
		r.progress(admin.StoreProgress{Text: "pinning", Done: r.total, Total: r.done.Requests + r.done.There})
	}
	return nil
}

// awaitReach waits until the fetch of a request's DAG does not go on. It does not wait for a request
// that was not pinned in the backup, if its root is not here: nothing of it can be held.
func (r *requestsRestore) awaitReach(ctx context.Context, account string, was pin.Request) (pin.Reach, error) {
	for {
		reach, err := r.pins.Reach(ctx, account, was.DAG())
		if err != nil || reach != pin.ReachesOn {
			return reach, err
		}
		if was.Status != pin.Pinned {
			has, err := r.stock.Has(ctx, was.Root.Hash())
			if err != nil || !has {
				return reach, err
			}
		}
		if r.stock.Lost() {
			return reach, store.ErrKeepLost
		}
		select {
		case <-ctx.Done():
			return reach, ctx.Err()
		case <-time.After(restoreLook):
		}
	}
}
