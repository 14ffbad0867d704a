package exchange

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	// So many wants of a session are broadcast at a time. Each goes to every connected peer,
	// and a peer that has one block most likely has the others.
	soughtMost = 32
	// So many wants that no source has do not count against the room for others.
	soughtAside = 256
	// The peer that sent a block last, if it was so lately, is first asked alone for a block with nothing
	// below it: most likely it has it, and no other source is needed. If it lacks it, or has not
	// answered so soon, all are asked. That is well before the turn of a pin ends that waits for answers.
	givesFor = 10 * time.Second
	soon     = 50 * time.Millisecond

	// If a source, such as an origin, has been silent for so long, others are asked too.
	// That is well past a round trip.
	seekAfter = 500 * time.Millisecond
	// If a source has been busy with other blocks for so long, others are asked too.
	heldUpAfter = 5 * time.Second
	// What no connected peer has is looked for elsewhere after searchAfter, and again every
	// searchAgain.
	searchAfter = time.Second
	searchAgain = time.Minute
	// One search ends after so many providers that could be reached, or so many that were
	// tried: some of those that are named have gone.
	searchProviders = 10
	searchDials     = 32
	// If there are too many questions, one that is so old is taken back for another. That is
	// long enough for an answer, and short enough that all have their turn.
	questionAge = 5 * time.Second
	dialTime    = 20 * time.Second
)

// seek broadcasts a want: every line is asked whether it has the block.
func (x *Exchange) seek(w *want) {
	if _, ok := x.seeking[w]; ok || len(w.sessions) == 0 {
		return
	}
	x.seeking[w] = struct{}{}
	w.retried, w.retryAfter = time.Now(), retryFirst
	w.ctx, w.unsought = context.WithCancel(x.ctx)
	for _, s := range w.sessions {
		s.sought++
	}
	if l := x.likely(w); l != nil && l.question(w, false) {
		w.narrow = w.retried
		l.ask(w, w.sessions[0], askHave, w.retried)
		return
	}
	x.seekEverywhere(w)
}

// likely gives the line that is first asked alone; nil if all are to be asked at once.
func (x *Exchange) likely(w *want) (last *line) {
	if w.cid.Type() != cid.Raw {
		return nil // the more sources are known, the faster comes what is below it
	}
	for _, l := range x.lines {
		if l.gateway == nil && l.asks[w] == nil && (last == nil || l.sent.After(last.sent)) {
			last = l
		}
	}
	if last == nil || w.retried.Sub(last.sent) >= givesFor || last.window.latency >= soon {
		return nil
	}
	return last
}

// widen asks every line for a want for which one was asked first.
func (x *Exchange) widen(w *want) {
	if !w.narrow.IsZero() {
		x.seekEverywhere(w)
	}
}

// seekEverywhere asks every line.
func (x *Exchange) seekEverywhere(w *want) {
	w.told, w.missed, w.narrow = time.Now(), false, time.Time{}
	for _, l := range x.lines {
		x.seekAt(w, l)
	}
}

// seekAt asks a line whether it has a block, unless it was asked before. If the line is
// named as having it, this question takes the place of another.
func (x *Exchange) seekAt(w *want, l *line) {
	if l.gateway != nil || l.asks[w] != nil {
		return
	}
	if !l.question(w, false) {
		w.missed = true
		return
	}
	l.ask(w, w.sessions[0], askHave, time.Now())
}

// seekMissed asks again for the wants for which some lines could not be asked. The want that
// waits longest goes first.
func (x *Exchange) seekMissed() {
	var missed []*want
	for w := range x.seeking {
		if w.missed {
			missed = append(missed, w)
		}
	}
	slices.SortFunc(missed, func(a, b *want) int { return a.told.Compare(b.told) })
	for _, w := range missed {
		x.seekEverywhere(w)
	}
}

// unseek ends the broadcast of a want. The caller assigns.
func (x *Exchange) unseek(w *want) {
	if _, ok := x.seeking[w]; !ok {
		return
	}
	delete(x.seeking, w)
	w.narrow = time.Time{}
	w.unsought()
	for _, s := range w.sessions {
		s.sought-- // the next assign lets another be sought
	}
}

// search looks for providers of what the session seeks, if it is time.
func (s *Session) search(now time.Time) {
	if s.x.cfg.Finder == nil || s.searching || s.sought == 0 || s.x.closed {
		return
	}
	// The one whose last search is longest ago.
	var due *want
	for _, w := range s.wants {
		_, sought := s.x.seeking[w]
		if !sought || w.isAsked() && !w.overdue || now.Sub(w.since) < searchAfter || now.Sub(w.searched) < searchAgain {
			continue
		}
		if due == nil || w.searched.Before(due.searched) {
			due = w
		}
	}
	if due == nil {
		return
	}
	s.searching, due.searched = true, now
	ctx := due.ctx
	s.x.wg.Go(func() {
		s.find(ctx, due)
		s.x.mu.Lock()
		defer s.x.mu.Unlock()
		s.searching = false
	})
}

// find connects to providers of a want, for as long as the want is sought. They are asked
// once they are connected.
func (s *Session) find(sought context.Context, w *want) {
	ctx, cancel := context.WithCancel(sought)
	defer context.AfterFunc(s.ctx, cancel)()
	var dials sync.WaitGroup
	defer dials.Wait()
	defer cancel() // the search, not the dials
	var reached atomic.Int32
	enough := make(chan struct{})
	found := s.x.cfg.Finder.Find(ctx, s.about, w.cid)
	tried := make(map[peer.ID]struct{})
	for len(tried) < searchDials {
		var ai peer.AddrInfo
		var ok bool
		select {
		case ai, ok = <-found:
		case <-enough:
		}
		if !ok {
			return
		}
		s.x.name(w, ai.ID, len(tried) == 0)
		tried[ai.ID] = struct{}{}
		if s.x.cfg.Gateways != nil {
			s.x.Found(w.cid, s.x.cfg.Gateways(ai))
		}
		// A peer that has one block may have the next, so a dial outlives its want.
		dials.Go(func() {
			if s.x.dial(s.ctx, ai) && reached.Add(1) == searchProviders {
				close(enough)
			}
		})
	}
}

// name notes that a peer is said to have a block, and asks it if it is connected. The first
// peer of a search replaces those that the last search found.
func (x *Exchange) name(w *want, p peer.ID, first bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if first {
		w.named = make(map[peer.ID]struct{})
	}
	w.named[p] = struct{}{}
	_, sought := x.seeking[w]
	if l := x.lines[p]; l != nil && sought {
		x.seekAt(w, l)
	}
}

// isNamed reports whether a line is said to have the block.
func (w *want) isNamed(l *line) bool {
	_, ok := w.named[l.id]
	return ok
}

// dial connects to a provider, and reports whether it is connected.
func (x *Exchange) dial(ctx context.Context, ai peer.AddrInfo) bool {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	err := x.cfg.Network.Connect(ctx, ai)
	if err != nil {
		x.log.Debug("cannot reach a provider", "peer", ai.ID, "err", err)
	}
	return err == nil
}

// retry asks all lines anew for a want that has been sought for long. Where it has no place among
// the questions, it takes its turn behind those that wait for one.
func (x *Exchange) retry(w *want) {
	now := time.Now()
	for _, a := range w.asks {
		if a.state != askBlock {
			first := a.first // its place is as old as it was
			a.line.ask(w, a.by, askHave, now)
			a.first = first
		}
	}
	if w.missed {
		return
	}
	for _, l := range x.lines {
		if l.gateway == nil && l.asks[w] == nil {
			w.missed, w.told = true, now
		}
	}
}
