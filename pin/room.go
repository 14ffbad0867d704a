package pin

import "errors"

// room is what is known of the disk's while jobs wait for it. The manager's lock guards
// it.
type room struct {
	asking bool // whether there is any
	next   int  // so many jobs are tried when there is
}

// noteFull takes note that a run ended for want of room on the disk, if that is what
// err says.
func (m *Manager) noteFull(j *job, err error) {
	if j.blocked = errors.Is(err, ErrDiskFull); !j.blocked {
		return
	}
	j.needs = 0
	if full, ok := errors.AsType[*DiskFullError](err); ok {
		j.needs = full.More
	}
	m.room.next = 1
}

// tryBlocked has jobs tried again that wait for room, once there is some: one at first,
// and with each tick twice as many, for as long as none of them finds the disk full
// again. Their own next try may be minutes away.
func (m *Manager) tryBlocked() {
	if m.room.asking || m.room.next == 0 {
		return
	}
	var first *job
	for j := range m.parked.blocked {
		if !j.woken {
			first = j
			break
		}
	}
	if first == nil {
		return
	}
	m.room.asking = true
	needs := first.needs
	m.wg.Go(func() { // a disk may take its time
		err := m.records.Room(m.ctx, needs)
		m.mu.Lock()
		defer m.mu.Unlock()
		m.room.asking = false
		if err != nil {
			return
		}
		tried := 0
		for j := range m.parked.blocked {
			if tried == m.room.next {
				break
			}
			if !j.woken && j.needs <= needs {
				m.wake(j)
				tried++
			}
		}
		m.room.next = min(2*m.room.next, m.cfg.Seekers)
		m.kick()
	})
}
