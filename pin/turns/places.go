package turns

import (
	"slices"
	"time"
)

// Config says how many places there are, and how long turns are. All are to be set.
type Config struct {
	Places int // that jobs may have at the same time
	// Window is how many jobs that had no turn are in memory at each end of the lines of
	// all accounts together, and how many parked ones of an account; see minQueue,
	// keptWindows and minKept.
	Window    int
	Slice     time.Duration
	IdleSlice time.Duration
}

// Turns keeps the jobs that wait, run and are parked.
type Turns struct {
	cfg    Config
	queues map[string]*queue // by account
	ring   [kinds][]*queue   // those with jobs for a kind of turn, the next to serve first
	seq    uint64            // of the last place in a line
	parked parked
	space  space

	running  map[*Job]struct{}
	evicting int        // of those, asked for their places
	seeking  [kinds]int // of those, by the kind of their turns, that have nothing yet
	passed   [kinds]int // turns that began, each over the kind's share
	others   int        // turns that began since one for the newest did
	due      bool       // whether the next turn again is for a job that is due, not woken
}

// New makes an empty one.
func New(cfg Config) *Turns {
	return &Turns{cfg: cfg, queues: make(map[string]*queue), running: make(map[*Job]struct{}), parked: newParked()}
}

// Running gives the jobs that have a place.
func (t *Turns) Running() map[*Job]struct{} { return t.running }

// Next gives a free place to a job that waits; nil if there is none of either.
func (t *Turns) Next(now time.Time) *Job {
	if len(t.running) >= t.cfg.Places {
		return nil
	}
	order := []Kind{Oldest, Newest, Again}
	if t.others >= newestEvery {
		order = []Kind{Newest, Oldest, Again}
	} else {
		slices.SortStableFunc(order, func(a, b Kind) int {
			// Who has the fewest places for its share; among equals, who had the fewest turns.
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
		for _, none := range order[:i] { // what a kind did not want it does not want later
			t.passed[none] = max(t.passed[none], t.passed[k])
		}
		t.Start(j, k, now)
		return j
	}
	return nil
}

// nextOf takes the next job for a kind of turn.
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

// Start gives a job a place, whether there is a free one or not.
func (t *Turns) Start(j *Job, k Kind, now time.Time) {
	t.unpark(j)
	t.running[j] = struct{}{}
	j.state, j.kind, j.started, j.woken, j.seeks = Running, k, now, false, true
	t.seeking[k]++
}

// Ended takes the place of a job back. The caller parks it or forgets it.
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

// Ask takes note that a job was asked for its place for a reason of the caller's.
func (t *Turns) Ask(j *Job) {
	if !j.evicting {
		j.evicting = true
		t.evicting++
	}
}

// Activity is what a job does that has a place.
type Activity struct {
	Busy    bool          // it has a worker, waits for one, or did not begin to seek
	Since   time.Time     // when it began to seek, or last received something
	Got     bool          // it received something in this turn
	Answers time.Duration // after so long those who were asked have answered; 0 if it is not known
}

// Evict gives the jobs that have to give up their places, since others wait and they
// receive nothing. look says what a job does. next is after how long another one may
// have to; 0 is that none has while things are as they are.
func (t *Turns) Evict(now time.Time, look func(*Job) Activity) (out []*Job, next time.Duration) {
	type idler struct {
		j     *Job
		age   time.Duration
		slice time.Duration
	}
	var idle []idler
	t.seeking = [kinds]int{}
	for j := range t.running {
		l := look(j)
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
		if all <= 0 {
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

// firsts counts those that wait for a place and do not wait for others' idle time.
func (t *Turns) waiting() int { return len(t.parked.woken) + t.WaitingJobs(t.cfg.Places) }

// Starving reports whether a place is free while jobs for it are on disk alone.
func (t *Turns) Starving() bool { return len(t.running) < t.cfg.Places && len(t.ToRead()) > 0 }

// Crowded reports whether every place is taken and a job waits for one that others give
// up after a short turn. Then Evict is to be called, and again when it says.
func (t *Turns) Crowded() bool {
	return len(t.running) >= t.cfg.Places && len(t.parked.woken)+t.WaitingJobs(1) > 0
}
