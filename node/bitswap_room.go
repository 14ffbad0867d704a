package node

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/ipfs/boxo/bitswap/message"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	// Messages to all peers have 1/sendShare of Limits.Memory, and at least sendMemoryLeast.
	sendShare       = 8
	sendMemoryLeast = 16 << 20
	// A message takes its size twice while it is written: the blocks, and their wire form.
	sendCopies = 2
	quickShare = 8
	// A message counts for at least so much: it has a goroutine.
	messageLeast = 4 << 10

	// windowLeast may be on its way to any peer, and windowFirst to one of which nothing is known.
	// By a modem they take 20 s and a minute and a half. If only the length of its path is known,
	// it is taken to have firstRate, up to firstMost times Limits.OutstandingBytes: else a fast
	// path would take many round trips to be filled.
	windowLeast = 256 << 10
	windowFirst = 1 << 20
	firstRate   = 64 << 20 // bytes a second
	firstMost   = 4
	// What is on its way to a peer on a short path is sent within windowTime, up to
	// Limits.OutstandingBytes. What waits longer only takes memory, and is in the way of what the
	// peer wants next.
	windowTime = time.Second
	// The rate of a path is measured over rateSpan, or one and a half round trips if these are
	// longer: nothing is acknowledged within the first.
	rateSpan = 200 * time.Millisecond
	// A path is remembered for so long after the last message.
	pathKept = time.Minute

	// The engine has two messages of a peer under way: one that waits, and one that it reads.
	engineBytes = 2 * messageSize
	// So many messages of a peer may wait. A peer that has wantsPerPeer wants, and asks for one
	// block at a time, comes to 45. More are for one that asks on and on, and takes nothing.
	turnsMost = 64
)

// errTakesNothing: a message was thrown away, since many wait for the same peer.
var errTakesNothing = errors.New("the peer takes nothing, and asks for more")

// room says when a message may be sent: how much may be on its way to each peer, and how much
// memory that takes in all.
//
// What may be on its way to a peer follows its path. It is twice what the path holds, by the
// rate at which the peer takes bytes, and by the shortest round trip. On a short path it is what
// the peer takes within windowTime, up to Limits.OutstandingBytes.
//
// It also follows the memory that there is: a peer that has something under way gets no more
// than is left to all others. So n peers that take all they can leave one part in n+1, in which
// whoever comes next finds room at once. When there is none, those that have nothing under way
// come first, by their rank.
type room struct {
	memory  int // in bytes, for all peers
	usual   int // Limits.OutstandingBytes
	workers int // Limits.SendWorkers

	mu    sync.Mutex
	used  int // of memory, by what is under way and by what waits
	going int // of memory, by what is under way
	waits int // turns that wait
	paths map[peer.ID]*path
	// lines are turns that wait for memory, of peers that have nothing under way, by rank.
	lines [ranks][]*turn
}

// path is what is known of the way to a peer, and what is on it. The room's lock guards it.
type path struct {
	used    int     // bytes of messages that are under way
	waiting []*turn // in their order

	trip  time.Duration // the shortest round trip; 0 while not known
	rate  float64       // bytes a second that the peer takes; 0 while not known
	quick bool          // it has taken a message within windowTime
	took  int           // bytes that were taken since that was measured
	busy  time.Duration // the time that something was under way meanwhile, but for
	since time.Time     // what began then
	last  time.Time     // when something was under way last

	lane lane // has a lock of its own
}

// turn is a message that waits, or that is under way. Until it is under way the room's lock
// guards it.
type turn struct {
	path  *path
	m     message.BitSwapMessage
	size  int
	held  bool          // it counts for the memory
	lined bool          // it is in a line
	line  int           // which one
	gone  []cid.Cid     // blocks that were left out of m while it waits: they are to be read again
	ready chan struct{} // closed when it is under way
	began time.Time     // since then
}

// The ranks of turns, by how long they will take. Those behind rankQuick, and those of
// peers that have something under way, leave 1/quickShare of the memory to the others.
const (
	rankQuick = iota // the peer takes it within windowTime, as far as is known, or it is small
	rankOpen         // of the peer nothing is known
	rankSlow         // the peer takes longer
	ranks
)

func newRoom(l Limits) *room {
	return &room{
		memory: max(int(l.Memory/sendShare), sendMemoryLeast), usual: l.OutstandingBytes, workers: l.SendWorkers,
		paths: make(map[peer.ID]*path),
	}
}

