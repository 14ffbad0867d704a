package turns

import (
	"slices"
	"sort"
	"time"
)

// minQueue is how many jobs each end of a queue may have in memory however many accounts
// there are: enough that the disk is not read for each job.
const minQueue = 64

// queue is the jobs of one account that wait for their first turn.
type queue struct {
	account string
	old     []place // the oldest, in order; some may have had a turn by another account's queue
	fresh   []place // the newest, in order
	listed  [kinds]bool
	// onDisk says that there are requests on disk, created after tail, which are neither
	// in old nor in fresh.
	onDisk bool
	tail   time.Time
	// reading says that some of these are being read. If others are spilled meanwhile,
	// skipped becomes the tail of those.
	reading bool
	skipped time.Time // zero if none was
	// counted is about how many of these were spilled since it was last known that there are none, and
	// uncounted that there may be more.
	counted   int
	uncounted bool
	asked     int // how many the last reading was to read, of
	of        int // so many that were counted when it began
	// tried is the reading of spilled requests that have had a turn.
	tried round
}

// place is a job's place in a queue.
type place struct {
	seq uint64
	job *Job
}

func (t *Turns) queue(account string) *queue {
	q := t.queues[account]
	if q == nil {
		q = &queue{account: account}
		t.queues[account] = q
	}
	return q
}

// maxQueue is how many jobs each end of a queue may have in memory: accounts divide the
// window among themselves.
func (t *Turns) maxQueue() int {
	return min(t.cfg.Window, max(minQueue, t.cfg.Window/max(1, len(t.queues))))
}

// list notes that a queue may have a job for a kind of turn.
func (t *Turns) list(q *queue, k Kind) {
	if !q.listed[k] {
		q.listed[k] = true
		t.ring[k] = append(t.ring[k], q)
	}
}

// Push puts a new job at the end of the account's queue and returns its place there.
// spilled are jobs for which memory has no room any more: the caller leaves them on disk,
// and calls [Turns.SpillUntried] for them.
func (t *Turns) Push(j *Job, account string) (at uint64, spilled []*Job) {
	q := t.queue(account)
	t.seq++
	at = t.seq
	q.fresh = append(q.fresh, place{at, j})
	for len(q.fresh) > t.maxQueue() {
		old := q.fresh[0].job
		q.fresh[0] = place{}
		q.fresh = q.fresh[1:]
		// A job that joined this queue is in that of its own account too.
		if old.state == Waiting && old.Account == account {
			spilled = append(spilled, old)
		}
	}
	t.list(q, Newest)
	if !q.onDisk {
		t.list(q, Oldest)
	}
	return at, spilled
}

// PushOld puts a job that was read from disk behind the oldest of the account's queue, and
// returns its place there.
func (t *Turns) PushOld(j *Job, account string) (at uint64) {
	q := t.queue(account)
	t.seq++
	q.old = append(q.old, place{t.seq, j})
	t.list(q, Oldest)
	return t.seq
}

// RoomForOld is how many more of the account's oldest jobs may be in memory.
func (t *Turns) RoomForOld(account string) int {
	return max(0, t.maxQueue()-len(t.queue(account).old))
}

// SpillUntried notes that a request which waits for its first turn is on disk alone from
// now on.
func (t *Turns) SpillUntried(account string, created time.Time) {
	q := t.queue(account)
	// Requests may come here in another order than that of their commits.
	before := created.Add(-time.Millisecond)
	if q.reading {
		q.skipped = earlier(q.skipped, before)
	} else {
		q.tail = earlier(q.tail, before)
	}
	q.onDisk = true
	q.counted++
}

// earlier returns the earlier of two times. A zero time is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// ToRead lists the accounts of which more of the oldest jobs are to be read from disk.
func (t *Turns) ToRead() (accounts []string) {
	for _, q := range t.queues {
		// To read a few, again and again, would cost a server that is flooded more than all else.
		half := t.maxQueue() / 2
		if q.onDisk && !q.reading && (len(q.old) == 0 || len(q.old) <= half && (q.uncounted || q.counted >= half)) {
			accounts = append(accounts, q.account)
		}
	}
	return accounts
}

