package turns

import "time"

const (
	// keptWindows is how many times [Config.Window] parked jobs there may be of all
	// accounts together, and minKept how many each account may have however many
	// the others have.
	keptWindows = 3
	minKept     = 64
	// wakeInterval is the least time between two wakings of parked jobs because
	// some peer came: each of them asks every connected peer.
	wakeInterval = 5 * time.Second
	// wakePart is the part of the places that so many may displace at a time as
	// are woken: with peers coming all the time, a job keeps its place for 20 s.
	wakePart = 4
)

// parked are the jobs that gave their places up and wait for another turn. Of each
// account a number of them is kept in memory until they are over; those that are
// beyond it are put off: they have had a turn, they are on disk, and they are
// read from there when there is room.
type parked struct {
	all     map[*Job]struct{}
	blocked map[*Job]struct{}            // those that wait for room on the disk
	tries   *dueQueue                    // those that were not woken, by when they are tried again
	ends    *dueQueue                    // those that may fail, by when they do
	byPeer  map[string]map[*Job]struct{} // by the peers that they name
	woken   []*Job                       // to be tried before their time; some may be stale
	any     time.Time                    // when jobs that do not name the peer were last woken
	kept    map[string]int               // jobs that are kept, by account, those that run again among them
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
	Ends    time.Time // when [Turns.Late] gives it; zero is never
	Blocked bool      // it waits for room on the disk
	Needs   uint64    // bytes of that; 0 if it is not known
	Peers   []string  // whose arrival wakes it
}

// Park parks a job that runs no more, or that is new, or takes note that what it waits
// for has changed.
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

// Forget drops a job that is over or put off. It may wait, run no more, or be parked.
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

// Room reports whether another job of the account may be kept.
func (t *Turns) CanKeep(account string) bool {
	n := t.parked.kept[account]
	return n < min(minKept, t.cfg.Window) || n < t.cfg.Window && t.parked.keptAll < keptWindows*t.cfg.Window
}

// Keep reports whether a job may stay in memory until it is over, which it may from
// then on.
func (t *Turns) Keep(j *Job) bool {
	if !j.kept && t.CanKeep(j.Account) {
		j.kept = true
		t.parked.kept[j.Account]++
		t.parked.keptAll++
	}
	return j.kept
}

// Kept is how many jobs of the account are kept.
func (t *Turns) Kept(account string) int { return t.parked.kept[account] }

// Wake lets a parked job be tried again before its time.
func (t *Turns) Wake(j *Job) {
	if j.state == Parked && !j.woken {
		j.woken = true
		t.parked.tries.remove(j)
		t.parked.woken = append(t.parked.woken, j)
	}
}

// PeerCame wakes the jobs that name a peer, and if it came to us of itself some others,
// those first whose next turn is the nearest.
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

// nextWoken takes the job that was woken first, nil if there is none.
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

// Late gives a parked job whose end has come; nil if there is none.
func (t *Turns) Late(now time.Time) *Job { return t.parked.ends.due(now) }

// Parked calls f for each job that is parked, in no order.
func (t *Turns) Parked(f func(*Job)) {
	for j := range t.parked.all {
		f(j)
	}
}