// enter waits until a message to a peer may be sent. The caller ends the turn with leave. It is
// nil if the message goes with another one.
func (r *room) enter(ctx context.Context, p peer.ID, m message.BitSwapMessage) (*turn, error) {
	r.mu.Lock()
	t := &turn{path: r.path(p), m: m, size: max(m.Size(), messageLeast), ready: make(chan struct{})}
	merged, err := r.queue(t)
	r.mu.Unlock()
	if err != nil || merged {
		return nil, err
	}
	select {
	case <-t.ready:
		return t, nil
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-t.ready: // just now
		return t, nil
	default:
	}
	r.withdraw(t)
	return nil, ctx.Err()
}

func (r *room) path(p peer.ID) *path {
	pa := r.paths[p]
	if pa == nil {
		pa = &path{}
		r.paths[p] = pa
	}
	return pa
}

// queue starts a turn, has it wait, or puts its message into one that waits.
func (r *room) queue(t *turn) (merged bool, err error) {
	pa := t.path
	n := len(pa.waiting)
	switch {
	case n == 0 && r.fits(t):
		r.start(t)
		return false, nil
	case n > 0 && pa.waiting[n-1].size+t.size <= messageSize && (!pa.waiting[n-1].held || t.cost() <= r.free()):
		r.merge(pa.waiting[n-1], t)
		return true, nil
	case n >= turnsMost:
		return false, errTakesNothing
	}
	if t.held = t.cost() <= r.free()-r.memory/2; t.held { // the other half is for what is sent
		r.used += t.cost()
	} else {
		t.forget()
	}
	r.waits++
	if pa.waiting = append(pa.waiting, t); n == 0 && pa.used == 0 {
		r.enqueue(t)
	}
	return false, nil
}

// enqueue puts the first turn of a path that has nothing under way into the line of its rank.
func (r *room) enqueue(t *turn) {
	t.line, t.lined = t.rank(), true
	r.lines[t.line] = append(r.lines[t.line], t)
}

func (t *turn) cost() int { return sendCopies * t.size }

func (r *room) free() int { return r.memory - r.used }

// fits reports whether a turn may begin.
func (r *room) fits(t *turn) bool {
	rank := t.rank()
	for _, line := range r.lines[:rank+1] {
		if len(line) > 0 && line[0] != t {
			return false
		}
	}
	free := r.free()
	if t.held {
		free += t.cost()
	}
	pa := t.path
	if pa.used > 0 || rank > rankQuick {
		free -= r.memory / quickShare
	}
	if pa.used > 0 {
		return pa.used < pa.window(r.usual) && sendCopies*(pa.used+t.size) <= free
	}
	// With nothing under way nothing would end either, and wake the others. So one always begins,
	// also if it is larger than all there is, or what waits has taken all there is.
	return t.cost() <= free || r.going == 0
}

// rank gives the rank of a turn. It stays the same in a line, where the turn may grow: else two
// that are first in their lines could each wait for the other.
func (t *turn) rank() int {
	switch pa := t.path; {
	case t.lined:
		return t.line
	case pa.rate > 0 && float64(t.size) > pa.rate*windowTime.Seconds():
		return rankSlow
	case pa.rate == 0 && !pa.quick && t.size > messageSize/4:
		return rankOpen
	}
	return rankQuick
}

// window is how many bytes may be on their way before one more message is sent.
func (pa *path) window(usual int) int {
	if pa.rate == 0 {
		return max(min(usual, windowFirst), min(firstMost*usual, int(firstRate*pa.trip.Seconds())))
	}
	short := min(usual, int(pa.rate*windowTime.Seconds()))
	long := int(2 * pa.rate * pa.trip.Seconds())
	return max(windowLeast, short, long)
}

// start has a turn be under way.
func (r *room) start(t *turn) {
	pa := t.path
	if pa.used == 0 {
		pa.since = time.Now()
	}
	if !t.held {
		t.held = true
		r.used += t.cost()
	}
	r.going += t.cost()
	pa.used += t.size
	t.began = time.Now()
	close(t.ready)
}

// leave ends a turn, which frees what it took.
func (r *room) leave(t *turn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.used -= t.cost()
	r.going -= t.cost()
	pa := t.path
	pa.used -= t.size
	pa.last = time.Now()
	pa.quick = pa.quick || pa.last.Sub(t.began) <= windowTime
	if pa.used == 0 {
		pa.busy += pa.last.Sub(pa.since)
	}
	r.wake(pa)
}

