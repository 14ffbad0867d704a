package pintest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// linger is a DAG that lingers for an account.
type linger struct {
	account string
	dag     pin.DAG
	since   time.Time
	totals  pin.Totals
}

// keptUpload is an upload that is kept for an account.
type keptUpload struct {
	account string
	attempt pin.Attempt
	since   time.Time
	totals  pin.Totals
}

// For implements [pin.Requests].
func (r *Records) For(ctx context.Context, account string, c cid.Cid, limit int) ([]pin.Request, error) {
	if err := r.enter(ctx, "For"); err != nil {
		return nil, err
	}
	defer r.mu.Unlock()
	var found []pin.Request
	for _, req := range slices.Backward(r.all()) {
		if req.Account == account && req.Root.Equals(c) && len(found) < limit {
			found = append(found, r.public(req))
		}
	}
	return found, nil
}

// Linger implements [pin.Graces].
func (r *Records) Linger(ctx context.Context, account, id string) (pin.Request, []pin.Attempt, error) {
	if err := r.enter(ctx, "Linger"); err != nil {
		return pin.Request{}, nil, err
	}
	defer r.mu.Unlock()
	req, err := r.find(account, id)
	if err != nil {
		return pin.Request{}, nil, err
	}
	old := r.public(req)
	delete(r.requests, id)
	if d := old.DAG(); old.Status != pin.Failed && !r.live(account, nil)[d] {
		l := linger{account: account, dag: d, since: r.now().Truncate(time.Millisecond)}
		rec := r.dags[d]
		if l.totals = rec.totals; !rec.complete && !rec.repairing() {
			l.totals = pin.Totals{Blocks: rec.partial.Blocks, Bytes: rec.partial.Bytes}
		}
		r.lingers = append(r.lingers, l)
	}
	return old, r.release(), nil
}

// revive ends the lingering of a DAG for an account.
func (r *Records) revive(account string, d pin.DAG) {
	r.lingers = slices.DeleteFunc(r.lingers, func(l linger) bool { return l.account == account && l.dag == d })
}

// Lingering implements [pin.Graces].
func (r *Records) Lingering(ctx context.Context) (sum pin.Lingering, err error) {
	if err := r.enter(ctx, "Lingering"); err != nil {
		return sum, err
	}
	defer r.mu.Unlock()
	for _, l := range r.lingers {
		sum.DAGs++
		add(&sum.Totals, l.totals)
	}
	return sum, nil
}

func add(sum *pin.Totals, t pin.Totals) {
	sum.Blocks += t.Blocks
	sum.Bytes += t.Bytes
}

// graceOver reports whether what began at since is so old. If the clock was set back, it begins now.
func (r *Records) graceOver(since *time.Time, age time.Duration) bool {
	now := r.now().Truncate(time.Millisecond)
	if since.After(now) {
		*since = now
	}
	return now.Sub(*since) >= age
}

// lasted reports whether what began at since has lasted for so long. What begins in the future begins
// now.
func (r *Records) lasted(since time.Time, age time.Duration) bool {
	return max(r.now().Truncate(time.Millisecond).Sub(since), 0) >= age
}

// EndLingering implements [pin.Graces].
func (r *Records) EndLingering(ctx context.Context, account string, age time.Duration) (e pin.Ended, more bool, err error) {
	if err := r.enter(ctx, "EndLingering"); err != nil {
		return e, false, err
	}
	defer r.mu.Unlock()
	var left []linger
	for _, l := range r.lingers {
		if account != "" && l.account != account || !r.graceOver(&l.since, age) {
			left = append(left, l)
			continue
		}
		e.Graces++
		add(&e.Totals, l.totals)
	}
	r.lingers = left
	if e.Graces > 0 {
		e.Released = r.release()
	}
	return e, false, nil
}

// EndOldest implements [pin.Graces].
func (r *Records) EndOldest(ctx context.Context, age time.Duration, bytes uint64) (e pin.Ended, err error) {
	if err := r.enter(ctx, "EndOldest"); err != nil {
		return e, err
	}
	defer r.mu.Unlock()
	for len(r.lingers) > 0 && r.lasted(r.lingers[0].since, age) && e.Graces < pin.EndsAtOnce && (e.Graces == 0 || e.Bytes < bytes) {
		e.Graces++
		add(&e.Totals, r.lingers[0].totals)
		r.lingers = r.lingers[1:]
	}
	e.Released = r.release()
	return e, nil
}

// KeepUpload implements [pin.Graces].
func (r *Records) KeepUpload(ctx context.Context, account string, a pin.Attempt, t pin.Totals) error {
	if err := r.enter(ctx, "KeepUpload"); err != nil {
		return err
	}
	defer r.mu.Unlock()
	if d, ok := r.deleting[a]; !ok || d != "" {
		return fmt.Errorf("attempt %d is no upload", a)
	}
	r.uploads = slices.DeleteFunc(r.uploads, func(u keptUpload) bool { return u.attempt == a })
	r.uploads = append(r.uploads, keptUpload{account, a, r.now().Truncate(time.Millisecond), t})
	slices.SortFunc(r.uploads, func(a, b keptUpload) int { return int(a.attempt) - int(b.attempt) })
	return nil
}

// isKept reports whether an attempt is that of an upload that is kept.
func (r *Records) isKept(a pin.Attempt) bool {
	return slices.ContainsFunc(r.uploads, func(u keptUpload) bool { return u.attempt == a })
}

// KeptUploads implements [pin.Graces].
func (r *Records) KeptUploads(ctx context.Context, account string) (sum pin.Totals, err error) {
	if err := r.enter(ctx, "KeptUploads"); err != nil {
		return sum, err
	}
	defer r.mu.Unlock()
	for _, u := range r.uploads {
		if account == "" || u.account == account {
			add(&sum, u.totals)
		}
	}
	return sum, nil
}

// EndUploads implements [pin.Graces].
func (r *Records) EndUploads(ctx context.Context, account string, age time.Duration) (e pin.Ended, more bool, err error) {
	if err := r.enter(ctx, "EndUploads"); err != nil {
		return e, false, err
	}
	defer r.mu.Unlock()
	var left []keptUpload
	for _, u := range r.uploads {
		if account != "" && u.account != account || !r.graceOver(&u.since, age) {
			left = append(left, u)
			continue
		}
		endUpload(&e, u)
	}
	r.uploads = left
	return e, false, nil
}

// EndPinnedUploads implements [pin.Graces]. These records know no blocks, and so end none.
func (r *Records) EndPinnedUploads(ctx context.Context) (e pin.Ended, err error) {
	if err := r.enter(ctx, "EndPinnedUploads"); err != nil {
		return e, err
	}
	r.mu.Unlock()
	return e, nil
}

// EndOldestUploads implements [pin.Graces].
func (r *Records) EndOldestUploads(ctx context.Context, age time.Duration, bytes uint64) (e pin.Ended, err error) {
	if err := r.enter(ctx, "EndOldestUploads"); err != nil {
		return e, err
	}
	defer r.mu.Unlock()
	for len(r.uploads) > 0 && r.lasted(r.uploads[0].since, age) && e.Graces < pin.EndsAtOnce && (e.Graces == 0 || e.Bytes < bytes) {
		endUpload(&e, r.uploads[0])
		r.uploads = r.uploads[1:]
	}
	return e, nil
}

func endUpload(e *pin.Ended, u keptUpload) {
	e.Graces++
	add(&e.Totals, u.totals)
	e.Released = append(e.Released, u.attempt)
}
