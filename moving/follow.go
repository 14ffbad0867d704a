package moving

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
)

const (
	// lookEvery is how often the requests that are under way are listed at most.
	lookEvery = time.Second
	// lookShare is how much longer than a list takes it is waited before the next.
	lookShare = 10
	// dialEvery is how often a source is told to connect again, should it have lost the
	// connection.
	dialEvery = 30 * time.Second
)

// follow waits until nothing that was asked for is under way any more, or none of it has
// moved for the time of r.Patience.
func (r *run) follow(ctx context.Context) error {
	moved, dialled := time.Now(), time.Now()
	if len(r.Addrs) == 0 {
		dialled = time.Time{} // only now the addresses are known
	}
	for last := ""; len(r.asked) > 0; {
		began := time.Now()
		open, state, err := r.underWay(ctx)
		if err != nil {
			return err
		}
		r.Progress(Progress{Listed: r.report.Listed, Asked: len(r.asked), Done: r.report.Listed - open})
		if open == 0 {
			return nil
		}
		now := time.Now()
		if state != last {
			last, moved = state, now
		}
		if now.Sub(moved) >= r.Patience {
			return nil
		}
		if r.dialer != nil && now.Sub(dialled) >= dialEvery {
			dialled = now
			r.dial(ctx)
		}
		if err := sleep(ctx, max(lookEvery, lookShare*now.Sub(began))); err != nil {
			return err
		}
	}
	return nil
}

// underWay counts the requests that are neither pinned nor failed. state is another text if
// any of them has moved.
func (r *run) underWay(ctx context.Context) (open int, state string, err error) {
	var blocks uint64
	err = r.dst.Requests(ctx, []pin.Status{pin.Queued, pin.Pinning}, func(q Request) error {
		if _, ours := r.asked[q.ID]; ours {
			open++
			blocks += count(q.Blocks)
		}
		return nil
	})
	return open, fmt.Sprint(open, blocks), err
}

func count(text string) (n uint64) {
	_, _ = fmt.Sscan(text, &n) // 0 if it is no number
	return n
}

// concludeTime bounds how long the last look takes after an interrupt.
const concludeTime = 20 * time.Second

// conclude finds out what became of the requests, also after an interrupt.
func (r *run) conclude(ctx context.Context) error {
	if len(r.asked) == 0 {
		return nil
	}
	if ctx.Err() != nil {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), concludeTime)
		defer cancel()
		ctx = last
	}
	found := map[string]Request{}
	err := r.dst.Requests(ctx, pin.Statuses(), func(q Request) error {
		if _, ours := r.asked[q.ID]; ours {
			q.Pin.Origins, q.Pin.Meta, q.Delegates = nil, nil, nil // there may be millions
			found[q.ID] = q
		}
		return nil
	})
	if err != nil { // all that is known is that they were asked for
		r.report.Outcomes[Waiting] += len(r.asked)
		return fmt.Errorf("look what became of the pins: %w", err)
	}
	for id := range r.asked {
		q, ok := found[id]
		switch {
		case !ok:
			r.report.add(Pin{}, Failed, "it was removed at the target meanwhile")
		case q.Status == pin.Pinned:
			r.report.add(q.Pin, Pinned, "")
		case q.Status == pin.Failed:
			r.report.add(q.Pin, Failed, cmp.Or(q.Details, "the target does not say why"))
		default:
			r.report.add(q.Pin, Waiting, cmp.Or(q.Details, "it is "+string(q.Status)))
		}
	}
	return nil
}