// wake starts what may begin, now that something has ended of a path.
func (r *room) wake(pa *path) {
	for rank, line := range r.lines {
		for len(line) > 0 && r.fits(line[0]) {
			t := line[0]
			line = line[1:]
			r.lines[rank] = line
			r.next(t.path)
		}
	}
	for len(pa.waiting) > 0 && r.fits(pa.waiting[0]) {
		r.next(pa)
	}
	if pa.used == 0 && len(pa.waiting) > 0 && !pa.waiting[0].lined {
		r.enqueue(pa.waiting[0])
	}
}

// next starts what waits first on a path.
func (r *room) next(pa *path) {
	t := pa.waiting[0]
	pa.waiting = pa.waiting[1:]
	r.waits--
	r.start(t)
}

// withdraw takes back a turn that waits.
func (r *room) withdraw(t *turn) {
	is := func(o *turn) bool { return o == t }
	t.path.waiting = slices.DeleteFunc(t.path.waiting, is)
	for rank := range r.lines {
		r.lines[rank] = slices.DeleteFunc(r.lines[rank], is)
	}
	r.waits--
	if t.held {
		r.used -= t.cost()
	}
	r.wake(t.path)
}

// merge puts a message into that of another turn.
func (r *room) merge(into, t *turn) {
	if !into.held {
		t.forget()
	}
	into.gone = append(into.gone, t.gone...)
	for _, b := range t.m.Blocks() {
		into.m.AddBlock(b)
	}
	for _, p := range t.m.BlockPresences() {
		into.m.AddBlockPresence(p.Cid, p.Type)
	}
	into.m.SetPendingBytes(t.m.PendingBytes())
	into.size += t.size
	if into.held {
		r.used += t.cost()
	}
}

// forget leaves the blocks out of a message, so that it takes no memory while it waits.
func (t *turn) forget() {
	presences, pending := t.m.BlockPresences(), t.m.PendingBytes()
	for _, b := range t.m.Blocks() {
		t.gone = append(t.gone, b.Cid())
	}
	t.m.Reset(false)
	t.m.SetPendingBytes(pending)
	for _, p := range presences {
		t.m.AddBlockPresence(p.Cid, p.Type)
	}
}

// moved notes that the peer of a turn took some bytes.
func (r *room) moved(t *turn, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	pa := t.path
	pa.took += n
	now := time.Now()
	busy := pa.busy + now.Sub(pa.since)
	if busy < max(rateSpan, pa.trip*3/2) {
		return
	}
	rate := float64(pa.took) / busy.Seconds()
	switch {
	case rate >= pa.rate:
	case len(pa.waiting) == 0: // it asks for no more
		rate = pa.rate
	default: // a moment says little
		rate = (pa.rate + rate) / 2
	}
	pa.rate, pa.took, pa.busy, pa.since = rate, 0, 0, now
}

// answered notes how long a round trip to a peer took, which may include that it was busy.
func (r *room) answered(p peer.ID, trip time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if pa := r.path(p); pa.trip == 0 || trip < pa.trip {
		pa.trip = max(trip, 1)
	}
}

// lane gives that of the path of a turn, and how long a piece may take in it. It is nil on a short path.
func (r *room) lane(t *turn) (_ *lane, stall time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	pa := t.path
	if pa.trip < laneTrip {
		return nil, 0
	}
	stall = pa.trip / stallShare
	if pa.rate > 0 {
		stall = max(stall, time.Duration(stallPieces*writePiece/pa.rate*float64(time.Second)))
	}
	return &pa.lane, min(stall, pa.trip/stallLatest)
}

// underWay gives how many bytes are under way on the path of a turn.
func (r *room) underWay(t *turn) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return t.path.used
}

// crowded reports whether others have to wait, whatever they ask for.
func (r *room) crowded() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.waits >= r.workers || slices.ContainsFunc(r.lines[:], func(line []*turn) bool { return len(line) > 0 })
}

// sweep forgets paths that were not used for long.
func (r *room) sweep(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p, pa := range r.paths {
		if pa.used == 0 && len(pa.waiting) == 0 && now.Sub(pa.last) >= pathKept {
			delete(r.paths, p)
		}
	}
}