// BeginRead begins a reading: the caller reads the oldest requests created after tail, at
// most limit of them, and calls EndRead.
func (t *Turns) BeginRead(account string) (tail time.Time, limit int) {
	q := t.queue(account)
	q.reading = true
	limit = max(1, t.RoomForOld(account))
	if q.counted > 0 && !q.uncounted { // those behind them are in memory: none is read for nothing
		limit = min(limit, q.counted)
	}
	q.asked, q.of = limit, q.counted
	return q.tail, limit
}

// EndRead ends a reading. If more, requests created after tail are left on disk. Else only
// those are that were spilled since BeginRead.
func (t *Turns) EndRead(account string, tail time.Time, more bool) {
	q := t.queue(account)
	if more {
		q.uncounted = q.uncounted || q.asked > q.of
		q.counted -= min(q.asked, q.of)
	} else {
		q.uncounted, q.counted = false, q.counted-q.of
		tail = time.Time{}
	}
	q.tail = earlier(tail, q.skipped)
	q.onDisk = more || !q.skipped.IsZero()
	q.reading, q.skipped = false, time.Time{}
	if len(q.fresh) > 0 && !q.onDisk {
		t.list(q, Oldest)
	}
	t.forgetQueue(q)
}

// first takes a job of the account whose turn it is for this kind; nil if none waits in
// memory.
func (t *Turns) first(k Kind) *Job {
	for len(t.ring[k]) > 0 {
		q := t.ring[k][0]
		t.ring[k] = t.ring[k][1:]
		q.listed[k] = false
		j := q.take(k)
		if k == Newest && len(q.fresh) > 0 || k == Oldest && (len(q.old) > 0 || len(q.fresh) > 0 && !q.onDisk) {
			t.list(q, k)
		} else {
			t.forgetQueue(q)
		}
		if j != nil {
			return j
		}
	}
	return nil
}

// take takes the oldest or the newest job that waits in the queue.
func (q *queue) take(k Kind) *Job {
	if k == Newest {
		for len(q.fresh) > 0 {
			last := len(q.fresh) - 1
			j := q.fresh[last].job
			q.fresh[last] = place{}
			q.fresh = q.fresh[:last]
			if j.state == Waiting {
				return j
			}
		}
		return nil
	}
	for _, end := range []*[]place{&q.old, &q.fresh} {
		if end == &q.fresh && q.onDisk {
			return nil // what is on disk between the ends comes first
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

// forgetQueue drops a queue if nothing needs it.
func (t *Turns) forgetQueue(q *queue) {
	if len(q.old)+len(q.fresh) == 0 && !q.onDisk && !q.reading && !q.tried.more && !q.tried.reading {
		delete(t.queues, q.account)
		for k := range t.ring { // beside a new queue of the account, this one would be served too
			if q.listed[k] {
				t.ring[k] = slices.DeleteFunc(t.ring[k], func(o *queue) bool { return o == q })
			}
		}
	}
}

// Position returns where a place is in the account's queue: 1 is next. It counts from the
// nearer end of the queue; newest says that this is the end of the newest. Zero means
// that the queue does not have the place. A job that had its turn by another account's
// queue counts until it is passed.
func (t *Turns) Position(account string, at uint64) (n int, newest bool) {
	q := t.queues[account]
	if q == nil || at == 0 {
		return 0, false
	}
	find := func(end []place) int {
		i := sort.Search(len(end), func(i int) bool { return end[i].seq >= at })
		if i < len(end) && end[i].seq == at {
			return i
		}
		return -1
	}
	if i := find(q.old); i >= 0 {
		return i + 1, false
	}
	i := find(q.fresh)
	if i < 0 {
		return 0, false
	}
	n = len(q.fresh) - i
	if before := len(q.old) + i + 1; !q.onDisk && before <= n {
		return before, false
	}
	return n, true
}

// OnDisk reports whether some of an account's queue is on disk alone, and how many jobs of
// it are in memory.
func (t *Turns) OnDisk(account string) (some bool, others int) {
	q := t.queues[account]
	if q == nil {
		return false, 0
	}
	return q.onDisk, len(q.old) + len(q.fresh)
}

// WaitingJobs counts the jobs that wait in memory for their first turn, up to limit.
func (t *Turns) WaitingJobs(limit int) (n int) {
	for _, q := range t.queues {
		for _, end := range [][]place{q.old, q.fresh} {
			for _, p := range end {
				if p.job.state == Waiting {
					if n++; n == limit {
						return n
					}
				}
			}
		}
	}
	return n
}
