package exchange

import (
	"context"
	"fmt"
	"slices"
	"time"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Arrival is a block that came, and who sent it.
type Arrival struct {
	Block blocks.Block
	From  peer.ID
}

// Session is what one walk asks for. Its methods may be called concurrently.
type Session struct {
	x       *Exchange
	about   string
	tag     string
	origins []peer.ID
	ctx     context.Context // ends with Close
	end     context.CancelFunc
	ready   chan struct{} // holds one when something has come, or changed

	// The exchange's lock guards what follows.
	closed    bool
	wants     map[string]*want // open, by multihash
	queue     []*want          // to be asked of a source, or sought; some may be stale
	parked    []*want          // that no source has, while others are sought
	sought    int              // wants of it that are broadcast
	sources   []*line
	inbox     []Arrival
	searching bool

	last    time.Time     // when a block last came, or the wait for one began
	any     bool          // a block has come
	gap     time.Duration // the longest that a block was waited for
	again   uint64        // asks that were sent again
	started time.Time
}

// SessionStats is how a session goes.
type SessionStats struct {
	Open    int           // wants that are open
	Sources int           // connected peers that have had blocks of it
	Again   uint64        // asks that were lost, and sent again
	Gap     time.Duration // the longest time without a block while a source was asked for one
}

// NewSession begins a session about something, such as a DAG: those about the same
// are one where something is shared out. Its origins, by their peer IDs, are asked
// first once they are connected. The caller closes it.
func (x *Exchange) NewSession(about string, origins []peer.ID) *Session {
	x.mu.Lock()
	defer x.mu.Unlock()
	s := &Session{
		x: x, about: about, origins: origins, ready: make(chan struct{}, 1),
		wants: make(map[string]*want), started: time.Now(),
	}
	s.ctx, s.end = context.WithCancel(x.ctx)
	s.tag = fmt.Sprintf("holdfast-session-%p", s)
	x.sessions[s] = struct{}{}
	for _, p := range origins {
		if l := x.lines[p]; l != nil {
			s.addSource(l, false)
		}
	}
	return s
}

// Close ends the session and all that it wants. It may be called twice.
func (s *Session) Close() {
	s.x.mu.Lock()
	defer s.x.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	s.end()
	for _, w := range s.wants {
		s.leave(w)
	}
	for len(s.sources) > 0 {
		s.removeSource(s.sources[len(s.sources)-1])
	}
	s.queue, s.parked, s.inbox = nil, nil, nil
	delete(s.x.sessions, s)
	for o := range s.x.sessions {
		o.assign() // there is more room
	}
}

// Ask opens a want for each block, which stays open until it comes or is forgotten.
func (s *Session) Ask(cs ...cid.Cid) {
	s.x.mu.Lock()
	defer s.x.mu.Unlock()
	if s.closed {
		return
	}
	if len(s.wants) == 0 {
		s.last = time.Now() // the wait begins
	}
	for _, c := range cs {
		key := string(c.Hash())
		w := s.x.wants[key]
		if w == nil {
			w = &want{cid: c, key: key, since: time.Now()}
			s.x.wants[key] = w
		}
		if s.wants[key] != nil {
			continue
		}
		s.wants[key] = w
		w.sessions = append(w.sessions, s)
		if _, ok := s.x.seeking[w]; ok {
			s.sought++
		}
		if !w.isAsked() {
			s.queue = append(s.queue, w)
		}
	}
	s.assign()
}

// Forget takes back that blocks are wanted.
func (s *Session) Forget(cs ...cid.Cid) {
	s.x.mu.Lock()
	defer s.x.mu.Unlock()
	for _, c := range cs {
		if w := s.wants[string(c.Hash())]; w != nil {
			s.leave(w)
		}
	}
}

// leave takes the session from a want, which ends with the last.
func (s *Session) leave(w *want) {
	if len(w.sessions) == 1 {
		s.x.forget(w, nil)
		return
	}
	delete(s.wants, w.key)
	if _, ok := s.x.seeking[w]; ok {
		s.sought--
	}
	w.sessions = slices.DeleteFunc(w.sessions, func(o *Session) bool { return o == s })
	for _, a := range w.asks {
		if a.by == s { // another pays from now on
			a.line.count(a, -1)
			a.by = w.sessions[0]
			a.line.count(a, 1)
		}
	}
}

// roomForNobody is how many blocks are worth asking for while there is no source.
const roomForNobody = 16

// Room is how many more blocks are worth asking for.
func (s *Session) Room() int {
	s.x.mu.Lock()
	defer s.x.mu.Unlock()
	room := 0
	for _, l := range s.sources {
		room += max(0, l.room(s))
	}
	if len(s.sources) == 0 {
		room = roomForNobody - len(s.wants) // for whoever comes
	}
	// Some that nobody has leave the room to others, so that the rest comes of a DAG
	// of which a source lacks a part.
	return max(0, room-len(s.queue)-max(0, s.sought+len(s.parked)-soughtAside))
}

// Ready gives a value when blocks have come, or there may be more room.
func (s *Session) Ready() <-chan struct{} { return s.ready }

// Take gives the blocks that came since it was last called.
func (s *Session) Take() []Arrival {
	s.x.mu.Lock()
	defer s.x.mu.Unlock()
	as := s.inbox
	s.inbox = nil
	return as
}

// Stats says how the session goes.
func (s *Session) Stats() SessionStats {
	s.x.mu.Lock()
	defer s.x.mu.Unlock()
	s.measure(time.Now())
	st := SessionStats{Open: len(s.wants), Again: s.again, Gap: s.gap}
	for _, l := range s.sources {
		if l.sources[s] {
			st.Sources++
		}
	}
	return st
}

// Providers gives the peers that are connected and have had blocks of it.
func (s *Session) Providers() (ids []peer.ID) {
	s.x.mu.Lock()
	defer s.x.mu.Unlock()
	for _, l := range s.sources {
		if l.sources[s] && l.gateway == nil {
			ids = append(ids, l.id)
		}
	}
	return ids
}

// measure takes note of the time without a block, while a source is asked for one,
// and gives it.
func (s *Session) measure(now time.Time) (gap time.Duration) {
	if !s.any {
		return 0 // before the first it is not known who has it
	}
	for _, l := range s.sources {
		if l.counts[s] > 0 {
			gap = now.Sub(s.last)
			s.gap = max(s.gap, gap)
			s.x.gaps.note(gap, now)
			return gap
		}
	}
	s.last = now // nobody is asked
	return 0
}

// arrived puts a block into the inbox.
func (s *Session) arrived(a Arrival, now time.Time) {
	if s.measure(now) >= stallFrom {
		s.x.stalls++
	}
	s.last, s.any = now, true
	s.inbox = append(s.inbox, a)
}

func (s *Session) tell() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

func (s *Session) isOrigin(p peer.ID) bool { return slices.Contains(s.origins, p) }

// addSource makes a line one that the session asks. proven is whether it has sent
// or said to have a block of it.
func (s *Session) addSource(l *line, proven bool) {
	if l.gone || s.closed {
		return
	}
	was, is := l.sources[s]
	l.sources[s] = was || proven
	if is {
		return
	}
	s.sources = append(s.sources, l)
	if l.gateway == nil {
		s.x.cfg.Network.Protect(l.id, s.tag)
	}
	s.queue = append(s.queue, s.parked...)
	s.parked = nil
	s.tell()
}

func (s *Session) removeSource(l *line) {
	delete(l.sources, s)
	s.sources = slices.DeleteFunc(s.sources, func(o *line) bool { return o == l })
	if l.gateway == nil {
		s.x.cfg.Network.Unprotect(l.id, s.tag)
	} else if len(l.sources) == 0 {
		l.gone = true // nobody asks it any more
		delete(s.x.lines, l.id)
	}
	s.tell()
}

// assign asks sources for what is in the queue, as far as they have room.
func (s *Session) assign() {
	if s.closed {
		return
	}
	now := time.Now()
	for len(s.queue) > 0 {
		w := s.queue[0]
		if w.sessions == nil || w.isAsked() {
			s.queue = s.queue[1:]
			continue
		}
		l, full := s.pick(w)
		switch {
		case l != nil:
			l.ask(w, s, askBlock, now)
		case full:
			return
		case s.sought < soughtMost:
			s.x.seek(w)
		default:
			s.parked = append(s.parked, w)
		}
		s.queue = s.queue[1:]
	}
}

// pick gives the source that is asked best, if any has room; full is whether one
// may have the block and has no room.
func (s *Session) pick(w *want) (best *line, full bool) {
	least := 0.0
	for _, l := range s.sources {
		if a := l.asks[w]; a != nil && a.state == askLacks {
			continue
		}
		if !l.paused.IsZero() {
			continue
		}
		if l.room(s) <= 0 {
			full = true
			continue
		}
		// Whoever is quicker for the number of its asks gets more of them.
		load := float64(l.open+1) / float64(l.window.size)
		if best == nil || load < least {
			best, least = l, load
		}
	}
	return best, full
}
