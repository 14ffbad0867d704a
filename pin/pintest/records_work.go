package pintest

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// Begin implements [pin.Work].
func (r *Records) Begin(ctx context.Context, d pin.DAG) (pin.Attempt, bool, error) {
	if err := r.enter(ctx, "Begin"); err != nil {
		return 0, false, err
	}
	defer r.mu.Unlock()
	rec, ok := r.dags[d]
	if !ok {
		return 0, false, pin.ErrNotFound
	}
	if !rec.complete {
		wanted := false
		for _, req := range r.requests {
			wanted = wanted || req.DAG() == d && !req.Status.Done()
		}
		if !wanted {
			return 0, false, pin.ErrNotFound
		}
	}
	if rec.attempt == 0 {
		r.attempts++
		rec.attempt = r.attempts
	}
	if rec.complete {
		_, err := r.settle(ctx, d, false)
		r.release()
		return rec.attempt, true, err
	}
	for _, req := range r.requests {
		if req.DAG() == d && req.Status == pin.Queued {
			req.Status = pin.Pinning
		}
	}
	return rec.attempt, false, nil
}

// Complete implements [pin.Work].
func (r *Records) Complete(ctx context.Context, d pin.DAG, a pin.Attempt, t pin.Totals) (int, []pin.Attempt, error) {
	if err := r.enter(ctx, "Complete"); err != nil {
		return 0, nil, err
	}
	defer r.mu.Unlock()
	rec, ok := r.dags[d]
	if !ok || rec.attempt != a || a == 0 {
		return 0, nil, pin.ErrSuperseded
	}
	repaired := rec.repairing()
	by := t.By
	t.By = nil
	rec.complete, rec.totals, rec.partial = true, t, pin.Kept{}
	for _, req := range r.all() {
		if by != nil && req.DAG() == d && !req.Status.Done() {
			r.delivered(req.Account, d, *by)
		}
	}
	failed, err := r.settle(ctx, d, repaired)
	return failed, r.release(), err
}

// forgetDelivered forgets who delivered what accounts do not have pinned any more.
func (r *Records) forgetDelivered() {
	if len(r.by) == 0 {
		return
	}
	type of struct {
		account string
		dag     pin.DAG
	}
	pinned := map[of]bool{}
	for _, o := range r.requests {
		pinned[of{o.Account, o.pinned}] = true
		if o.Status == pin.Pinned {
			pinned[of{o.Account, o.DAG()}] = true
		}
	}
	for account, dags := range r.by {
		maps.DeleteFunc(dags, func(d pin.DAG, _ *pin.Delivered) bool { return !pinned[of{account, d}] })
	}
}

// delivered notes who delivered a DAG of an account.
func (r *Records) delivered(account string, d pin.DAG, by pin.Delivered) {
	if r.by[account] == nil {
		r.by[account] = map[pin.DAG]*pin.Delivered{}
	}
	r.by[account][d] = &by
}

// settle makes every unfinished request for a complete DAG Pinned, or Failed if
// its account has no room, unless it was repaired.
func (r *Records) settle(ctx context.Context, d pin.DAG, repaired bool) (failed int, err error) {
	for _, req := range r.all() {
		if req.DAG() != d || req.Status.Done() {
			continue
		}
		over, err := r.over(ctx, req.Account, d, r.dags[d].totals.Bytes)
		if err != nil {
			return failed, err
		}
		if over != nil && !repaired {
			failed += r.failAll(req.Account, d, over.Error())
			continue
		}
		for _, other := range r.requests {
			if other.Account == req.Account && other.DAG() == d && !other.Status.Done() {
				other.Status, other.Details = pin.Pinned, ""
				other.letGo()
			}
		}
	}
	return failed, nil
}

// Fail implements [pin.Work].
func (r *Records) Fail(ctx context.Context, d pin.DAG, details string) ([]pin.Attempt, error) {
	if err := r.enter(ctx, "Fail"); err != nil {
		return nil, err
	}
	defer r.mu.Unlock()
	for _, req := range r.requests {
		if req.DAG() == d && !req.Status.Done() {
			req.Status, req.Details = pin.Failed, details
			req.letGo()
		}
	}
	return r.release(), nil
}

