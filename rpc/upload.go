package rpc

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/upload"
)

// Upload is what an account sends to be pinned; *pin.Upload is one.
type Upload interface {
	upload.Sink
	Flush(ctx context.Context) error
	Lacks(ctx context.Context, root cid.Cid) (missing cid.Cid, err error)
	HoldFor(v pin.View)
	Charged()
	Close() error
}

const (
	// maxUploads is how many uploads an account may have: some of them run, the others wait
	// with their bodies unread.
	maxUploads = 256
	// So many run at the same time, of all accounts and of one. More would be no faster, and
	// each takes memory. One account leaves room for others.
	allRun      = 32
	accountRuns = allRun / 4
	// turnWait is how long an upload waits for its turn, and retryTurn when to come again
	// after that: its connection is not kept for longer.
	turnWait  = time.Minute
	retryTurn = 10 * time.Second
)

// runs are the uploads that run.
type runs struct {
	all  chan struct{}
	each int // of one account

	mu sync.Mutex
	of map[string]*accountRun
}

type accountRun struct {
	n    int // that run or wait
	runs chan struct{}
}

func newRuns(all, each int) *runs {
	return &runs{all: make(chan struct{}, all), each: each, of: make(map[string]*accountRun)}
}

func noTurn(others string) error {
	f := fail(http.StatusTooManyRequests, codeRate, "%s that run left no room for this one for %v", others, turnWait)
	f.retryAfter = retryTurn
	return f
}

// begin waits until an upload of the account may run. It fails after turnWait, or when ctx ends.
func (r *runs) begin(ctx context.Context, account string) (end func(), err error) {
	r.mu.Lock()
	a := r.of[account]
	if a == nil {
		a = &accountRun{runs: make(chan struct{}, r.each)}
		r.of[account] = a
	}
	a.n++
	r.mu.Unlock()
	leave := func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if a.n--; a.n == 0 {
			delete(r.of, account)
		}
	}
	late := time.NewTimer(turnWait)
	defer late.Stop()
	select {
	case a.runs <- struct{}{}:
	case <-late.C:
		leave()
		return nil, noTurn("the account's uploads")
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
	select {
	case r.all <- struct{}{}:
	case <-late.C:
		<-a.runs
		leave()
		return nil, noTurn("other uploads")
	case <-ctx.Done():
		<-a.runs
		leave()
		return nil, ctx.Err()
	}
	return func() {
		<-r.all
		<-a.runs
		leave()
	}, nil
}

// upload runs work with an upload, which it closes at the end.
func (q *call) upload(work func(u Upload) error) (err error) {
	end, err := q.runs.begin(q.ctx, q.account)
	if err != nil {
		return err
	}
	defer end()
	u, err := q.Upload(q.ctx, q.account)
	if err != nil {
		return err
	}
	defer func() { // also if work panics
		err = sent(errors.Join(err, u.Close()))
	}()
	return work(u)
}

// sent makes an error of what a client sent one that it may see.
func sent(err error) error {
	var (
		own     *failure
		invalid *upload.InvalidError
		read    *upload.ReadError
	)
	switch {
	case errors.As(err, &own): // of the body, among others
		return own
	case errors.As(err, &invalid):
		return refuse("%v", invalid)
	case errors.As(err, &read):
		return fail(http.StatusBadRequest, codeClient, "%v", read)
	}
	return err
}

// pinName is the parameter pin-name. named is false if it was not given.
func (q *call) pinName() (name string, named bool, err error) {
	name, named = q.values["pin-name"]
	return name, named, checkName(name)
}

// pinUploaded makes a request for a root, and returns once it is pinned. All of it must have
// been put. A request that fails is removed, if it was made here.
func (q *call) pinUploaded(u Upload, root cid.Cid, name string, named bool) error {
	if err := u.Flush(q.ctx); err != nil {
		return err
	}
	leave, err := q.pinning(root)
	if err != nil {
		return err
	}
	defer leave()
	v, made, err := q.ways.request(q, root, name, named)
	if err != nil {
		return err
	}
	u.HoldFor(v)
	own := v.ID
	v, err = q.pinned(v, func(uint64, uint64) error { return nil })
	if made && v.ID == own && v.Status == pin.Failed {
		if err := q.Pins.Remove(q.ctx, q.account, v.ID); err != nil && !errors.Is(err, pin.ErrNotFound) {
			return err
		}
	}
	if err != nil {
		return err
	}
	u.Charged()
	return nil
}
