package pintest

import (
	"context"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// QuotaFunc is a function that is [pin.Quotas].
type QuotaFunc func(account string) pin.Quota

// Quota implements [pin.Quotas].
func (f QuotaFunc) Quota(_ context.Context, account string) (pin.Quota, error) {
	return f(account), nil
}

// Add implements [pin.Requests].
func (r *Records) Add(ctx context.Context, account string, s pin.Spec) (pin.Request, error) {
	if err := r.enter(ctx, "Add"); err != nil {
		return pin.Request{}, err
	}
	defer r.mu.Unlock()
	if req, err := r.made(account, "", s); err != nil {
		return pin.Request{}, err
	} else if req != nil {
		return r.public(req), nil
	}
	if err := r.room(ctx, account, s.DAG(), nil); err != nil {
		return pin.Request{}, err
	}
	req, err := r.add(account, s, func() error { return r.roomFor(ctx, account, s.DAG(), nil) })
	if err != nil {
		return pin.Request{}, err
	}
	r.remember(account, "", s, req)
	return r.public(req), nil
}

func (r *Records) add(account string, s pin.Spec, admit func() error) (*request, error) {
	now := r.now().UTC().Truncate(time.Millisecond)
	created := now
	last := r.last[account]
	if !created.After(last.created) {
		created = last.created.Add(time.Millisecond)
	}
	// What the clock was set back does not count as running ahead.
	back := last.back + max(last.clock.Sub(now), 0)
	if created.Equal(now) {
		back = 0
	}
	if created.Sub(now)-back > maxAhead {
		return nil, pin.ErrTooFast
	}
	if err := admit(); err != nil {
		return nil, err
	}
	s.IdempotencyKey = ""
	req := &request{Request: clone(pin.Request{
		ID: newID(created), Account: account, Spec: s, Created: created, Status: pin.Queued,
	})}
	d := r.hold(s.DAG())
	if d.complete {
		req.Status = pin.Pinned
	}
	r.revive(account, s.DAG())
	r.last[account] = latest{created, now, back}
	r.requests[req.ID] = req
	return req, nil
}

// room returns an error unless the account may have a live request for the DAG, after old
// is gone; old may be nil.
func (r *Records) room(ctx context.Context, account string, d pin.DAG, old *request) error {
	quota, err := r.quota(ctx, account)
	if err != nil {
		return err
	}
	live := r.live(account, nil)
	then := r.live(account, old)
	then[d] = true
	if quota.Pins > 0 && !live[d] && uint64(len(then)) > quota.Pins {
		return &pin.QuotaError{Pins: true, Used: uint64(len(live)), Limit: quota.Pins}
	}
	return nil
}

// live is the DAGs of an account's live requests, but for one of these.
func (r *Records) live(account string, but *request) map[pin.DAG]bool {
	dags := map[pin.DAG]bool{}
	for _, req := range r.requests {
		if req.Account == account && req.Status != pin.Failed && req != but {
			dags[req.DAG()] = true
		}
	}
	return dags
}

// roomFor returns an error unless the account may be charged for the DAG, or for anything
// if the DAG is not complete, after old is gone; old may be nil.
func (r *Records) roomFor(ctx context.Context, account string, d pin.DAG, old *request) error {
	quota, err := r.quota(ctx, account)
	if err != nil || quota.Bytes == 0 {
		return err
	}
	most := quota.Bytes
	now := r.usage(account).Bytes
	if rec := r.dags[d]; rec != nil && rec.complete {
		if old != nil {
			delete(r.requests, old.ID)
			defer func() { r.requests[old.ID] = old }()
		}
		then, asked := r.usage(account).Bytes, rec.totals.Bytes
		if r.charges(account, d) {
			then -= asked
		}
		if then+asked > max(now, most) {
			return &pin.QuotaError{Used: then, Asked: asked, Limit: most}
		}
	} else if now >= most && (old == nil || old.Status == pin.Failed) {
		return &pin.QuotaError{Used: now, Limit: most}
	}
	return nil
}

// Replace implements [pin.Requests].
func (r *Records) Replace(ctx context.Context, account, id string, s pin.Spec) (now, old pin.Request, released []pin.Attempt, err error) {
	if err := r.enter(ctx, "Replace"); err != nil {
		return now, old, nil, err
	}
	defer r.mu.Unlock()
	if req, err := r.made(account, id, s); err != nil {
		return now, old, nil, err
	} else if req != nil {
		return r.public(req), old, nil, nil
	}
	was, err := r.find(account, id)
	if err != nil {
		return now, old, nil, err
	}
	if err := r.room(ctx, account, s.DAG(), was); err != nil {
		return now, old, nil, err
	}
	is, err := r.add(account, s, func() error { return r.roomFor(ctx, account, s.DAG(), was) })
	if err != nil {
		return now, old, nil, err
	}
	r.remember(account, id, s, is)
	if is.Status == pin.Queued {
		is.takeOver(was)
	}
	old = r.public(was)
	delete(r.requests, id)
	return r.public(is), old, r.release(), nil
}

// takeOver makes a request hold what the one that it replaces held.
func (r *request) takeOver(was *request) {
	switch was.Status {
	case pin.Pinned:
		r.pinned = was.DAG()
	case pin.Pinning:
		r.pinned, r.tried = was.pinned, append(slices.Clone(was.tried), was.DAG())
	case pin.Queued:
		r.pinned, r.tried = was.pinned, slices.Clone(was.tried)
	}
	if r.pinned == r.DAG() {
		r.pinned = ""
	}
	row := r.tried
	r.tried = nil
	for i, d := range row {
		if d != r.DAG() && !slices.Contains(row[i+1:], d) {
			r.tried = append(r.tried, d)
		}
	}
	r.tried = r.tried[max(len(r.tried)-pin.KeptTries, 0):]
}

// letGo makes a request hold nothing besides its own DAG.
func (r *request) letGo() { r.pinned, r.tried = "", nil }

// Remove implements [pin.Requests].
func (r *Records) Remove(ctx context.Context, account, id string) (pin.Request, []pin.Attempt, error) {
	if err := r.enter(ctx, "Remove"); err != nil {
		return pin.Request{}, nil, err
	}
	defer r.mu.Unlock()
	req, err := r.find(account, id)
	if err != nil {
		return pin.Request{}, nil, err
	}
	old := r.public(req)
	delete(r.requests, id)
	return old, r.release(), nil
}

// Get implements [pin.Requests].
func (r *Records) Get(ctx context.Context, account, id string) (pin.Request, error) {
	if err := r.enter(ctx, "Get"); err != nil {
		return pin.Request{}, err
	}
	defer r.mu.Unlock()
	req, err := r.find(account, id)
	if err != nil {
		return pin.Request{}, err
	}
	got := r.public(req)
	if got.Status == pin.Pinned {
		got.Totals.By = r.by[account][got.DAG()]
	}
	return got, nil
}

// List implements [pin.Requests].
func (r *Records) List(ctx context.Context, account string, q pin.Query) (pin.Page, error) {
	if err := r.enter(ctx, "List"); err != nil {
		return pin.Page{}, err
	}
	defer r.mu.Unlock()
	var page pin.Page
	for _, req := range r.all() {
		if req.Account == account && matches(req.Request, q) {
			page.Count++
			page.Requests = append(page.Requests, r.public(req))
		}
	}
	slices.Reverse(page.Requests)
	page.Requests = page.Requests[:min(len(page.Requests), max(q.Limit, 0))]
	return page, nil
}

// Retry implements [pin.Requests].
func (r *Records) Retry(ctx context.Context, account, id string) (pin.Request, error) {
	if err := r.enter(ctx, "Retry"); err != nil {
		return pin.Request{}, err
	}
	defer r.mu.Unlock()
	req, err := r.find(account, id)
	if err != nil {
		return pin.Request{}, err
	}
	if req.Status != pin.Failed {
		return pin.Request{}, pin.ErrNotFailed
	}
	if err := r.room(ctx, account, req.DAG(), nil); err != nil {
		return pin.Request{}, err
	}
	if err := r.roomFor(ctx, account, req.DAG(), nil); err != nil {
		return pin.Request{}, err
	}
	req.Status, req.Details = pin.Queued, ""
	if r.hold(req.DAG()).complete {
		req.Status = pin.Pinned
	}
	r.revive(account, req.DAG())
	return r.public(req), nil
}

// matches reports whether a request passes every filter of q but the account.
func matches(req pin.Request, q pin.Query) bool {
	statuses := q.Statuses
	if len(statuses) == 0 {
		statuses = []pin.Status{pin.Pinned}
	}
	if !slices.Contains(statuses, req.Status) {
		return false
	}
	if len(q.DAGs) > 0 && !slices.Contains(q.DAGs, req.DAG()) {
		return false
	}
	if q.Name != "" && !nameMatches(req.Name, q.Name, q.Match) {
		return false
	}
	if !q.HasMeta(req.Meta) {
		return false
	}
	if !q.Before.IsZero() && !req.Created.Before(q.Before) {
		return false
	}
	return q.After.IsZero() || req.Created.After(q.After)
}

func nameMatches(name, want string, m pin.Match) bool {
	switch m {
	case pin.Exact, "":
		return name == want
	case pin.IExact:
		return strings.EqualFold(name, want)
	case pin.Partial:
		return strings.Contains(name, want)
	case pin.IPartial:
		return strings.Contains(fold(name), fold(want))
	}
	return false
}

// fold maps all runes that differ in case alone to one of them.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		return least
	}, s)
}
