package pintest

import (
	"cmp"
	"context"
	"crypto/rand"
	"maps"
	"slices"
	"sync"
	"time"

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
