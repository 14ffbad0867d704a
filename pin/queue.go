package pin

import (
	"sort"
	"time"
)

// queue hands out waiting jobs in turn between accounts, oldest first within
// one. It holds at most window jobs of each account; the rest of a longer queue
// stays on disk, and is read when there is room. It has no lock of its own.
type queue struct {
	window   int
	accounts map[string]*line
	turn     []*line // accounts with jobs in memory, the next to serve first
	seq      uint64  // of the last job that was pushed
}

// line is the queue of one account.
type line struct {
	account string
	waiting []place // oldest first; the job may have left by another account's line
	// onDisk says that there are queued requests, created after tail, that are
	// not in waiting.
	onDisk bool
	tail   time.Time
	// reading says that the next of them are being read. What is left on disk
	// meanwhile is noted in skipped, as a tail.
	reading bool
	skipped time.Time // zero if nothing was
	// tried are those that had their turn in the queue and were put off.
	tried round
}

// place is a job's place in a line.
type place struct {
	seq uint64
	job *job
}

func newQueue(window int) *queue {
	return &queue{window: window, accounts: make(map[string]*line)}
}

func (q *queue) line(account string) *line {
	l := q.accounts[account]
	if l == nil {
		l = &line{account: account}
		q.accounts[account] = l
	}
	return l
}

// full reports whether a new request of the account has to stay on disk, and if
// so remembers to read it from there.
func (q *queue) full(account string, created time.Time) bool {
	l := q.line(account)
	if !l.onDisk && len(l.waiting) < q.window {
		return false
	}
	q.later(l, created)
	return true
}

// later remembers to read a queued request from disk.
func (q *queue) later(l *line, created time.Time) {
	// Requests may come here in another order than they were committed in.
	before := created.Add(-time.Millisecond)
	if l.reading {
		l.skipped = earlier(l.skipped, before)
	} else {
		l.tail = earlier(l.tail, before)
	}
	l.onDisk = true
}

// earlier gives the earlier of two times, of which zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// read ends a reading of the line: what is left on disk was created after
// tail, or nothing is if more is false and nothing was skipped meanwhile.
func (q *queue) read(l *line, tail time.Time, more bool) {
	if !more {
		tail = time.Time{}
	}
	l.tail = earlier(tail, l.skipped)
	l.onDisk = !l.tail.IsZero()
	l.reading, l.skipped = false, time.Time{}
	q.forget(l)
}

// push puts a job at the end of the account's line and gives its place there.
func (q *queue) push(account string, j *job) uint64 {
	l := q.line(account)
	q.seq++
	l.waiting = append(l.waiting, place{q.seq, j})
	if len(l.waiting) == 1 {
		q.turn = append(q.turn, l)
	}
	return q.seq
}

// pop takes the oldest waiting job of the account whose turn it is. Nil means
// that none waits in memory.
func (q *queue) pop() *job {
	for len(q.turn) > 0 {
		l := q.turn[0]
		q.turn = q.turn[1:]
		var found *job
		for len(l.waiting) > 0 && found == nil {
			if j := l.waiting[0].job; j.state == jobWaiting {
				found = j
			}
			l.waiting[0] = place{}
			l.waiting = l.waiting[1:]
		}
		if len(l.waiting) > 0 {
			q.turn = append(q.turn, l)
		} else {
			q.forget(l)
		}
		if found != nil {
			return found
		}
	}
	return nil
}

// forget drops an account's line if nothing needs it.
func (q *queue) forget(l *line) {
	if len(l.waiting) == 0 && !l.onDisk && !l.reading && !l.tried.more && !l.tried.reading {
		delete(q.accounts, l.account)
	}
}

// position is how many jobs are before the given place in the account's line,
// itself counted: 1 is next. Zero means that the line does not have it. Jobs
// that left by another account's line still count until they are passed.
func (q *queue) position(account string, seq uint64) int {
	l := q.accounts[account]
	if l == nil || seq == 0 {
		return 0
	}
	i := sort.Search(len(l.waiting), func(i int) bool { return l.waiting[i].seq >= seq })
	if i == len(l.waiting) || l.waiting[i].seq != seq {
		return 0
	}
	return i + 1
}

// waiting counts the jobs that wait in memory, up to a number that is enough.
func (q *queue) waiting(enough int) int {
	n := 0
	for _, l := range q.turn {
		for _, p := range l.waiting {
			if p.job.state == jobWaiting {
				if n++; n == enough {
					return n
				}
			}
		}
	}
	return n
}

// hungry gives the lines that have requests on disk and room in memory.
func (q *queue) hungry() []*line {
	var out []*line
	for _, l := range q.accounts {
		if l.onDisk && !l.reading && len(l.waiting) <= q.window/2 {
			out = append(out, l)
		}
	}
	return out
}
