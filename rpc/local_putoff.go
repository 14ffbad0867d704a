package rpc

import (
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

// putOff are the requests that calls wait for, and those that no call waits for any more.
type putOff struct {
	mu      sync.Mutex
	waiting map[aPin]int // calls
	until   map[aPin]time.Time
}

func newPutOff() *putOff {
	return &putOff{waiting: map[aPin]int{}, until: map[aPin]time.Time{}}
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
