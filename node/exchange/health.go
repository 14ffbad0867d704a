package exchange

import (
	"errors"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	// A gateway ails when so many different blocks have failed there, one after the
	// other, and none came: twice as many as it is asked for at first, so that it takes
	// more than one round, and more than the odd blocks of one DAG while another comes.
	ailingAfter = 2 * gatewayStart
	// It does so sooner if it says itself that it is asked for too much: when that was the
	// answer for so many blocks. One may be for that block alone.
	busyAfter = gatewayStart / 2
	// Of one that ails each session asks one block at a time, the first at once, and
	// after that one failed waits for so long, twice as long each time up to restMost. So
	// who has a block that the gateway gives waits for nobody's odd ones, and one that is
	// dead costs little. What it asks for itself is heeded up to restMost.
	restFirst, restMost = 5 * time.Second, 10 * time.Minute
	// So many gateways are remembered that nobody asks just now.
	healthMost = 1024
)

// health is how a peer or a gateway has answered. Of gateways it is known beyond the
// sessions that use them.
type health struct {
	odd    oddities
	failed map[string]struct{} // blocks, since one came
	busy   map[string]struct{} // those of them for which it said that it is busy
	ails   bool
}

func newHealth() *health {
	return &health{odd: oddities{}, failed: map[string]struct{}{}, busy: map[string]struct{}{}}
}

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

// rest is how a session leaves a gateway alone that ails.
type rest struct {
	until time.Time
	pause time.Duration
}

// rests reports whether a session asks the gateway nothing now.
func (l *line) rests(s *Session, now time.Time) bool {
	return l.health.ails && (l.counts[s] > 0 || now.Before(l.rest[s].until))
}

// failure takes note that a gateway gave something that is not a block, or nothing.
func (l *line) failure(key string, err error, now time.Time) {
	x, h := l.x, l.health
	var wait time.Duration
	var busy *BusyError
	if errors.As(err, &busy) {
		wait = busy.For
		h.busy[key] = struct{}{}
	}
	if !h.ails {
		h.failed[key] = struct{}{}
		if len(h.failed) >= ailingAfter || len(h.busy) >= busyAfter {
			h.ails = true
			l.window.size = max(1, l.window.size/2) // it may have been too much
			x.log.Info("a gateway fails for one block after the other, and is asked for few until it gives one", "gateway", string(l.id), "err", err)
		}
	}
	if a := l.asks[x.wants[key]]; a != nil && h.ails {
		r := l.rest[a.by]
		r.pause = min(max(2*r.pause, restFirst, wait), restMost)
		r.until = now.Add(r.pause)
		l.rest[a.by] = r
	}
	x.oddly(l, key, err.Error(), wait, now)
	for s := range l.sources { // what it keeps for others has room elsewhere
		if h.ails {
			s.assign()
		}
	}
}

// recovers takes note that a gateway gave a block.
func (l *line) recovers() {
	h := l.health
	clear(h.failed)
	clear(h.busy)
	if !h.ails {
		return
	}
	h.ails = false
	clear(l.rest)
	l.x.log.Info("a gateway that failed gives blocks again", "gateway", string(l.id))
	for s := range l.sources {
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

// probe has sessions ask a gateway that ails for a block each, when it is time.
func (l *line) probe(now time.Time) {
	if !l.health.ails {
		return
	}
	for s := range l.sources {
		if l.rests(s, now) {
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
