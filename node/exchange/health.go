package exchange

import (
	"errors"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	// A session is held back at a gateway when so many different blocks of it have failed
	// there, and none has come since. That is twice as many as are asked for at first, so it
	// takes more than one round, and far more than a DAG has by accident. When as many have
	// failed over all sessions, the gateway ails, and new sessions are held back.
	ailingAfter = 2 * gatewayStart
	// If the gateway itself says that it is asked for too much, so many different blocks are
	// enough. For one block this answer may be about that block alone.
	busyAfter = gatewayStart / 2
	// A session that is held back asks for one block at a time. When that fails, it waits
	// for restFirst, then twice as long each time, up to restMost. It waits longer if the
	// gateway asks for that, also up to restMost. One block that comes ends this. So a dead
	// gateway costs a session little, and blocks that failed for one session hold up no
	// other: another gets its first block there at once.
	restFirst, restMost = 5 * time.Second, 10 * time.Minute
	// So many gateways are remembered that no session uses just now.
	healthMost = 1024
	// That a gateway ails is logged so often.
	tellAgain = time.Hour
)

// failures are the different blocks that have failed since one came.
type failures struct {
	all  map[string]struct{} // by multihash
	busy map[string]struct{} // for which the gateway said that it is busy
}

// note takes a failure in, and reports whether there are too many.
func (f *failures) note(key string, busy bool) bool {
	if f.all == nil {
		f.all, f.busy = make(map[string]struct{}), make(map[string]struct{})
	}
	if len(f.all) < ailingAfter {
		f.all[key] = struct{}{}
	}
	if busy && len(f.busy) < busyAfter {
		f.busy[key] = struct{}{}
	}
	return len(f.all) >= ailingAfter || len(f.busy) >= busyAfter
}

// health is how a peer or a gateway has answered. For gateways it outlives the sessions that
// use them.
type health struct {
	odd    oddities
	failed failures // of a gateway
	ails   bool
	told   time.Time // when the log last had that it ails
	logged bool      // the log has that it does
}

func newHealth() *health { return &health{odd: oddities{}} }

// healthOf gives a gateway's.
func (x *Exchange) healthOf(id peer.ID) *health {
	h := x.health[id]
	if h == nil {
		if len(x.health) >= healthMost {
			for other := range x.health {
				if x.lines[other] == nil {
					delete(x.health, other)
				}
			}
		}
		h = newHealth()
		x.health[id] = h
	}
	return h
}

// rest is how a session fares at a gateway.
type rest struct {
	failed failures
	gave   bool // it got a block
	held   bool // it is held back
	until  time.Time
	pause  time.Duration
}

// isHeldBack reports whether a session asks the gateway for one block at a time.
func (l *line) isHeldBack(s *Session) bool {
	r := l.rest[s]
	if r == nil {
		return l.health.ails
	}
	return r.held || l.health.ails && !r.gave
}

// rests reports whether a session should ask the gateway for nothing now.
func (l *line) rests(s *Session, now time.Time) bool {
	if l.gateway == nil || !l.isHeldBack(s) {
		return false
	}
	r := l.rest[s]
	return l.counts[s] > 0 || r != nil && now.Before(r.until)
}

// restOf gives how a session fares at the gateway. The caller may change it.
func (l *line) restOf(s *Session) *rest {
	if l.rest[s] == nil {
		l.rest[s] = new(rest)
	}
	return l.rest[s]
}

// failure notes that a gateway gave something that is not the block, or nothing.
func (l *line) failure(key string, err error, now time.Time) {
	h := l.health
	var wait time.Duration
	var busy *BusyError
	isBusy := errors.As(err, &busy)
	if isBusy {
		wait = busy.For
	}
	if h.failed.note(key, isBusy) && !h.ails {
		h.ails = true
		if isBusy {
			l.window.size = max(1, l.window.size/2) // it was too much
		}
		if h.told.IsZero() || now.Sub(h.told) >= tellAgain {
			h.told, h.logged = now, true
			l.x.log.Info("a gateway fails for one block after the other; it is asked for few until it gives some", "gateway", string(l.id), "err", err)
		}
	}
	if a := l.asks[l.x.wants[key]]; a != nil {
		for _, s := range a.want.sessions {
			if _, ok := l.sources[s]; !ok {
				continue
			}
			was := l.isHeldBack(s)
			r := l.restOf(s)
			r.held = r.failed.note(key, isBusy)
			// Requests that were under way before do not make the pause longer.
			if l.isHeldBack(s) && (!was || !now.Before(r.until)) {
				r.pause = min(max(2*r.pause, restFirst, wait), restMost)
				r.until = now.Add(r.pause)
			}
		}
	}
	l.x.oddly(l, key, err.Error(), wait, now)
	l.assign()
}

// gave notes that a gateway gave a block to sessions.
func (l *line) gave(key string, sessions []*Session) {
	h := l.health
	delete(h.odd, key)
	h.failed = failures{}
	var free []*Session
	for _, s := range sessions {
		if _, ok := l.sources[s]; !ok {
			continue
		}
		if l.isHeldBack(s) {
			free = append(free, s)
		}
		r := l.restOf(s)
		*r = rest{gave: true}
	}
	if h.ails {
		h.ails = false
		if h.logged {
			h.logged = false
			l.x.log.Info("a gateway that failed gives blocks again", "gateway", string(l.id))
		}
	}
	for _, s := range free {
		for _, w := range s.wants {
			if !w.isAsked() {
				s.parked.remove(w)
				s.queue.put(w)
			}
		}
		s.assign()
		s.tell()
	}
}

// probe lets each session that is held back ask for one block, when it is time.
func (l *line) probe(now time.Time) {
	if l.gateway == nil {
		return
	}
	for s := range l.sources {
		if !l.isHeldBack(s) || l.rests(s, now) {
			continue
		}
		for _, w := range s.wants {
			if a := l.asks[w]; w.isAsked() || a != nil && a.state == askLacks || l.health.odd.tooSoon(w.key, now) {
				continue
			}
			s.parked.remove(w)
			s.queue.putFirst(w)
			s.assign()
			break
		}
	}
}

// assign lets sessions ask the line for what they wait for. Sessions with nothing under way
// there go first.
func (l *line) assign() {
	for _, has := range []bool{false, true} {
		for s := range l.sources {
			if (l.counts[s] > 0) == has {
				s.assign()
				s.tell()
			}
		}
	}
}
