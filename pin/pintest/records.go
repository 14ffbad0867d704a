package pintest

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/google/uuid"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// maxAhead is how far Created may run ahead of a clock that is not set back.
const maxAhead = time.Second

// Records is a [pin.Records] in memory. It is written to be obviously right rather than
// fast, and goes through all requests at each call. Make one with [NewRecords].
type Records struct {
	now func() time.Time

	mu     sync.Mutex
	closed bool
	fault  func(method string) error
	quotas pin.Quotas
	*state
}

var _ pin.Records = (*Records)(nil)

// state is what would be on disk.
type state struct {
	requests map[string]*request // by id
	last     map[string]latest   // by account
	dags     map[pin.DAG]*dag
	deleting map[pin.Attempt]pin.DAG
	lingers  []linger // the oldest first
	uploads  []keptUpload
	attempts pin.Attempt // the last that was given out
	once     map[keyOf]once
	by       map[string]map[pin.DAG]*pin.Delivered // by account
}

// request is a request and what it holds besides its own DAG.
type request struct {
	pin.Request
	pinned pin.DAG   // the last pinned one before it in its chain of replacements; "" is none
	tried  []pin.DAG // those replaced while pinning since then, the newest last
}

// latest is the newest request that an account ever made.
type latest struct {
	created time.Time
	clock   time.Time     // what the clock said then
	back    time.Duration // by how much the clock is behind, having been set back
}

// dag is a DAG that some request holds.
type dag struct {
	attempt  pin.Attempt // zero until the first Begin
	complete bool
	totals   pin.Totals // if it is complete, or was and is being repaired
	partial  pin.Kept
}

// repairing reports whether the DAG was complete, and is not complete again.
func (d *dag) repairing() bool { return !d.complete && d.totals.Blocks > 0 }

// NewRecords makes an empty one. now tells the time.
func NewRecords(now func() time.Time) *Records {
	return &Records{now: now, state: &state{
		requests: map[string]*request{},
		last:     map[string]latest{},
		dags:     map[pin.DAG]*dag{},
		deleting: map[pin.Attempt]pin.DAG{},
		once:     map[keyOf]once{},
		by:       map[string]map[pin.DAG]*pin.Delivered{},
	}}
}

// Close closes r: its methods return [pin.ErrClosed] from now on.
func (r *Records) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
}

// Reopen closes r and returns what a restart would find.
func (r *Records) Reopen() *Records {
	r.Close()
	return &Records{now: r.now, state: r.state}
}

// SetFault makes every method first call fault with its own name, such as "Add". If that
// returns an error, the method returns it and does nothing. Nil takes it back. fault is
// called by many goroutines, without locks held.
func (r *Records) SetFault(fault func(method string) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fault = fault
}

// enter locks r for a method, or says why it cannot run.
func (r *Records) enter(ctx context.Context, method string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r.mu.Lock()
	fault := r.fault
	r.mu.Unlock()
	if fault != nil {
		if err := fault(method); err != nil {
			return err
		}
	}
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return pin.ErrClosed
	}
	return nil
}

