// Package room is memory that calls share, so that all of them together hold no more than there is,
// and one client of many calls does not have all of it. It holds nothing itself: calls say what
// they need.
package room

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// free is what a call has in any case, in bytes: small calls never meet the limit.
	free = 256 << 10
	// maxWait is how long a call waits for room. Those that have it compute, for a second or two.
	maxWait = time.Minute
)

// ErrFull says that there is no room now.
var ErrFull = errors.New("the server has no memory left for more large answers at once: ask again soon, or for less")

// Room is memory that calls share.
type Room struct {
	all, each int64

	mu    sync.Mutex
	used  int64
	of    map[string]int64 // by client
	queue []*waiter        // in the order in which they came
}

type waiter struct {
	share *Share
	need  int64
	given chan struct{} // closed when it has it
}

// New makes a room of so many bytes, of which the calls of one client have up to each.
func New(all, each int64) *Room {
	return &Room{all: all, each: min(all, each), of: map[string]int64{}}
}

// Share is what one call has. Nil is for calls without limits. Its methods may be called concurrently,
// except for Need.
type Share struct {
	room *Room
	who  string
	has  int64 // what the call needs, with what is free
	over bool
}

// Share begins a call of a client, which has to close it. Nil gives nil.
func (r *Room) Share(who string) *Share {
	if r == nil {
		return nil
	}
	return &Share{room: r, who: who}
}

// charged is what counts of so many bytes.
func charged(n int64) int64 { return max(0, n-free) }

// Grow says that the call needs some bytes more, which it may have at once or not at all. Less than zero
// gives some back. Errors: ErrFull.
func (s *Share) Grow(bytes int64) error {
	if s == nil {
		return nil
	}
	r := s.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if more := charged(s.has+bytes) - charged(s.has); more > 0 && !r.fits(s.who, more) {
		return ErrFull
	}
	r.set(s, s.has+bytes)
	return nil
}

// fits reports whether there is room for more. r.mu is held.
func (r *Room) fits(who string, more int64) bool {
	return r.used+more <= r.all && r.of[who]+more <= r.each
}

// set changes what a call has. r.mu is held.
func (r *Room) set(s *Share, bytes int64) {
	if s.over {
		return
	}
	more := charged(bytes) - charged(s.has)
	s.has = bytes
	r.used += more
	if r.of[s.who] += more; r.of[s.who] == 0 {
		delete(r.of, s.who)
	}
	if more < 0 {
		r.giveOut()
	}
}

// giveOut gives room to those that wait, one after the other. One that waits for calls of its own client
// keeps no others. r.mu is held.
func (r *Room) giveOut() {
	left := r.queue[:0]
	full := false
	for _, w := range r.queue {
		more := charged(w.need)
		switch {
		case !full && r.fits(w.share.who, more):
			r.used += more
			r.of[w.share.who] += more
			w.share.has = w.need
			close(w.given)
			continue
		case r.of[w.share.who]+more <= r.each:
			full = true
		}
		left = append(left, w)
	}
	clear(r.queue[len(left):])
	r.queue = left
}

// Need says that the call needs so many bytes from now on, unless it has as many. It waits for them, and
// what it had is given to others meanwhile: so the call should not hold it any more. More than a client
// may have counts as that. Errors: ErrFull, after a minute; that of ctx.
func (s *Share) Need(ctx context.Context, bytes int64) error {
	if s == nil {
		return nil
	}
	r := s.room
	bytes = min(bytes, r.each+free)
	r.mu.Lock()
	if s.has >= bytes {
		r.mu.Unlock()
		return nil
	}
	w := &waiter{share: s, need: bytes, given: make(chan struct{})}
	r.queue = append(r.queue, w)
	r.set(s, 0)
	r.giveOut()
	r.mu.Unlock()
	late := time.NewTimer(maxWait)
	defer late.Stop()
	var err error
	select {
	case <-w.given:
		return nil
	case <-late.C:
		err = ErrFull
	case <-ctx.Done():
		err = ctx.Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, o := range r.queue {
		if o == w {
			r.queue = append(r.queue[:i], r.queue[i+1:]...)
			r.giveOut() // those behind it
			return err
		}
	}
	return nil // it was given at that moment
}

// Only says that the call needs no more than so many bytes from now on.
func (s *Share) Only(bytes int64) {
	if s == nil {
		return
	}
	s.room.mu.Lock()
	defer s.room.mu.Unlock()
	s.room.set(s, min(s.has, bytes))
}

// Close gives all back. It may be called twice.
func (s *Share) Close() {
	if s == nil {
		return
	}
	s.room.mu.Lock()
	defer s.room.mu.Unlock()
	s.room.set(s, 0)
	s.over = true
}
