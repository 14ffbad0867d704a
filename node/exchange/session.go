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
	Block   blocks.Block
	From    peer.ID
	Gateway bool // From is the URL of a gateway
}

// Source names who sent the block: the ID of a peer, or the URL of a gateway.
func (a Arrival) Source() string {
	if a.Gateway {
		return string(a.From)
	}
	return a.From.String()
}

// Session is what one walk asks for. Its methods may be called concurrently.
type Session struct {
	x       *Exchange
	about   string
	tag     string
	origins []peer.ID
	ctx     context.Context // ends with Close
	end     context.CancelFunc
	ready   chan struct{} // holds one value when something has come, or changed

	// The exchange's lock guards what follows.
	closed    bool
	wants     map[string]*want // open, by multihash
	queue     queue            // to be asked of a source, or sought
	parked    queue            // that no source has, while others are sought
	sought    int              // how many of its wants are broadcast
	sources   []*line
	gateways  int // how many of its sources are gateways
	inbox     []Arrival
	waiting   int  // bytes in the inbox
	taken     bool // blocks were taken from it
	searching bool

	last    time.Time     // when a block last came, or the wait for one began
	any     bool          // a block has come
	gap     time.Duration // the longest that a block was waited for
	again   uint64        // asks that were sent again
	started time.Time

	oversized []Oversized
}

// SessionStats is how a session goes.
type SessionStats struct {
	Open    int           // wants that are open
	Sources int           // connected peers that have had blocks of it
	Again   uint64        // asks that were lost, and sent again
	Gap     time.Duration // the longest time without a block while a source was asked for one
	// Troubles says, for a user, of which blocks something else came, which a gateway is
	// slow to send, and which nobody has. "" is that there are none.
	Troubles string
	// Oversized are blocks that were wanted and are known to be too large for any peer to
	// send. A gateway may still have them.
	Oversized []Oversized
}

// NewSession begins a session about something, such as a DAG. Sessions about the same thing
// count as one where something is shared out. Origins are peer IDs; they are asked first,
// once they are connected. The caller closes the session.
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
			s.addSource(l, isNamed)
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
	frees := len(s.wants) > 0 || s.waiting > 0
	for _, w := range s.wants {
		s.leave(w)
	}
	for len(s.sources) > 0 {
		s.removeSource(s.sources[len(s.sources)-1])
	}
	s.empty()
	delete(s.x.sessions, s)
	if !frees { // what it took up was free before, and others have it
		return
	}
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
			s.queue.put(w)
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
	s.assign() // there is more room
}

// leave takes the session from a want, which ends with the last.
func (s *Session) leave(w *want) {
	if len(w.sessions) == 1 {
		s.x.forget(w, nil)
		return
	}
	s.part(w)
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

// part takes a want that ends from what the session waits for.
func (s *Session) part(w *want) {
	delete(s.wants, w.key)
	s.queue.remove(w)
	s.parked.remove(w)
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
	switch {
	case len(s.sources) == 0:
		room = roomForNobody - len(s.wants) // for whoever comes
	case len(s.wants) == 0 && !s.crowded():
		room = max(room, roomForNobody) // else nobody knows that it waits for a place
	}
	// A few wants that nobody has do not count, so that the rest of the DAG comes from a
	// source that lacks a part of it.
	return max(0, room-s.queue.len()-max(0, s.sought+s.parked.len()-soughtAside))
}

// Ready receives a value when blocks have come, or when there may be more room.
func (s *Session) Ready() <-chan struct{} { return s.ready }

// Take gives the blocks that came since it was last called.
func (s *Session) Take() []Arrival {
	s.x.mu.Lock()
	defer s.x.mu.Unlock()
	as := s.inbox
	full := s.x.firstCrowded()
	s.empty()
	s.taken = s.taken || len(as) > 0
	s.assign() // if it was crowded
	if full && !s.x.firstCrowded() {
		for o := range s.x.sessions {
			o.assign()
		}
	}
	return as
}

// Has reports whether there is something to Take. Until it is taken, it counts against what
// may wait in memory.
func (s *Session) Has() bool {
	s.x.mu.Lock()
	defer s.x.mu.Unlock()
	return len(s.inbox) > 0
}

// empty empties the inbox.
func (s *Session) empty() {
	if s.waiting > 0 {
		s.x.waiting--
	}
	if !s.taken {
		s.x.first -= s.waiting
	}
	s.inbox, s.waiting = nil, 0
}

// inboxLeast is what a session's inbox may hold in any case: one block of the largest
// size.
const inboxLeast = 4 << 20

// inboxMost is how many bytes the inbox may hold. The sessions for which blocks wait divide
// bytesInFlight among them.
func (s *Session) inboxMost() int {
	n := s.x.waiting
	if s.waiting == 0 {
		n++
	}
	return max(inboxLeast, bytesInFlight/n)
}

// crowded reports that no more should be asked for before the inbox was emptied.
func (s *Session) crowded() bool {
	return s.waiting >= s.inboxMost()/2 || !s.taken && s.x.firstCrowded()
}

// firstMost is how many bytes the inboxes of all sessions together may hold that have taken
// nothing yet. Hundreds of pins may get a first block of 4 MiB at the same time, and wait
// for one of few workers. Sessions that have a worker are not held up by this limit.
const firstMost = bytesInFlight

// firstCrowded reports that sessions that have taken nothing yet should ask for nothing.
func (x *Exchange) firstCrowded() bool { return x.first >= firstMost/2 }

// fits reports whether all sessions that want a block have room for it. A window grows while
// blocks are small, so more may come than there is room for when they get larger.
func (w *want) fits(bytes int) bool {
	for _, s := range w.sessions {
		if s.waiting > 0 && s.waiting+bytes > s.inboxMost() {
			return false
		}
		if first := s.x.first; !s.taken && first > 0 && first+bytes > firstMost {
			return false
		}
	}
	return true
}

// Stats says how the session goes.
func (s *Session) Stats() SessionStats {
	s.x.mu.Lock()
	defer s.x.mu.Unlock()
	now := time.Now()
	s.measure(now)
	st := SessionStats{Open: len(s.wants), Again: s.again, Gap: s.gap, Troubles: s.troubles(now), Oversized: s.oversized}
	for _, l := range s.sources {
		if l.sources[s]&(saidHave|sentBlock) != 0 {
			st.Sources++
		}
	}
	return st
}

// Providers gives the peers that are connected and have sent blocks of it.
func (s *Session) Providers() (ids []peer.ID) {
	s.x.mu.Lock()
	defer s.x.mu.Unlock()
	for _, l := range s.sources {
		if l.sources[s]&sentBlock != 0 && l.gateway == nil {
			ids = append(ids, l.id)
		}
	}
	return ids
}

// measure notes for how long no block has come while a source was asked for one, and gives
// that time.
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
	if s.waiting == 0 {
		s.x.waiting++
	}
	size := max(1, len(a.Block.RawData()))
	s.waiting += size
	if !s.taken {
		s.x.first += size
	}
	s.inbox = append(s.inbox, a)
}

