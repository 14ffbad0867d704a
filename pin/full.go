package pin

import (
	"errors"
	"time"
)

const (
	// tellFullAgain is how often the log has that the disk is full.
	tellFullAgain = 5 * time.Minute
	// lookForRoom is how often it is looked whether it still is.
	lookForRoom = 5 * time.Second
)

// fullness is what the log has of a full disk. The manager's lock guards it.
type fullness struct {
	pins, removals time.Time // when the log last had that they are refused
	watched        bool      // somebody looks for room
}

// WarnFull has the log say, once in a while, that clients are refused because the
// disk is full, if that is what err says, and again when there is room. Whoever
// starts the server calls it with what the disk is then.
func (m *Manager) WarnFull(err error) {
	m.warnFull(err, &m.full.pins, "pins are refused for want of disk space; remove some and reclaim, or see store.min_free_space")
}

// warnNoRemoval does that for removals, which need far less room.
func (m *Manager) warnNoRemoval(err error) {
	m.warnFull(err, &m.full.removals, "removals are refused for want of disk space; make room on the disk by other means")
}

func (m *Manager) warnFull(err error, told *time.Time, text string) {
	if !errors.Is(err, ErrDiskFull) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	if now := time.Now(); now.Sub(*told) >= tellFullAgain {
		*told = now
		m.log.Warn(text, "err", err)
	}
	if !m.full.watched {
		m.full.watched = true
		m.wg.Go(m.awaitRoom)
	}
}

// awaitRoom has the log say when there is room again.
func (m *Manager) awaitRoom() {
	look := time.NewTicker(lookForRoom)
	defer look.Stop()
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-look.C:
		}
		if m.records.Room(m.ctx, 0) == nil {
			break
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.full = fullness{}
	m.log.Info("there is room on the disk again: pins and removals are taken")
}
