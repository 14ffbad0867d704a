package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/holdfast-ipfs/holdfast/store"
)

// dirLock is the data directory's lock, which one process can hold.
type dirLock = store.DirLock

// awaitLock takes the directory's lock and hands it to locked. While another
// process holds it, it waits, and looks with each turn whether done says that
// the lock is not needed any more.
func awaitLock(ctx context.Context, d *dataDir, log *slog.Logger, done func() (bool, error), locked func(*dirLock) error) error {
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	began, told := time.Now(), false
	for turn := 0; ; turn++ {
		if ok, err := done(); ok || err != nil {
			return err
		}
		lock, err := store.Lock(d.open)
		if err == nil {
			return locked(lock)
		}
		if !errors.Is(err, store.ErrLocked) {
			return err
		}
		if turn == 0 {
			log.Info("waiting for another holdfast that uses the data directory", "data", d.shown)
		} else if waited := time.Since(began); waited >= quietWait && !told {
			told = true // also to somebody who is not told what is usual
			log.Warn("still waiting for another holdfast that uses the data directory",
				"data", d.shown, "giving_up_in", lockWait-waited.Round(time.Second))
		}
		select {
		case <-time.After(lockPoll):
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return ctx.Err()
			}
			return hinted(fmt.Errorf("another holdfast uses %s, and did not finish in %v", d.shown, lockWait),
				"see what it is with `ps`, wait for it or stop it, and try again")
		}
	}
}

const (
	// lockWait is how long a command waits for a server that starts or stops,
	// or for another command, and a server for a command: longer than a
	// server may take to stop.
	lockWait = 15 * time.Second
	lockPoll = 50 * time.Millisecond
	// quietWait is how long nobody is told but those who want to know everything.
	quietWait = 3 * time.Second
)