// FailOverQuota implements [pin.Work].
func (r *Records) FailOverQuota(ctx context.Context, account string, d pin.DAG, bytes uint64) (int, []pin.Attempt, error) {
	if err := r.enter(ctx, "FailOverQuota"); err != nil {
		return 0, nil, err
	}
	defer r.mu.Unlock()
	if rec := r.dags[d]; rec != nil && rec.repairing() {
		return 0, nil, nil
	}
	over, err := r.over(ctx, account, d, bytes)
	if err != nil || over == nil {
		return 0, nil, err
	}
	n := r.failAll(account, d, over.Error())
	return n, r.release(), nil
}

// failAll makes an account's unfinished requests for a DAG Failed.
func (r *Records) failAll(account string, d pin.DAG, details string) (n int) {
	for _, req := range r.requests {
		if req.Account == account && req.DAG() == d && !req.Status.Done() {
			req.Status, req.Details = pin.Failed, details
			req.letGo()
			n++
		}
	}
	return n
}

// over returns an error if the account would be charged too much once its requests for the
// DAG are pinned and the DAG has so many bytes.
func (r *Records) over(ctx context.Context, account string, d pin.DAG, bytes uint64) (*pin.QuotaError, error) {
	quota, err := r.quota(ctx, account)
	if err != nil || quota.Bytes == 0 {
		return nil, err
	}
	most := quota.Bytes
	now := r.usage(account).Bytes
	then := r.usageBut(account, d).Bytes
	if r.charges(account, d) || then+bytes <= max(now, most) {
		return nil, nil
	}
	return &pin.QuotaError{Used: then, Asked: bytes, Limit: most}, nil
}

// charges reports whether the account is charged for the DAG.
func (r *Records) charges(account string, d pin.DAG) bool {
	for _, req := range r.requests {
		if req.Account == account && (req.pinned == d || req.Status == pin.Pinned && req.DAG() == d) {
			return true
		}
	}
	return false
}

func (r *Records) quota(ctx context.Context, account string) (pin.Quota, error) {
	if r.quotas == nil {
		return pin.Quota{}, nil
	}
	return r.quotas.Quota(ctx, account)
}

// Accounts implements [pin.Work].
func (r *Records) Accounts(ctx context.Context, s pin.Status) ([]string, error) {
	if err := r.enter(ctx, "Accounts"); err != nil {
		return nil, err
	}
	defer r.mu.Unlock()
	var found []string
	for _, req := range r.all() {
		if req.Status == s && !slices.Contains(found, req.Account) {
			found = append(found, req.Account)
		}
	}
	return found, nil
}

// UnfinishedAfter implements [pin.Work].
func (r *Records) UnfinishedAfter(ctx context.Context, account string, s pin.Status, after time.Time, limit int) ([]pin.Request, error) {
	if err := r.enter(ctx, "UnfinishedAfter"); err != nil {
		return nil, err
	}
	defer r.mu.Unlock()
	var found []pin.Request
	for _, req := range r.all() {
		if req.Account == account && req.Status == s && req.Created.After(after) && len(found) < limit {
			found = append(found, r.public(req))
		}
	}
	return found, nil
}

// Usage implements [pin.Requests].
func (r *Records) Usage(ctx context.Context, account string) (pin.Usage, error) {
	if err := r.enter(ctx, "Usage"); err != nil {
		return pin.Usage{}, err
	}
	defer r.mu.Unlock()
	return r.usage(account), nil
}

func (r *Records) usage(account string) (u pin.Usage) { return r.usageBut(account, "") }

// usageBut is usage without what the unfinished requests for a DAG hold.
func (r *Records) usageBut(account string, but pin.DAG) (u pin.Usage) {
	seen := map[pin.DAG]bool{"": true}
	for _, req := range r.requests {
		if req.Account != account || req.DAG() == but && !req.Status.Done() {
			continue
		}
		d := req.pinned
		if req.Status == pin.Pinned {
			d = req.DAG()
		}
		if !seen[d] {
			seen[d] = true
			u.DAGs++
			u.Blocks += r.dags[d].totals.Blocks
			u.Bytes += r.dags[d].totals.Bytes
		}
	}
	u.Pins = uint64(len(r.live(account, nil)))
	return u
}
