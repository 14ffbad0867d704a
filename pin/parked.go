package pin

import "time"

const (
	// keptWindows is how many times [Config.Window] parked jobs there may be of all
	// accounts together, and keptLeast how many each account may have however many
	// the others have.
	keptWindows = 3
	keptLeast   = 64
)

// parked are the jobs that gave their places up and wait for another try. Of each
// account a number of them is kept in memory until they are over; those that are
// beyond it are put off: they have had a try, they stay Pinning on disk, and they are
// read from there when there is room. It has no lock of its own.
type parked struct {
	window  int
	all     map[*job]struct{}
	blocked map[*job]struct{}            // those that wait for room on the disk
	tries   *agenda                      // those that were not woken, by when they are tried again
	ends    *agenda                      // those that may fail, by when they do
	byPeer  map[string]map[*job]struct{} // by the peers that their origins name
	kept    map[string]int               // jobs that are kept, by account, those that run again among them
	keptAll int
}

// newParked makes an empty one. deadline gives when a job fails unless it gets
// further; zero is never.
func newParked(window int, deadline func(*job) time.Time) *parked {
	return &parked{
		window:  window,
		all:     make(map[*job]struct{}),
		blocked: make(map[*job]struct{}),
		tries:   &agenda{at: func(j *job) time.Time { return j.nextTry }, spot: func(j *job) *int { return &j.inTries }},
		ends:    &agenda{at: deadline, spot: func(j *job) *int { return &j.inEnds }},
		byPeer:  make(map[string]map[*job]struct{}),
		kept:    make(map[string]int),
	}
}

// add takes a parked job in, or takes note that it has changed.
func (p *parked) add(j *job) {
	p.all[j] = struct{}{}
	if j.blocked {
		p.blocked[j] = struct{}{}
	}
	if !j.woken {
		p.tries.set(j)
	}
	if p.ends.at(j).IsZero() {
		p.ends.remove(j)
	} else {
		p.ends.set(j)
	}
	for _, o := range j.origins {
		peer := peerOf(o)
		if p.byPeer[peer] == nil {
			p.byPeer[peer] = make(map[*job]struct{})
		}
		p.byPeer[peer][j] = struct{}{}
	}
}

// remove takes out a job that is not parked any more.
func (p *parked) remove(j *job) {
	delete(p.all, j)
	delete(p.blocked, j)
	p.tries.remove(j)
	p.ends.remove(j)
	for _, o := range j.origins {
		peer := peerOf(o)
		if delete(p.byPeer[peer], j); len(p.byPeer[peer]) == 0 {
			delete(p.byPeer, peer)
		}
	}
}

// room reports whether another job of the account may be kept.
func (p *parked) room(account string) bool {
	n := p.kept[account]
	return n < min(keptLeast, p.window) || n < p.window && p.keptAll < keptWindows*p.window
}

// keep reports whether a job may stay in memory until it is over, which it may from
// then on.
func (p *parked) keep(j *job) bool {
	if !j.kept && p.room(j.account) {
		j.kept = true
		p.kept[j.account]++
		p.keptAll++
	}
	return j.kept
}

// forget takes back keep.
func (p *parked) forget(j *job) {
	if !j.kept {
		return
	}
	j.kept = false
	p.keptAll--
	if p.kept[j.account]--; p.kept[j.account] == 0 {
		delete(p.kept, j.account)
	}
}

// roomy reports whether the account's jobs that were put off are worth reading.
func (p *parked) roomy(account string) bool {
	return p.kept[account] <= p.window/2 && p.room(account)
}

// round is how far the reading of an account's requests has come that are Pinning and
// of which the jobs were put off. It goes round, so that each has its turn however
// many are put off again.
type round struct {
	more    bool      // there may be some
	tail    time.Time // those created after it were not read in this round
	behind  bool      // there may be some for the next round
	reading bool      // more of them are being read
}

// note takes note of a request that is on disk alone from now on.
func (r *round) note(created time.Time) {
	r.more = true
	if r.reading || !created.After(r.tail) {
		r.behind = true
	}
}

