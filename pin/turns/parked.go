package turns

import "time"

const (
	// All accounts together may keep keptWindows times [Config.Window] parked jobs. Each
	// may keep minKept however many the others have.
	keptWindows = 3
	minKept     = 64
	// wakeInterval is the shortest time between two wakings of jobs that do not name the
	// peer that came: each job asks every connected peer.
	wakeInterval = 5 * time.Second
	// wakePart: at most a 1/wakePart share of the places is given to woken jobs at once, so
	// that a job keeps its place for 20 s even if peers come all the time.
	wakePart = 4
)

// parked has the jobs that gave up their places and wait for another turn. Each account may
// keep a number of jobs in memory until they are over. The others are spilled after their
// turn.
type parked struct {
	all     map[*Job]struct{}
	blocked map[*Job]struct{}            // those that wait for disk space
	tries   *dueQueue                    // those that were not woken, by when they are tried again
	ends    *dueQueue                    // those that may fail, by when they do
	byPeer  map[string]map[*Job]struct{} // by the peers that they name as origins
	woken   []*Job                       // to be tried before their time; some may run or be over by now
	any     time.Time                    // when jobs that do not name the peer were last woken
	kept    map[string]int               // how many jobs each account keeps, running ones included
	keptAll int
}

func newParked() parked {
	return parked{
		all:     make(map[*Job]struct{}),
		blocked: make(map[*Job]struct{}),
		tries:   &dueQueue{at: func(j *Job) time.Time { return j.nextTry }, spot: func(j *Job) *int { return &j.inTries }},
		ends:    &dueQueue{at: func(j *Job) time.Time { return j.ends }, spot: func(j *Job) *int { return &j.inEnds }},
		byPeer:  make(map[string]map[*Job]struct{}),
		kept:    make(map[string]int),
	}
}

// Parking is what a parked job waits for.
type Parking struct {
	NextTry time.Time // when it has its next turn
	Ends    time.Time // when [Turns.Late] returns it; zero is never
	Blocked bool      // it waits for disk space
	Needs   uint64    // how many bytes; 0 if not known
	Peers   []string  // whose arrival wakes it
}

// Park parks a job that does not run, or changes what a parked job waits for.
func (t *Turns) Park(j *Job, p Parking) {
	t.unpark(j)
	j.state = Parked
	j.nextTry, j.ends, j.blocked, j.needs, j.peers = p.NextTry, p.Ends, p.Blocked, p.Needs, p.Peers
	t.parked.all[j] = struct{}{}
	if j.blocked {
		t.parked.blocked[j] = struct{}{}
	}
	if !j.woken {
		t.parked.tries.set(j)
	}
	if !j.ends.IsZero() {
		t.parked.ends.set(j)
	}
	for _, peer := range j.peers {
		if t.parked.byPeer[peer] == nil {
			t.parked.byPeer[peer] = make(map[*Job]struct{})
		}
		t.parked.byPeer[peer][j] = struct{}{}
	}
}

// unpark takes out a job that is not parked any more.
func (t *Turns) unpark(j *Job) {
	delete(t.parked.all, j)
	delete(t.parked.blocked, j)
	t.parked.tries.remove(j)
	t.parked.ends.remove(j)
	for _, peer := range j.peers {
		if delete(t.parked.byPeer[peer], j); len(t.parked.byPeer[peer]) == 0 {
			delete(t.parked.byPeer, peer)
		}
	}
	j.peers = nil
}

// Forget drops a job that is over or spilled. The job does not run.
func (t *Turns) Forget(j *Job) {
	j.state = Over
	t.unpark(j)
	if !j.kept {
		return
	}
	j.kept = false
	t.parked.keptAll--
	if t.parked.kept[j.Account]--; t.parked.kept[j.Account] == 0 {
		delete(t.parked.kept, j.Account)
	}
}

// CanKeep reports whether the account may keep another job.
func (t *Turns) CanKeep(account string) bool {
	n := t.parked.kept[account]
	return n < min(minKept, t.cfg.Window) || n < t.cfg.Window && t.parked.keptAll < keptWindows*t.cfg.Window
}

// Keep reports whether a job may stay in memory until it is over. A job that may counts as
// kept from then on.
func (t *Turns) Keep(j *Job) bool {
	if !j.kept && t.CanKeep(j.Account) {
		j.kept = true
		t.parked.kept[j.Account]++
		t.parked.keptAll++
	}
	return j.kept
}

// Kept is how many jobs the account keeps.
func (t *Turns) Kept(account string) int { return t.parked.kept[account] }

// Wake makes a parked job be tried before its time.
func (t *Turns) Wake(j *Job) {
	if j.state == Parked && !j.woken {
		j.woken = true
		t.parked.tries.remove(j)
		t.parked.woken = append(t.parked.woken, j)
	}
}

// PeerCame wakes the jobs that name a peer. If the peer connected to us, it also wakes some
// others, those whose next turn is nearest.
func (t *Turns) PeerCame(peer string, inbound bool, now time.Time) {
	for j := range t.parked.byPeer[peer] {
		t.Wake(j)
	}
	if !inbound || now.Sub(t.parked.any) < wakeInterval {
		return
	}
	t.parked.any = now
	for range max(t.cfg.Places/wakePart, 1) {
		j := t.parked.tries.first()
		if j == nil {
			return
		}
		t.Wake(j)
	}
}

// nextWoken takes the job that was woken first; nil if there is none.
func (t *Turns) nextWoken() *Job {
	for len(t.parked.woken) > 0 {
		j := t.parked.woken[0]
		t.parked.woken[0] = nil
		t.parked.woken = t.parked.woken[1:]
		if j.state == Parked && j.woken {
			return j
		}
	}
	return nil
}

// Late returns a parked job whose end has come; nil if there is none.
func (t *Turns) Late(now time.Time) *Job { return t.parked.ends.due(now) }

// Parked calls f for each job that is parked, in no order.
func (t *Turns) Parked(f func(*Job)) {
	for j := range t.parked.all {
		f(j)
	}
}
