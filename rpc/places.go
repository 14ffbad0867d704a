package rpc

import (
	"cmp"
	"context"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	// maxUploads is how many uploads an account may have: some of them run, the others wait
	// with their bodies unread, of which HTTP/2 has 512 KiB each in memory.
	maxUploads = 128
	// So many run at the same time, of all accounts and of one. Each takes some 1 MiB for what comes, and
	// an equal part of what all of them share.
	allRun      = 96
	accountRuns = 8
	// turnWait is how long an upload waits for its turn, and retryTurn when to come again
	// after that: its connection is not kept for longer.
	turnWait  = time.Minute
	retryTurn = 10 * time.Second
	// An upload that waited for waitTurn looks each lookTurn for one that has to give way.
	waitTurn = 3 * time.Second
	lookTurn = time.Second
	// slowRate is what a client sends at least of an upload that is not slow, in bytes a second: 128 kbit/s,
	// which the slowest lines have. It is measured while the server waits for the client, over slowOver.
	slowRate = 16 << 10
	slowOver = 10 * time.Second
)

// places are those of the uploads that run. A place that is free goes to the account with the fewest
// uploads that run. If none is, an upload ends, so that accounts share the places: one of an account
// that has two more than the one that waits, or one that is slow, of an account that has more. Of the
// uploads of an account the one ends of which the least came. Nothing ends while nobody waits.
type places struct {
	all, each int // that may run, of all accounts and of one
	log       *slog.Logger

	mu      sync.Mutex
	running []*place
	waiting []*place // in the order in which they came
}

// place is an upload that runs, or waits until it may.
type place struct {
	account string
	pace    *pace
	end     func(why error) // ends the upload, which then leaves
	begins  chan struct{}   // closed when it runs
	runs    bool
	way     *place // the one that ends for this one, and runs still
	to      *place // the one for which this one ends
}

func newPlaces(all, each int, log *slog.Logger) *places {
	return &places{all: all, each: each, log: log}
}

func noTurn(others string) error {
	f := fail(http.StatusTooManyRequests, codeRate, "%s that run left no room for this one for %v", others, turnWait)
	f.retryAfter = retryTurn
	return f
}

// begin waits until an upload of the account may run. It fails after turnWait, or when ctx ends. end is
// called if the upload has to give way: it makes the upload end soon, and must not block.
func (p *places) begin(ctx context.Context, account string, pace *pace, end func(error)) (leave func(), err error) {
	one := &place{account: account, pace: pace, end: end, begins: make(chan struct{})}
	leave = func() { p.leave(one) }
	p.mu.Lock()
	p.waiting = append(p.waiting, one)
	p.giveOut()
	p.mu.Unlock()
	late := time.NewTimer(turnWait)
	defer late.Stop()
	look := time.NewTimer(waitTurn)
	defer look.Stop()
	for {
		select {
		case <-one.begins:
			return leave, nil
		case <-look.C:
			p.makeWay(one)
			look.Reset(lookTurn)
		case <-late.C:
			own := p.leave(one)
			if own {
				return nil, noTurn("the account's uploads")
			}
			return nil, noTurn("other uploads")
		case <-ctx.Done():
			p.leave(one)
			return nil, ctx.Err()
		}
	}
}

// leave ends a place, or the wait for it. own reports whether the account had as many as it may.
func (p *places) leave(one *place) (own bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	own = p.runningOf(one.account) >= p.each
	is := func(o *place) bool { return o == one }
	p.running, p.waiting = slices.DeleteFunc(p.running, is), slices.DeleteFunc(p.waiting, is)
	if one.to != nil {
		one.to.way = nil
	}
	p.giveOut()
	return own
}

// runningOf is how many uploads of an account run. p.mu is held.
func (p *places) runningOf(account string) (n int) {
	for _, r := range p.running {
		if r.account == account {
			n++
		}
	}
	return n
}

// giveOut gives out the places that are free. p.mu is held.
func (p *places) giveOut() {
	for len(p.running) < p.all && len(p.waiting) > 0 {
		of := map[string]int{}
		for _, r := range p.running {
			of[r.account]++
		}
		// The first of those that come first.
		next := slices.MinFunc(p.waiting, func(a, b *place) int { return cmp.Compare(of[a.account], of[b.account]) })
		if of[next.account] >= p.each {
			return
		}
		p.waiting = slices.DeleteFunc(p.waiting, func(o *place) bool { return o == next })
		p.running = append(p.running, next)
		next.runs = true
		close(next.begins)
	}
}

// makeWay ends an upload if one that waits is to have its place.
func (p *places) makeWay(one *place) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if one.runs || one.way != nil || len(p.running) < p.all {
		return
	}
	of := map[string]int{} // that run, once those that end have made way
	for _, r := range p.running {
		if r.to == nil {
			of[r.account]++
		} else {
			of[r.to.account]++
		}
	}
	own := of[one.account]
	if own >= p.each {
		return
	}
	var (
		last *place
		came int64
		slow bool
	)
	for _, r := range p.running {
		if r.to != nil {
			continue
		}
		bytes, rate := r.pace.look()
		isSlow := rate < slowRate
		if n := of[r.account]; n < own+2 && (n < own+1 || !isSlow) {
			continue
		}
		if last == nil || cmp.Or(cmp.Compare(of[last.account], of[r.account]), cmp.Compare(bytes, came)) < 0 {
			last, came, slow = r, bytes, isSlow
		}
	}
	if last == nil {
		return
	}
	last.to, one.way = one, last
	p.log.Info("an upload is ended, since others wait: all places for uploads are taken",
		"account", last.account, "bytes", came, "slow", slow, "uploads", of[last.account], "waiting", len(p.waiting), "for", one.account)
	why := fail(http.StatusTooManyRequests, codeRate,
		"all %d places for uploads are taken and others wait, so this one was ended, of which %d bytes had come: send it again, and fewer at a time", p.all, came)
	if slow {
		why = fail(http.StatusTooManyRequests, codeRate,
			"all %d places for uploads are taken and others wait, so this one was ended, of which less than %d KiB came in a second: send it again", p.all, slowRate>>10)
	}
	why.retryAfter = retryTurn
	last.end(why)
}

// pace is how fast a client sends what the server waits for. Its zero value is ready for use.
type pace struct {
	mu     sync.Mutex
	all    int64     // bytes that came
	since  time.Time // since when the server waits for the client; zero if it does not
	waited time.Duration
	came   int64 // bytes, while it waited for so long
	known  bool
	rate   float64 // the last that was measured, if it is known
}

// wait says that the server waits for the client, if it did not already.
func (p *pace) wait() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.since.IsZero() {
		p.since = time.Now()
	}
}

// got says that it does not wait any more, as some bytes came, or the client took what was sent.
func (p *pace) got(bytes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.since.IsZero() {
		p.waited += time.Since(p.since)
		p.since = time.Time{}
	}
	p.all += int64(bytes)
	if p.came += int64(bytes); p.waited >= slowOver {
		p.rate, p.known = float64(p.came)/p.waited.Seconds(), true
		p.waited, p.came = 0, 0
	}
}

// look tells how many bytes came, and how many in a second. Of a client that the server did not wait for
// long enough the rate is infinite.
func (p *pace) look() (all int64, rate float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	waited := p.waited
	if !p.since.IsZero() {
		waited += time.Since(p.since)
	}
	switch {
	case waited >= slowOver:
		return p.all, float64(p.came) / waited.Seconds()
	case p.known:
		return p.all, p.rate
	}
	return p.all, math.Inf(1)
}
