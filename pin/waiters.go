package pin

import (
	"iter"
	"time"
)

// member is a request that waits for a job.
type member struct{ account, id string }

// waiter is what is kept of a request that waits for a job.
type waiter struct {
	place   uint64 // in the account's queue; 0 if it has none
	created time.Time
	status  Status // as it was when it joined
}

// waiters are the requests that wait for a job. There may be many jobs, and nearly every
// one has a single request: for that no map is made. The zero value is empty.
type waiters struct {
	who  member // id is "" if there is none
	one  waiter
	more map[member]waiter
}

func (ws *waiters) len() int {
	if ws.who.id == "" {
		return len(ws.more)
	}
	return 1 + len(ws.more)
}

func (ws *waiters) get(who member) (w waiter, ok bool) {
	if who == ws.who && who.id != "" {
		return ws.one, true
	}
	w, ok = ws.more[who]
	return w, ok
}

func (ws *waiters) set(who member, w waiter) {
	switch {
	case who == ws.who || ws.len() == 0:
		ws.who, ws.one = who, w
	case ws.more == nil:
		ws.more = map[member]waiter{who: w}
	default:
		ws.more[who] = w
	}
}

func (ws *waiters) remove(who member) {
	if who == ws.who {
		ws.who, ws.one = member{}, waiter{}
		return
	}
	delete(ws.more, who)
}

// only gives the one that there is; the zero value if there are none, or several.
func (ws *waiters) only() member {
	if len(ws.more) > 0 {
		return member{}
	}
	return ws.who
}

// all yields each of them, in no order.
func (ws *waiters) all() iter.Seq2[member, waiter] {
	return func(yield func(member, waiter) bool) {
		if ws.who.id != "" && !yield(ws.who, ws.one) {
			return
		}
		for who, w := range ws.more {
			if !yield(who, w) {
				return
			}
		}
	}
}
