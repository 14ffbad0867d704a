package exchange

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Gateway is a provider that is asked over HTTP.
type Gateway interface {
	// String names it for a user, such as by its base URL.
	String() string
	// Block fetches a block, and checks its hash. Errors: ErrAbsent; the context's; a
	// [*BusyError] if the gateway wants to be asked less. Any other says, in words for
	// a user, what came in place of the block.
	Block(ctx context.Context, c cid.Cid) ([]byte, error)
}

// ErrAbsent: the gateway does not have the block.
var ErrAbsent = errors.New("the gateway does not have the block")

// BusyError says that a gateway wants to be asked less. The gateway may mean this block
// alone.
type BusyError struct {
	For time.Duration // for how long; zero if it did not say
	Err error
}

func (e *BusyError) Error() string { return e.Err.Error() }
func (e *BusyError) Unwrap() error { return e.Err }

const (
	// A gateway is asked for gatewayStart blocks at a time at first, and for gatewayMost
	// at most. Each block is a request of its own.
	gatewayStart, gatewayMost = 8, requestsMost
	// So many requests may be under way to all gateways together. What is read of an answer
	// waits in memory, unchecked: a MiB of each, and as much again for all of them together
	// (see trustless.Client).
	requestsMost = bytesInFlight / (2 << 20)
	// A session asks so many gateways. Provider records may name any number.
	gatewaysMost = 8
	// So many requests may be under way to gateways that have given nothing of late: half,
	// so that the others are asked in any case.
	requestsIdle = requestsMost / 2
	// A request without an answer for so long is given up for a session that waits for a
	// place and has none.
	requestPatience = 5 * time.Second
)

// Found makes gateways that are said to have a block sources of the sessions that want it.
func (x *Exchange) Found(c cid.Cid, gs []Gateway) {
	x.mu.Lock()
	defer x.mu.Unlock()
	w := x.wants[string(c.Hash())]
	if w == nil {
		return
	}
	for _, g := range gs {
		if x.isSourceOf(g, w.sessions) {
			w.requeue()
		}
	}
	for _, s := range w.sessions {
		s.assign()
	}
}

// isSourceOf makes a gateway a source of sessions that have room for one more. It reports
// whether it is a source of any session now.
func (x *Exchange) isSourceOf(g Gateway, sessions []*Session) bool {
	if x.closed {
		return false
	}
	id := peer.ID(g.String()) // no peer has such an ID
	l := x.lines[id]
	if l == nil {
		l = newLine(x, id)
		l.window = window{size: gatewayStart, most: gatewayMost}
		l.gateway, l.fetches, l.rest = g, make(map[string]*fetch), make(map[*Session]*rest)
		l.health = x.healthOf(id)
		x.lines[id] = l
	}
	for _, s := range sessions {
		if s.gateways < gatewaysMost {
			s.addSource(l, isNamed)
		}
	}
	if len(l.sources) == 0 {
		delete(x.lines, id)
		return false
	}
	return true
}

// Use makes gateways sources of the session from its beginning, like origins.
func (s *Session) Use(gs []Gateway) {
	s.x.mu.Lock()
	defer s.x.mu.Unlock()
	for _, g := range gs {
		s.x.isSourceOf(g, []*Session{s})
	}
	s.assign()
}

// fetch is a request that is under way to a gateway.
type fetch struct {
	cancel context.CancelFunc
	began  time.Time
	idle   bool // the gateway had given nothing of late when it began
}

// slots is how many more requests may be under way to the gateway.
func (l *line) slots(now time.Time) int {
	n := requestsMost - l.x.requests
	if l.gives(now) {
		return n
	}
	return min(n, requestsIdle-l.x.idle)
}

// gives reports whether the line has sent a block of late.
func (l *line) gives(now time.Time) bool { return now.Sub(l.lastBlock) < deliversFor }

// request begins or cancels a request to a gateway, as an entry of a message would say.
func (l *line) request(e entry) {
	key := string(e.cid.Hash())
	f := l.fetches[key]
	switch {
	case e.cancel && f != nil:
		f.cancel()
	case !e.cancel && !e.have && f == nil:
		ctx, cancel := context.WithCancel(l.x.ctx)
		now := time.Now()
		f = &fetch{cancel: cancel, began: now, idle: !l.gives(now)}
		l.fetches[key] = f
		l.x.requests++
		if f.idle {
			l.x.idle++
		}
		l.x.wg.Go(func() {
			defer cancel()
			lost := l.x.awake.Lost()
			data, err := l.gateway.Block(ctx, e.cid)
			if err != nil && l.x.awake.Lost() > lost { // the process was stopped meanwhile, which is not the gateway's fault
				data, err = l.gateway.Block(ctx, e.cid)
			}
			l.fetched(e.cid, f, data, err)
		})
	}
}

