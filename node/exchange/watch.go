package exchange

import (
	"slices"
	"time"
)

const (
	// tick is how often watch looks for what is lost.
	tick = 100 * time.Millisecond

	// An ask is lost after lostAfter, well past any round trip, or on a slow path after
	// so many times the usual latency.
	lostAfter     = time.Second
	lostLatencies = 4
	// But no later than this, since a peer decides itself how slow it seems. It ignores
	// what it is asked again while it has it queued.
	patienceMost = 10 * time.Second
	// So many times it is sent again after the same time. From then on the time doubles,
	// up to lostAfterMost.
	lostQuickly   = 2
	lostAfterMost = 32 * time.Second
	// If it was lost so often and there is no other source, it is broadcast.
	lostForLong = 2

	// What is broadcast is sent again after retryFirst, and each time after twice as long, up to
	// retryAfter: an answer may be lost. Boxo's server does not tell a peer of a block that comes
	// while it takes in the peer's want.
	retryFirst, retryAfter = 5 * time.Second, time.Minute
)

// watch looks for what is lost, until the exchange is closed.
func (x *Exchange) watch() {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	lastTurn := time.Now()
	lost := x.awake.Lost()
	for {
		select {
		case <-x.ctx.Done():
			return
		case <-ticker.C:
			now := time.Now() // the time of the tick may be from before the process was stopped
			x.mu.Lock()
			if l := x.awake.Lost(); l > lost {
				x.forgive(l - lost)
				lost = l
			}
			x.look(now)
			if now.Sub(lastTurn) >= questionAge {
				lastTurn = now
				x.seekMissed()
			}
			x.mu.Unlock()
		}
	}
}

func (x *Exchange) look(now time.Time) {
	x.busy = 0
	for _, l := range x.lines {
		if l.delivers(now) {
			x.busy++
		}
	}
	for _, l := range x.lines {
		l.goOn(now)
		l.findStuck(now)
		if l.open > 0 {
			l.findLost(now)
		}
		l.askOddAgain(now)
		l.probe(now)
	}
	x.makeRoom(now)
	for w := range x.seeking {
		if now.Sub(w.narrow) >= soon {
			x.widen(w)
		}
		if now.Sub(w.retried) < w.retryAfter {
			continue
		}
		w.retried, w.retryAfter = now, min(2*w.retryAfter, retryAfter)
		if !w.isAsked() {
			x.retry(w)
		}
	}
	for s := range x.sessions {
		s.measure(now)
		if !s.any {
			s.seekFirst(now)
		} else {
			s.seekHeldUp(now)
		}
		s.search(now)
	}
}

// seekFirst broadcasts what a session began with if the sources that should have it are
// silent.
func (s *Session) seekFirst(now time.Time) {
	for _, w := range s.wants {
		if s.sought == soughtMost {
			return
		}
		if now.Sub(w.since) >= seekAfter {
			s.x.seek(w)
		}
	}
}

// seekHeldUp broadcasts what waits for sources that have had no room for long. They may say
// to have it, and give nothing.
func (s *Session) seekHeldUp(now time.Time) {
	for w := range s.queue.all() {
		if s.sought == soughtMost || now.Sub(w.since) < heldUpAfter {
			return // those behind it came later, or will be seen next
		}
		s.x.seek(w)
	}
}

// findLost sends again what the line was asked for and has not answered.
func (l *line) findLost(now time.Time) {
	if !l.held.IsZero() {
		return // the line is asked nothing now
	}
	patience := l.window.patience()
	silent := now.Sub(l.last) >= patience
	var lost []*ask
	idle := map[*line]bool{}
	for _, a := range l.asks {
		if a.state != askBlock {
			continue
		}
		age := now.Sub(a.sent)
		if age >= longer(patience, a.again-lostQuickly) && (silent || l.newest.Sub(a.sent) >= patience) {
			lost = append(lost, a)
		} else if age >= lostAfter {
			// A line may be slow for long while another has nothing to do.
			if o := a.by.other(a, now); o != nil && (o.open == 0 || idle[o]) && age >= lostLatencies*o.window.latency {
				idle[o] = true
				o.ask(a.want, a.by, askBlock, now)
			}
		}
	}
	if len(lost) == 0 {
		return
	}
	switch {
	case l.gateway != nil: // each request is for itself
	case !silent:
		// A second loss says something about the block, and nothing about the line.
		if slices.ContainsFunc(lost, func(a *ask) bool { return a.again == 0 }) {
			l.window.lost()
		}
	default:
		l.last = now // it has as long again for these
		if l.open == 1 {
			break // one ask says nothing about how many are too many
		}
		if l.silences++; l.silences == 1 {
			l.window.lost()
			break
		}
		kept := l.narrow(now)
		lost = slices.DeleteFunc(lost, func(a *ask) bool { return !slices.Contains(kept, a) })
	}
	again := false // there is room, since some were put aside
	for _, a := range lost {
		l.x.again.Add(1)
		for _, s := range a.want.sessions {
			s.again++
		}
		a.again++
		if o := a.by.other(a, now); o != nil {
			a.sent = now // it may come yet
			o.ask(a.want, a.by, askBlock, now)
			continue
		}
		if l.gateway == nil && (a.again > lostForLong || l.health.odd[a.want.key] != nil) && l.newest.After(a.first) {
			// Later asks were answered, so it is this block. It takes no room from now on.
			a.want.overdue = true
			l.x.oddly(l, a.want.key, "it does not answer for it", 0, now)
			again = true
			if !a.want.isAsked() && a.by.sought < soughtMost {
				l.x.seek(a.want)
			}
			continue
		}
		if l.gateway == nil { // a request over HTTP ends by itself
			l.ask(a.want, a.by, askBlock, now)
		} else {
			a.sent = now
		}
		if a.again >= lostForLong {
			a.want.overdue = true
			if a.by.sought < soughtMost {
				l.x.seek(a.want)
			}
		}
	}
	if again {
		l.assign()
	}
}

// other gives another source that may have what an ask is for, and has room.
func (s *Session) other(a *ask, now time.Time) (best *line) {
	for _, l := range s.sources {
		if l == a.line || l.asks[a.want] != nil || l.room(s) <= 0 || l.health.odd.tooSoon(a.want.key, now) || l.rests(s, now) {
			continue
		}
		if best == nil || l.open < best.open {
			best = l
		}
	}
	return best
}

// longer doubles d n times, up to lostAfterMost unless d is more already.
func longer(d time.Duration, n int) time.Duration {
	for ; n > 0 && d < lostAfterMost; n-- {
		d *= 2
	}
	return d
}