// SetQuotas implements [pin.Requests].
func (r *Records) SetQuotas(q pin.Quotas) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.quotas = q
}

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
		err := r.settle(ctx, d, false)
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
func (r *Records) Complete(ctx context.Context, d pin.DAG, a pin.Attempt, t pin.Totals) ([]pin.Attempt, error) {
	if err := r.enter(ctx, "Complete"); err != nil {
		return nil, err
	}
	defer r.mu.Unlock()
	rec, ok := r.dags[d]
	if !ok || rec.attempt != a || a == 0 {
		return nil, pin.ErrSuperseded
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
	err := r.settle(ctx, d, repaired)
	return r.release(), err
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
func (r *Records) settle(ctx context.Context, d pin.DAG, repaired bool) error {
	for _, req := range r.all() {
		if req.DAG() != d || req.Status.Done() {
			continue
		}
		over, err := r.over(ctx, req.Account, d, r.dags[d].totals.Bytes)
		if err != nil {
			return err
		}
		if over != nil && !repaired {
			r.failAll(req.Account, d, over.Error())
			continue
		}
		for _, other := range r.requests {
			if other.Account == req.Account && other.DAG() == d && !other.Status.Done() {
				other.Status, other.Details = pin.Pinned, ""
				other.letGo()
			}
		}
	}
	return nil
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

// Released implements [pin.Releases].
func (r *Records) Released(ctx context.Context) ([]pin.Attempt, error) {
	if err := r.enter(ctx, "Released"); err != nil {
		return nil, err
	}
	defer r.mu.Unlock()
	all := slices.Sorted(maps.Keys(r.deleting))
	return slices.DeleteFunc(all, r.isKept), nil
}

// ReleasedDAG implements [pin.Releases].
func (r *Records) ReleasedDAG(ctx context.Context, a pin.Attempt) (pin.DAG, error) {
	if err := r.enter(ctx, "ReleasedDAG"); err != nil {
		return "", err
	}
	defer r.mu.Unlock()
	d := r.deleting[a]
	if d == "" {
		return "", pin.ErrNotFound
	}
	return d, nil
}

// Dropped implements [pin.Releases].
func (r *Records) Dropped(ctx context.Context, a pin.Attempt) error {
	if err := r.enter(ctx, "Dropped"); err != nil {
		return err
	}
	defer r.mu.Unlock()
	for d, rec := range r.dags {
		if rec.attempt == a && a != 0 {
			return fmt.Errorf("attempt %d at %s is not released", a, d)
		}
	}
	delete(r.deleting, a)
	return nil
}

// Roots implements [pin.Work].
func (r *Records) Roots(ctx context.Context) iter.Seq2[pin.DAG, error] {
	return func(yield func(pin.DAG, error) bool) {
		if err := r.enter(ctx, "Roots"); err != nil {
			yield("", err)
			return
		}
		var found []pin.DAG
		for d, rec := range r.dags {
			if rec.complete {
				found = append(found, d)
			}
		}
		r.mu.Unlock()
		slices.Sort(found)
		for _, d := range found {
			if err := ctx.Err(); err != nil {
				yield("", err)
				return
			}
			if !yield(d, nil) {
				return
			}
		}
	}
}

// find returns the account's request, or ErrNotFound.
func (r *Records) find(account, id string) (*request, error) {
	req, ok := r.requests[id]
	if !ok || req.Account != account {
		return nil, pin.ErrNotFound
	}
	return req, nil
}

// all returns every request by account, then oldest first.
func (r *Records) all() []*request {
	return slices.SortedFunc(maps.Values(r.requests), func(a, b *request) int {
		return cmp.Or(cmp.Compare(a.Account, b.Account), a.Created.Compare(b.Created))
	})
}

// hold returns the record of a DAG that a request is about to hold.
func (r *Records) hold(d pin.DAG) *dag {
	rec, ok := r.dags[d]
	if !ok {
		rec = &dag{}
		r.dags[d] = rec
	}
	return rec
}

// held lists what a request holds.
func held(req *request) []pin.DAG {
	if req.Status == pin.Failed {
		return nil
	}
	all := append([]pin.DAG{req.DAG()}, req.tried...)
	if req.pinned != "" {
		all = append(all, req.pinned)
	}
	return all
}

// NewUpload gives the attempt of an upload: it is for no DAG, and is released from the start.
func (r *Records) NewUpload(ctx context.Context) (pin.Attempt, error) {
	if err := r.enter(ctx, "NewUpload"); err != nil {
		return 0, err
	}
	defer r.mu.Unlock()
	r.attempts++
	r.deleting[r.attempts] = ""
	return r.attempts, nil
}

// release forgets every DAG that nothing holds, releases its attempt, and lists those that
// it released.
func (r *Records) release() []pin.Attempt {
	r.forgetDelivered()
	kept := map[pin.DAG]bool{}
	for _, req := range r.requests {
		for _, d := range held(req) {
			kept[d] = true
		}
	}
	for _, l := range r.lingers {
		kept[l.dag] = true
	}
	var released []pin.Attempt
	for d, rec := range r.dags {
		if kept[d] {
			continue
		}
		delete(r.dags, d)
		if rec.attempt != 0 {
			r.deleting[rec.attempt] = d
			released = append(released, rec.attempt)
		}
	}
	slices.Sort(released)
	return released
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

// public is a copy of a request, for callers.
func (r *Records) public(req *request) pin.Request {
	out := clone(req.Request)
	if out.Status == pin.Pinned {
		out.Totals = r.dags[out.DAG()].totals
	}
	return out
}

// clone copies what r shares with callers; empty becomes nil, as on disk.
func clone(r pin.Request) pin.Request {
	r.Meta, r.Origins = maps.Clone(r.Meta), slices.Clone(r.Origins)
	if len(r.Meta) == 0 {
		r.Meta = nil
	}
	if len(r.Origins) == 0 {
		r.Origins = nil
	}
	return r
}

// newID makes a UUIDv7 of the given time.
func newID(t time.Time) string {
	var u uuid.UUID
	rand.Read(u[:]) // never fails
	ms := t.UnixMilli()
	for i := range 6 {
		u[i] = byte(ms >> (40 - 8*i))
	}
	u[6] = u[6]&0x0f | 0x70
	u[8] = u[8]&0x3f | 0x80
	return u.String()
}