// fetched takes in the answer of a gateway.
func (l *line) fetched(c cid.Cid, f *fetch, data []byte, err error) {
	l.x.requestEnded(l, c, f)
	x := l.x
	switch {
	case err == nil:
		key := string(c.Hash())
		var sessions []*Session
		x.mu.Lock()
		if w := x.wants[key]; w != nil {
			sessions = slices.Clone(w.sessions)
		}
		x.mu.Unlock()
		if b, err := blocks.NewBlockWithCid(data, c); err == nil {
			x.receive(l.id, true, []blocks.Block{b}, nil, nil)
		}
		x.mu.Lock()
		defer x.mu.Unlock()
		l.gave(key, sessions)
	case errors.Is(err, ErrAbsent):
		x.receive(l.id, true, nil, nil, []cid.Cid{c})
	case errors.Is(err, context.Canceled):
		x.mu.Lock()
		defer x.mu.Unlock()
		// It may be wanted anew by now. That began no request, as this one was under way.
		if a := l.asks[x.wants[string(c.Hash())]]; a != nil && a.state == askBlock {
			l.request(entry{cid: c})
		}
	default:
		x.mu.Lock()
		defer x.mu.Unlock()
		l.failure(string(c.Hash()), err, time.Now())
	}
}

// requestEnded gives the place of a request to another.
func (x *Exchange) requestEnded(l *line, c cid.Cid, f *fetch) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(l.fetches, string(c.Hash()))
	full := x.requests == requestsMost || f.idle && x.idle == requestsIdle
	x.requests--
	if f.idle {
		x.idle--
	}
	if !full {
		return
	}
	// Sessions go first that have nothing under way.
	for _, has := range []bool{false, true} {
		for s := range x.sessions {
			if s.gateways > 0 && s.hasRequests() == has {
				s.assign()
				s.tell()
			}
		}
	}
}

// hasRequests reports whether any are under way for the session.
func (s *Session) hasRequests() bool {
	return slices.ContainsFunc(s.sources, func(l *line) bool { return l.gateway != nil && l.counts[s] > 0 })
}

// findStuck counts the requests that take much longer than others, for each session. A
// session that waits for such requests alone has no part when the gateway's window is
// divided.
func (l *line) findStuck(now time.Time) {
	clear(l.stuck)
	for key, f := range l.fetches {
		if now.Sub(f.began) < l.window.patience() {
			continue
		}
		if a := l.asks[l.x.wants[key]]; a != nil && a.state == askBlock {
			if l.stuck == nil {
				l.stuck = make(map[*Session]int)
			}
			l.stuck[a.by]++
		}
	}
}

// makeRoom gives up requests without an answer for long, if a session waits that has no
// request under way. Else sessions with slow blocks would hold up all others.
func (x *Exchange) makeRoom(now time.Time) {
	if x.requests == 0 {
		return
	}
	users := 0
	for s := range x.sessions {
		if s.gateways > 0 && (s.queue.len() > 0 || s.hasRequests()) {
			users++
		}
	}
	for s := range x.sessions {
		if s.gateways == 0 || s.queue.len() == 0 || s.crowded() {
			continue
		}
		if s.hasRequests() || s.hasRoom() {
			continue
		}
		// As many as its part is; with one place it would go on block by block.
		for range min(s.queue.len(), max(1, requestsMost/users)) {
			if !x.giveUp(s, now) {
				break
			}
		}
	}
}

// giveUp ends the oldest request that takes a place which the session could have. It reports
// whether there was one.
func (x *Exchange) giveUp(s *Session, now time.Time) bool {
	all := x.requests >= requestsMost || x.idle >= requestsIdle
	var at *line
	var oldest string
	for _, l := range x.lines {
		if _, source := l.sources[s]; !all && !source {
			continue
		}
		for key, f := range l.fetches {
			if a := l.asks[x.wants[key]]; a == nil || a.state != askBlock || now.Sub(f.began) < requestPatience {
				continue
			}
			if at == nil || f.began.Before(at.fetches[oldest].began) {
				at, oldest = l, key
			}
		}
	}
	if at == nil {
		return false
	}
	at.fetches[oldest].cancel()
	at.failure(oldest, errSlow, now)
	return true
}

var errSlow = fmt.Errorf("the gateway gave nothing for %v while others waited", requestPatience)