func (s *Session) tell() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

func (s *Session) isOrigin(p peer.ID) bool { return slices.Contains(s.origins, p) }

// proof is by what a line is a source of a session: some of these.
type proof uint8

const (
	isNamed   proof = 1 << iota // as an origin, or by others
	saidHave                    // it said that it has a block
	sentBlock                   // it sent one
)

// keeps reports whether the connection of a source is protected when connections are closed
// to make room. A peer that only says to have something could be anybody.
func (p proof) keeps() bool { return p&(isNamed|sentBlock) != 0 }

// addSource makes a line a source of the session.
func (s *Session) addSource(l *line, by proof) {
	if l.gone || s.closed {
		return
	}
	was := l.sources[s]
	l.sources[s] = was | by
	if l.gateway == nil && !was.keeps() && by.keeps() {
		s.x.cfg.Network.Protect(l.id, s.tag)
	}
	if was != 0 {
		return
	}
	s.sources = append(s.sources, l)
	if l.gateway != nil {
		s.gateways++
	}
	for s.parked.len() > 0 {
		w := s.parked.front()
		s.parked.remove(w)
		s.queue.put(w)
	}
	// It is asked for what is sought as well, whether or not it has room for a question.
	for _, w := range s.wants {
		if _, ok := s.x.seeking[w]; ok && l.asks[w] == nil && !w.isAsked() {
			s.queue.put(w)
		}
	}
	s.tell()
}

func (s *Session) removeSource(l *line) {
	kept := l.sources[s].keeps()
	delete(l.sources, s)
	delete(l.rest, s)
	s.sources = slices.DeleteFunc(s.sources, func(o *line) bool { return o == l })
	switch {
	case l.gateway != nil:
		s.gateways--
		if len(l.sources) == 0 {
			l.gone = true // nobody asks it any more
			delete(s.x.lines, l.id)
		}
	case kept:
		s.x.cfg.Network.Unprotect(l.id, s.tag)
	}
	s.tell()
}

// assign asks sources for what is in the queue, as far as they have room. A want waits if
// only sources without room may have it; it holds up no other. When the queue is empty, what is parked
// follows, as far as more may be sought: a source may have it by now.
func (s *Session) assign() {
	if s.closed {
		return
	}
	now := time.Now()
	for s.assignQueue(now); s.queue.len() == 0 && s.parked.len() > 0 && s.sought < soughtMost; s.assignQueue(now) {
		w := s.parked.front()
		s.parked.remove(w)
		s.queue.put(w)
	}
}

// assignQueue asks for what is in the queue. What it leaves there waits for a source.
func (s *Session) assignQueue(now time.Time) {
	for w := range s.queue.all() {
		if w.isAsked() {
			s.queue.remove(w)
			continue
		}
		l, full := s.pick(w, now)
		if l == nil && full {
			if !s.hasRoom() {
				return
			}
			continue
		}
		s.queue.remove(w)
		switch {
		case l != nil:
			l.ask(w, s, askBlock, now)
		case s.sought < soughtMost:
			s.x.seek(w)
		default:
			s.parked.put(w)
		}
	}
}

// hasRoom reports whether a source has.
func (s *Session) hasRoom() bool {
	return slices.ContainsFunc(s.sources, func(l *line) bool { return l.room(s) > 0 })
}

// pick gives the best source to ask, if any has room. full is whether a source without room
// may have the block.
func (s *Session) pick(w *want, now time.Time) (best *line, full bool) {
	least := 0.0
	for _, l := range s.sources {
		if a := l.asks[w]; a != nil && a.state == askLacks {
			continue
		}
		if l.health.odd.tooSoon(w.key, now) || l.rests(s, now) {
			continue
		}
		if l.room(s) <= 0 {
			full = true
			continue
		}
		// A line that answers more quickly has a wider window, and gets more.
		load := float64(l.open+1) / float64(l.window.size)
		if best == nil || load < least {
			best, least = l, load
		}
	}
	return best, full
}
