package pin

import (
	"time"

	"github.com/holdfast-ipfs/holdfast/pin/turns"
)

// of gives the job that turns are kept for.
func (m *Manager) of(t *turns.Job) *job { return m.jobs[DAG(t.Key)] }

// park puts a job aside. With no pause it is next. begun is whether all its requests
// are Pinning on disk, as far as is known.
func (m *Manager) park(j *job, pause time.Duration, begun bool) {
	if pause > 0 && !m.turns.Keep(&j.Job) {
		m.putOff(j, begun)
		return
	}
	m.setParked(j, m.clock.Now().Add(pause))
	if pause == 0 {
		m.turns.Wake(&j.Job)
	}
}

// setParked parks a job, or takes note that it has changed while it is parked.
func (m *Manager) setParked(j *job, nextTry time.Time) {
	var peers []string
	for _, o := range j.origins {
		peers = append(peers, peerOf(o))
	}
	m.turns.Park(&j.Job, turns.Parking{
		NextTry: nextTry, Ends: m.deadline(j), Blocked: j.blocked, Needs: j.needs, Peers: peers,
	})
}

// putOff forgets a job until its requests are read from disk again. begun is whether
// all of them are Pinning there, as far as is known.
func (m *Manager) putOff(j *job, begun bool) {
	m.forget(j)
	for who, w := range j.members.all() {
		m.turns.PutOff(who.account, w.created)
		if !begun {
			m.turns.Later(who.account, w.created)
		}
	}
}

// leaveOnDisk forgets a job that had no turn yet until its requests are read from disk.
func (m *Manager) leaveOnDisk(j *job) {
	m.forget(j)
	for who, w := range j.members.all() {
		if w.status == Queued {
			m.turns.Later(who.account, w.created)
		} else {
			m.turns.PutOff(who.account, w.created)
		}
	}
}

// forget drops a job that is over, put off, or left on disk.
func (m *Manager) forget(j *job) {
	delete(m.jobs, j.dag)
	m.turns.Forget(&j.Job)
}

// PeerConnected says that a peer which may have blocks is connected now. Pins
// that were parked are tried again early: those that name the peer as an
// origin, and if it came to us of itself others too, since that is how a
// client delivers what it asked us to pin. A public node has such peers all the
// time: of the others some are tried, those first whose next try is the nearest.
func (m *Manager) PeerConnected(peer string, inbound bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	m.turns.PeerCame(peer, inbound, m.clock.Now())
	m.kick()
}

// refill reads more of the lines that are partly on disk, and of what was put off.
func (m *Manager) refill() {
	m.refilled = m.clock.Now()
	for _, account := range m.turns.Roomy() {
		m.readPutOff(account)
	}
	for _, account := range m.turns.Hungry() {
		m.readLine(account)
	}
}

// readLine reads some of an account's requests that wait for their first turn.
func (m *Manager) readLine(account string) {
	tail, limit := m.turns.BeginRead(account)
	m.wg.Go(func() {
		rs, err := m.records.UnfinishedAfter(m.ctx, account, Queued, tail, limit)
		m.mu.Lock()
		defer m.mu.Unlock()
		if err != nil {
			m.turns.EndRead(account, tail, true)
			m.refilled = m.clock.Now().Add(tick) // then it is tried again
			if m.ctx.Err() == nil {
				m.log.Error("read more of the queue", "account", account, "err", err)
			}
			return
		}
		for _, r := range rs {
			m.enqueue(r, true)
			tail = r.Created
		}
		m.turns.EndRead(account, tail, len(rs) == limit)
		m.kick()
	})
}

// readPutOff reads some of an account's requests whose jobs were put off, and parks
// jobs for them that are due at once.
func (m *Manager) readPutOff(account string) {
	tail, limit := m.turns.BeginRound(account)
	m.wg.Go(func() {
		rs, err := m.records.UnfinishedAfter(m.ctx, account, Pinning, tail, limit)
		m.mu.Lock()
		defer m.mu.Unlock()
		tail, more := m.takeBackAll(rs, tail, limit)
		m.turns.EndRound(account, tail, more || err != nil)
		if err != nil {
			m.refilled = m.clock.Now().Add(tick) // then it is tried again
		}
		if err != nil && m.ctx.Err() == nil {
			m.log.Error("read pins that were put off", "account", account, "err", err)
		}
		m.kick()
	})
}

// takeBackAll makes parked jobs for requests that were read after tail, as many as
// limit, for which there is room. It gives the tail of those that are left, if there
// are more.
func (m *Manager) takeBackAll(rs []Request, tail time.Time, limit int) (left time.Time, more bool) {
	for _, r := range rs {
		if m.jobs[r.DAG()] == nil && !m.turns.Room(r.Account) {
			return tail, true
		}
		m.takeBack(r, true, m.clock.Now())
		tail = r.Created
	}
	return tail, len(rs) == limit
}

// takeBack makes a parked job for a request that was put off, if there is none. keep is
// whether it is kept in memory from now on, and nextTry when it is tried.
func (m *Manager) takeBack(r Request, keep bool, nextTry time.Time) {
	if m.jobs[r.DAG()] != nil {
		m.enqueue(r, true)
		return
	}
	j := m.newJob(r)
	j.members.set(member{r.Account, r.ID}, waiter{created: r.Created, status: r.Status})
	j.addOrigins(r.Origins)
	if keep {
		m.turns.Keep(&j.Job)
	}
	m.setParked(j, nextTry)
}
