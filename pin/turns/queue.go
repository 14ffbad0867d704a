package turns

import (
	"slices"
	"sort"
	"time"
)

// minQueue is how many jobs each end of a line may have in memory however many
// accounts there are: enough that a line which is read from disk is not read for each.
const minQueue = 64

// line is what waits of one account.
type queue struct {
	account string
	old     []place // the oldest, in order; a job may have left by another account's line
	fresh   []place // the newest, in order
	listed  [kinds]bool
	// onDisk says that there are requests, created after tail, that are in neither.
	onDisk bool
	tail   time.Time
	// reading says that the next of them are being read. What is left on disk
	// meanwhile is noted in skipped, as a tail.
	reading bool
	skipped time.Time // zero if nothing was
	// tried are those that had a turn and were put off.
	tried round
}

// place is a job's place in a line.
type place struct {
	seq uint64
	job *Job
}

func (t *Turns) queue(account string) *queue {
	l := t.queues[account]
	if l == nil {
		l = &queue{account: account}
		t.queues[account] = l
	}
	return l
}

// maxQueue is how many jobs each end of a line may have in memory: accounts divide the
// window among them.
func (t *Turns) maxQueue() int {
	return min(t.cfg.Window, max(minQueue, t.cfg.Window/max(1, len(t.queues))))
}

// list takes note that a line may have a job for a kind of turn.
func (t *Turns) list(l *queue, k Kind) {
	if !l.listed[k] {
		l.listed[k] = true
		t.ring[k] = append(t.ring[k], l)
	}
}

// Push puts a job that came just now at the end of the account's line, and gives its
// place there. spilled are jobs that there is no room for any more: the caller leaves
// them on disk, which [Turns.SpillUntried] is told of.
func (t *Turns) Push(j *Job, account string) (at uint64, spilled []*Job) {
	l := t.queue(account)
	t.seq++
	at = t.seq
	l.fresh = append(l.fresh, place{at, j})
	for len(l.fresh) > t.maxQueue() {
		old := l.fresh[0].job
		l.fresh[0] = place{}
		l.fresh = l.fresh[1:]
		// A job that joined the line waits in that of its own account too.
		if old.state == Waiting && old.Account == account {
			spilled = append(spilled, old)
		}
	}
	t.list(l, Newest)
	if !l.onDisk {
		t.list(l, Oldest)
	}
	return at, spilled
}

// PushOld puts a job behind the oldest of the account's line, as it was read from disk,
// and gives its place there.
func (t *Turns) PushOld(j *Job, account string) (at uint64) {
	l := t.queue(account)
	t.seq++
	l.old = append(l.old, place{t.seq, j})
	t.list(l, Oldest)
	return t.seq
}

// RoomForOld is how many more of the account's oldest may be in memory.
func (t *Turns) RoomForOld(account string) int {
	return max(0, t.maxQueue()-len(t.queue(account).old))
}

