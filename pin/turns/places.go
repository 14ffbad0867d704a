package turns

import (
	"slices"
	"time"
)

// Config says how many places there are, and how long turns are. All fields must be set.
type Config struct {
	Places int // how many jobs may run at the same time
	// Window is how many jobs without a turn are in memory at each end of the queues, over
	// all accounts together, and how many parked jobs of each account; see minQueue,
	// keptWindows and minKept.
	Window    int
	Slice     time.Duration
	IdleSlice time.Duration
}

// Turns has the jobs that wait, run and are parked.
type Turns struct {
	cfg    Config
	queues map[string]*queue // by account
	ring   [kinds][]*queue   // those with jobs for a kind of turn; the first is served next
	seq    uint64            // of the last place in a queue
	parked parked
	space  space

	running  map[*Job]struct{}
	evicting int        // how many of those were asked to give up their places
	seeking  [kinds]int // how many of those have received nothing, by the kind of their turns
	passed   [kinds]int // the cost of the turns that began; see turnCost
	others   int        // turns that began since the last one for the newest
	due      bool       // the next job to be tried again is one that is due, not one that was woken
}

// New makes an empty one.
func New(cfg Config) *Turns {
	return &Turns{cfg: cfg, queues: make(map[string]*queue), running: make(map[*Job]struct{}), parked: newParked()}
}

// Running returns the jobs that have a place.
func (t *Turns) Running() map[*Job]struct{} { return t.running }

// Next gives a free place to a job that waits and returns it; nil if there is no free
// place, or no job.
func (t *Turns) Next(now time.Time) *Job {
	if len(t.running) >= t.cfg.Places {
		return nil
	}
	order := []Kind{Oldest, Newest, Again}
	if t.others >= newestEvery {
		order = []Kind{Newest, Oldest, Again}
	} else {
		slices.SortStableFunc(order, func(a, b Kind) int {
			// First the kind with the fewest places for its share; among equals, the one with
			// the fewest turns.
			if d := t.seeking[a]*shares[b] - t.seeking[b]*shares[a]; d != 0 {
				return d
			}
			return t.passed[a] - t.passed[b]
		})
	}
	for i, k := range order {
		j := t.nextOf(k, now)
		if j == nil {
			continue
		}
		t.passed[k] += turnCost / shares[k]
		if t.others++; k == Newest {
			t.others = 0
		}
		for _, none := range order[:i] { // what a kind did not use it does not save up
			t.passed[none] = max(t.passed[none], t.passed[k])
		}
		t.Start(j, k, now)
		return j
	}
	return nil
}

// nextOf takes the next job for a kind of turn; nil if there is none.
func (t *Turns) nextOf(k Kind, now time.Time) *Job {
	if k != Again {
		return t.first(k)
	}
	due := func() *Job { return t.parked.tries.due(now) }
	from := []func() *Job{t.nextWoken, due}
	if t.due {
		slices.Reverse(from)
	}
	for _, next := range from {
		if j := next(); j != nil {
			t.due = !t.due
			return j
		}
	}
	return nil
}

// Start gives a job a place, even if none is free.
func (t *Turns) Start(j *Job, k Kind, now time.Time) {
	t.unpark(j)
	t.running[j] = struct{}{}
	j.state, j.kind, j.started, j.woken, j.seeks = Running, k, now, false, true
	t.seeking[k]++
}

// Ended takes a job's place back. The caller parks or forgets the job.
func (t *Turns) Ended(j *Job) {
	delete(t.running, j)
	if j.seeks {
		t.seeking[j.kind]--
	}
	if j.evicting {
		t.evicting--
	}
	j.seeks, j.evicting = false, false
}

// Ask notes that the caller has asked a job to give up its place, for a reason of its own.
func (t *Turns) Ask(j *Job) {
	if !j.evicting {
		j.evicting = true
		t.evicting++
	}
}

// Activity is what a job with a place does.
type Activity struct {
	Busy    bool          // it has a worker, waits for one, or has not begun to seek
	Since   time.Time     // when it began to seek, or last received something
	Got     bool          // it received something in this turn
	Answers time.Duration // after so long the peers that were asked have answered; 0 if not known
}

// Evict returns the jobs that must give up their places, since they receive nothing and
// others wait: limit of them at most. activity says what a job does. next is after how long another job may have
// to; 0 means none will as things are.
func (t *Turns) Evict(now time.Time, limit int, activity func(*Job) Activity) (out []*Job, next time.Duration) {
	type idler struct {
		j     *Job
		age   time.Duration
		slice time.Duration
	}
	var idle []idler
	t.seeking = [kinds]int{}
	for j := range t.running {
		l := activity(j)
		if j.seeks = !l.Got; j.seeks {
			t.seeking[j.kind]++
		}
		if l.Busy || j.evicting {
			continue
		}
		slice := t.cfg.Slice
		if j.kind == Oldest && l.Answers > 0 {
			slice = min(slice, l.Answers)
		}
		idle = append(idle, idler{j, now.Sub(l.Since), slice})
	}
	if len(t.running) < t.cfg.Places {
		return nil, 0
	}
	fresh := t.waiting() - t.evicting
	all := fresh + t.parked.tries.countDue(now, t.cfg.Places)
	slices.SortFunc(idle, func(a, b idler) int { return int(b.age - a.age) })
	for _, i := range idle {
		if all <= 0 || len(out) == limit {
			break
		}
		if fresh > 0 && i.age >= i.slice || i.age >= t.cfg.IdleSlice {
			t.Ask(i.j)
			out = append(out, i.j)
			fresh--
			all--
		} else if fresh > 0 && (next == 0 || i.slice-i.age < next) {
			next = i.slice - i.age
		}
	}
	return out, next
}

// waiting counts the jobs for which others give up their places after a short turn.
func (t *Turns) waiting() int { return len(t.parked.woken) + t.WaitingJobs(t.cfg.Places) }

// Starving reports whether a place is free and jobs for it are on disk alone.
func (t *Turns) Starving() bool { return len(t.running) < t.cfg.Places && len(t.ToRead()) > 0 }

// Crowded reports whether every place is taken, and a job waits for which others give up
// theirs after a short turn. Then the caller calls Evict, and again after what that says.
func (t *Turns) Crowded() bool {
	return len(t.running) >= t.cfg.Places && len(t.parked.woken)+t.WaitingJobs(1) > 0
}
