package daemon

import (
	"context"
	"strconv"
	"time"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/pin"
)

const (
	// restoreWait is how long no pin may get further before the restore lets go of blocks that
	// nobody holds: a fetch that finds nothing is parked after 20 s.
	restoreWait = time.Minute
	restoreLook = 50 * time.Millisecond
)

// wait waits until the DAGs of requests that were pinned in the backup are here, or get no further.
func (r *requestsRestore) wait(ctx context.Context, account string, page []pin.Request) error {
	for _, was := range page {
		if was.Status == pin.Failed || was.Damaged {
			continue
		}
		for {
			at, err := r.pinning(ctx, account, was.DAG())
			if err != nil {
				return err
			}
			if at.id == "" {
				break
			}
			if was.Status != pin.Pinned {
				r.done.Waiting++
				break
			}
			if r.pace.over(time.Now(), at) {
				r.done.Waiting++
				r.done.Stuck++
				break
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(restoreLook):
			}
		}
		r.total++
		r.progress(admin.StoreProgress{Text: "pinning", Done: r.total, Total: r.done.Requests + r.done.There})
	}
	return nil
}

// pinningAt is how far a pin is that is not pinned yet.
type pinningAt struct {
	id      string // "" is that nothing more is to be waited for
	blocks  uint64 // that it has
	pending int    // pins of its account that are not pinned yet
}

func (r *requestsRestore) pinning(ctx context.Context, account string, d pin.DAG) (at pinningAt, err error) {
	q := pin.Query{Statuses: []pin.Status{pin.Queued, pin.Pinning}, DAGs: []pin.DAG{d}, Limit: 1}
	page, err := r.pins.List(ctx, account, q)
	if err != nil || len(page.Views) == 0 {
		return at, err
	}
	q.DAGs = nil
	all, err := r.pins.List(ctx, account, q)
	if err != nil {
		return at, err
	}
	at.id, at.pending = page.Views[0].ID, all.Count
	at.blocks, _ = strconv.ParseUint(page.Views[0].Info["blocks"], 10, 64) // none is 0
	return at, nil
}

// restorePace says when a restore waits no longer. All pins share one limit: if each had its own,
// a thousand that get no further would keep reclaims waiting for a day.
type restorePace struct {
	moved time.Time // when the pin that was looked at got further, or another was pinned
	ended bool      // restoreWait went by
	last  pinningAt // the pin that was looked at, with its most blocks and the fewest pending pins
}

// over reports whether a pin, which is not pinned yet, is waited for no longer.
func (p *restorePace) over(now time.Time, at pinningAt) bool {
	switch {
	case p.ended:
		return true
	case at.id != p.last.id: // another pin is looked at, which is no progress of it
		if p.last.id != "" && at.pending < p.last.pending {
			p.moved = now
		}
		p.last = at
	case at.blocks > p.last.blocks || at.pending < p.last.pending:
		p.moved = now
		p.last.blocks, p.last.pending = max(at.blocks, p.last.blocks), min(at.pending, p.last.pending)
	}
	p.ended = now.Sub(p.moved) > restoreWait
	return p.ended
}