// Later remembers that a request which waits for its first turn is on disk alone.
func (t *Turns) SpillUntried(account string, created time.Time) {
	l := t.queue(account)
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

// ToRead gives the accounts of which more of the oldest are to be read from disk.
func (t *Turns) ToRead() (accounts []string) {
	for _, l := range t.queues {
		if l.onDisk && !l.reading && len(l.old) <= t.maxQueue()/2 {
			accounts = append(accounts, l.account)
		}
	}
	return accounts
}

// BeginRead begins the reading of requests that were created after tail, as many as
// limit. EndRead ends it.
func (t *Turns) BeginRead(account string) (tail time.Time, limit int) {
	l := t.queue(account)
	l.reading = true
	return l.tail, max(1, t.RoomForOld(account))
}

// EndRead ends the reading of an account's line: what is left on disk was created after
// tail, or nothing is if more is false and nothing was left there meanwhile.
func (t *Turns) EndRead(account string, tail time.Time, more bool) {
	l := t.queue(account)
	if !more {
		tail = time.Time{}
	}
	l.tail = earlier(tail, l.skipped)
	l.onDisk = more || !l.skipped.IsZero()
	l.reading, l.skipped = false, time.Time{}
	if len(l.fresh) > 0 && !l.onDisk {
		t.list(l, Oldest)
	}
	t.forgetQueue(l)
}

// first takes a job of the account whose turn of the kind it is. Nil means that none
// waits in memory.
func (t *Turns) first(k Kind) *Job {
	for len(t.ring[k]) > 0 {
		l := t.ring[k][0]
		t.ring[k] = t.ring[k][1:]
		l.listed[k] = false
		j := l.take(k)
		if k == Newest && len(l.fresh) > 0 || k == Oldest && (len(l.old) > 0 || len(l.fresh) > 0 && !l.onDisk) {
			t.list(l, k)
		} else {
			t.forgetQueue(l)
		}
		if j != nil {
			return j
		}
	}
	return nil
}

// take takes the oldest or the newest job that waits in the line.
func (l *queue) take(k Kind) *Job {
	if k == Newest {
		for len(l.fresh) > 0 {
			last := len(l.fresh) - 1
			j := l.fresh[last].job
			l.fresh[last] = place{}
			l.fresh = l.fresh[:last]
			if j.state == Waiting {
				return j
			}
		}
		return nil
	}
	for _, end := range []*[]place{&l.old, &l.fresh} {
		if end == &l.fresh && l.onDisk {
			return nil // what is between the ends comes first
		}
		for len(*end) > 0 {
			j := (*end)[0].job
			(*end)[0] = place{}
			*end = (*end)[1:]
			if j.state == Waiting {
				return j
			}
		}
	}
	return nil
}

// forgetQueue drops an account's line if nothing needs it.
func (t *Turns) forgetQueue(l *queue) {
	if len(l.old)+len(l.fresh) == 0 && !l.onDisk && !l.reading && !l.tried.more && !l.tried.reading {
		delete(t.queues, l.account)
		for k := range t.ring { // under another one of the same account it would be served twice
			if l.listed[k] {
				t.ring[k] = slices.DeleteFunc(t.ring[k], func(o *queue) bool { return o == l })
			}
		}
	}
}

// Position is how many jobs are before a place in the account's line, itself counted: 1
// is next. They are counted from the line's end that is nearer; newest is whether that
// is the newest. Zero means that the line does not have the place. Jobs that left by
// another account's line still count until they are passed.
func (t *Turns) Position(account string, at uint64) (n int, newest bool) {
	l := t.queues[account]
	if l == nil || at == 0 {
		return 0, false
	}
	find := func(end []place) int {
		i := sort.Search(len(end), func(i int) bool { return end[i].seq >= at })
		if i < len(end) && end[i].seq == at {
			return i
		}
		return -1
	}
	if i := find(l.old); i >= 0 {
		return i + 1, false
	}
	i := find(l.fresh)
	if i < 0 {
		return 0, false
	}
	n = len(l.fresh) - i
	if before := len(l.old) + i + 1; !l.onDisk && before <= n {
		return before, false
	}
	return n, true
}

// OnDisk reports whether some of an account's line is on disk alone, and how many of it
// are in memory.
func (t *Turns) OnDisk(account string) (some bool, others int) {
	l := t.queues[account]
	if l == nil {
		return false, 0
	}
	return l.onDisk, len(l.old) + len(l.fresh)
}

// WaitingJobs counts the jobs that wait in memory for their first turn, up to a number
// that is enough.
func (t *Turns) WaitingJobs(enough int) (n int) {
	for _, l := range t.queues {
		for _, end := range [][]place{l.old, l.fresh} {
			for _, p := range end {
				if p.job.state == Waiting {
					if n++; n == enough {
						return n
					}
				}
			}
		}
	}
	return n
}
