package rpc

import (
	"context"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/pin"
)

const (
	// putOffFor is how long a request goes on that its client gave up on. ipfs-cluster gives up
	// after pin_timeout (2 minutes) without progress, and comes again.
	putOffFor = 10 * time.Minute
	// putOffTick is how often it is looked what was put off for long enough.
	putOffTick = 15 * time.Second
)

// aPin is one request of an account.
type aPin struct {
	account string
	root    cid.Cid
	id      string // of the request
}

// ofPin is the CID that a request is for, as it is written.
type ofPin struct {
	account string
	root    cid.Cid
}

func (one aPin) of() ofPin { return ofPin{one.account, one.root} }

// putOff are the requests that calls wait for, and those that no call waits for any more.
type putOff struct {
	mu      sync.Mutex
	calls   map[ofPin]int           // that pin a CID, by whichever request there is
	ending  map[ofPin]chan struct{} // closed when the request is ended
	waiting map[aPin]int            // calls
	until   map[aPin]time.Time
}

func newPutOff() *putOff {
	return &putOff{calls: map[ofPin]int{}, ending: map[ofPin]chan struct{}{}, waiting: map[aPin]int{}, until: map[aPin]time.Time{}}
}

// pins says that a call pins a CID, until leave is called: the request that it finds is not ended
// meanwhile. It waits while one is being ended, which the call would find and then miss. Errors: ctx's.
func (p *putOff) pins(ctx context.Context, of ofPin) (leave func(), err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for ending := p.ending[of]; ending != nil; ending = p.ending[of] {
		p.mu.Unlock()
		select {
		case <-ending:
		case <-ctx.Done():
		}
		p.mu.Lock()
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	p.calls[of]++
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.calls[of]--; p.calls[of] == 0 {
			delete(p.calls, of)
		}
	}, nil
}

// begin says that a request that was due is being ended, until ended is called. ok is false if a call
// pins its CID: then it is due again at the next tick, unless the call waits for it.
func (p *putOff) begin(one aPin, now time.Time) (ended func(), ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	of := one.of()
	if p.calls[of] > 0 {
		if p.waiting[one] == 0 {
			p.until[one] = now
		}
		return nil, false
	}
	done := make(chan struct{})
	p.ending[of] = done
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.ending, of)
		close(done)
	}, true
}

// follow says that a call waits for a request, until leave is called: with what the request is
// by then, if that is known.
func (p *putOff) follow(one aPin) (leave func(last pin.Status)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting[one]++
	delete(p.until, one)
	return func(last pin.Status) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.waiting[one]--; p.waiting[one] > 0 {
			return
		}
		delete(p.waiting, one)
		if !last.Done() {
			p.until[one] = time.Now().Add(putOffFor)
		}
	}
}

// due takes out those that were put off for long enough.
func (p *putOff) due(now time.Time) (all []aPin) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for one, at := range p.until {
		if !now.Before(at) {
			all = append(all, one)
			delete(p.until, one)
		}
	}
	return all
}

// again has one be due at the next tick, unless a call waits for it.
func (p *putOff) again(one aPin, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting[one] == 0 {
		p.until[one] = now
	}
}
