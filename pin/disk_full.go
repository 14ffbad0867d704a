package pin

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

const (
	// fullLogInterval is the shortest time between two log lines that say the disk is
	// full, or that something cannot be read which is tried all the time.
	fullLogInterval = 5 * time.Minute
	// spaceCheckInterval is how often it is checked whether the disk still is full.
	spaceCheckInterval = 5 * time.Second
)

// seldom keeps an error that comes again and again from filling the log: the first is logged, and then one
// in each fullLogInterval. It is not for concurrent use.
type seldom struct{ logged time.Time }

func (l *seldom) due(now time.Time) bool {
	if !l.logged.IsZero() && now.Sub(l.logged) < fullLogInterval {
		return false
	}
	l.logged = now
	return true
}

// fullLog logs, once in a while, that clients are refused because the disk is full, and
// once that it has space again.
type fullLog struct {
	log  *slog.Logger
	room func(ctx context.Context, bytes uint64) error
	// blocked is how many pins wait for room. They may need more than there is for a new
	// request.
	blocked func() int
	tasks   *tasks
	ctx     context.Context // the manager's

	mu       sync.Mutex
	pins     time.Time // when it was last logged that pins are refused
	removals time.Time // when it was last logged that removals are
	watched  bool      // a goroutine checks for space
}

// pinRefused logs err if it is an ErrDiskFull for something new.
func (f *fullLog) pinRefused(err error) {
	f.refused(err, &f.pins, "pins are refused for want of disk space; remove some and reclaim, or see store.min_free_space")
}

// removalRefused logs err if it is an ErrDiskFull for a removal, which needs far less
// space.
func (f *fullLog) removalRefused(err error) {
	f.refused(err, &f.removals, "removals are refused for want of disk space; make room on the disk by other means")
}

func (f *fullLog) refused(err error, logged *time.Time, text string) {
	if !errors.Is(err, ErrDiskFull) || f.ctx.Err() != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := time.Now(); now.Sub(*logged) >= fullLogInterval {
		*logged = now
		f.log.Warn(text, "err", err)
	}
	if !f.watched {
		f.watched = true
		f.tasks.run(f.awaitSpace)
	}
}

// awaitSpace logs that the disk has space, once it has some for all who wait for it.
func (f *fullLog) awaitSpace() {
	check := time.NewTicker(spaceCheckInterval)
	defer check.Stop()
	for {
		select {
		case <-f.ctx.Done():
			return
		case <-check.C:
		}
		if f.room(f.ctx, 0) == nil && f.blocked() == 0 {
			break
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pins, f.removals, f.watched = time.Time{}, time.Time{}, false
	f.log.Info("there is room on the disk again: pins and removals are taken")
}