// read ends a reading: those that were created after tail are left, or none are if
// more is false.
func (r *round) read(tail time.Time, more bool) {
	r.reading, r.tail, r.more = false, tail, more || r.behind
	if !more {
		r.tail, r.behind = time.Time{}, false
	}
}

// park puts a job aside. With no pause it is next. begun is whether all its requests
// are Pinning on disk, as far as is known.
func (m *Manager) park(j *job, pause time.Duration, begun bool) {
	j.state = jobParked
	j.nextTry = time.Now().Add(pause)
	if pause == 0 {
		m.parked.add(j)
		m.wake(j)
	} else if m.parked.keep(j) {
		m.parked.add(j)
	} else {
		m.putOff(j, begun)
	}
}

// putOff forgets a job until its requests are read from disk again.
func (m *Manager) putOff(j *job, begun bool) {
	m.forget(j)
	for who, w := range j.members {
		l := m.queue.line(who.account)
		l.tried.note(w.created)
		if !begun {
			m.queue.later(l, w.created)
		}
	}
}

// forget drops a job that is over or put off.
func (m *Manager) forget(j *job) {
	j.state = jobOver
	delete(m.jobs, j.dag)
	m.parked.remove(j)
	m.parked.forget(j)
}

// wake lets a parked job be tried again before its time.
func (m *Manager) wake(j *job) {
	if j.state == jobParked && !j.woken {
		j.woken = true
		m.parked.tries.remove(j)
		m.woken = append(m.woken, j)
	}
}

// nextWoken takes the job that was woken first, nil if there is none.
func (m *Manager) nextWoken() *job {
	for len(m.woken) > 0 {
		j := m.woken[0]
		m.woken[0] = nil
		m.woken = m.woken[1:]
		if j.state == jobParked && j.woken {
			return j
		}
	}
	return nil
}

// PeerConnected says that a peer which may have blocks is connected now. Pins
// that were parked are tried again early: those that name the peer as an
// origin, and if it came to us of itself others too, since that is how a
// client delivers what it asked us to pin. A public node has such peers all the
// time: of the others some are tried, those first whose next try is the nearest.
func (m *Manager) PeerConnected(peer string, inbound bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || len(m.parked.all) == 0 {
		return
	}
	for j := range m.parked.byPeer[peer] {
		m.wake(j)
	}
	if now := time.Now(); inbound && now.Sub(m.wokenAny) >= wakeInterval {
		m.wokenAny = now
		for range max(m.cfg.Seekers/wakePart, 1) {
			j := m.parked.tries.first()
			if j == nil {
				break
			}
			m.wake(j)
		}
	}
	m.kick()
}

// readPutOff reads some of an account's requests whose jobs were put off, and parks
// jobs for them that are due at once.
func (m *Manager) readPutOff(l *line) {
	l.tried.reading = true
	tail := l.tried.tail
	m.wg.Go(func() {
		rs, err := m.records.UnfinishedAfter(m.ctx, l.account, Pinning, tail, m.cfg.Window)
		m.mu.Lock()
		defer m.mu.Unlock()
		more := err != nil || len(rs) == m.cfg.Window // after an error the next tick tries again
		for _, r := range rs {
			if m.jobs[r.DAG()] == nil && !m.parked.room(l.account) {
				more = true
				break
			}
			m.takeBack(r)
			tail = r.Created
		}
		l.tried.read(tail, more)
		m.queue.forget(l)
		if err != nil && m.ctx.Err() == nil {
			m.log.Error("read pins that were put off", "account", l.account, "err", err)
		}
		m.kick()
	})
}

// takeBack makes a parked job for a request that was put off, if there is none.
func (m *Manager) takeBack(r Request) {
	if m.jobs[r.DAG()] != nil {
		m.enqueue(r)
		return
	}
	j := m.newJob(r)
	j.members[member{r.Account, r.ID}] = waiter{created: r.Created}
	j.addOrigins(r.Origins)
	j.state, j.nextTry = jobParked, time.Now()
	m.parked.keep(j)
	m.parked.add(j)
}
