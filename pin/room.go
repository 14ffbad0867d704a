package pin

import "errors"

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
	m.turns.Full()
}

// tryBlocked has jobs tried again that wait for room, once there is some.
func (m *Manager) tryBlocked() {
	needs, ask := m.turns.AskForRoom()
	if !ask {
		return
	}
	m.wg.Go(func() { // a disk may take its time
		err := m.records.Room(m.ctx, needs)
		m.mu.Lock()
		defer m.mu.Unlock()
		m.turns.RoomIs(needs, err == nil)
		m.kick()
	})
}
