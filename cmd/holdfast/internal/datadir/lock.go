package datadir

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/holdfast-ipfs/holdfast/internal/hint"
	"github.com/holdfast-ipfs/holdfast/store"
)

// Lock is the lock of the data directory. One process can hold it.
type Lock = store.DirLock

// AwaitLock takes the lock of the directory and gives it to locked. While another process
// holds the lock, it waits up to LockWait. In each turn it calls done, which may report that
// the lock is not needed any more.
func AwaitLock(ctx context.Context, d *Dir, log *slog.Logger, done func() (bool, error), locked func(*Lock) error) error {
	ctx, cancel := context.WithTimeout(ctx, LockWait)
	defer cancel()
	began, warned := time.Now(), false
	for turn := 0; ; turn++ {
		if ok, err := done(); ok || err != nil {
			return err
		}
		lock, err := store.Lock(d.Open)
		if err == nil {
			return locked(lock)
		}
		if !errors.Is(err, store.ErrLocked) {
			return err
		}
		if turn == 0 {
			log.Info("waiting for another holdfast that uses the data directory", "data", d.Shown)
		} else if waited := time.Since(began); waited >= quietWait && !warned {
			warned = true // a command logs warnings only
			log.Warn("still waiting for another holdfast that uses the data directory",
				"data", d.Shown, "giving_up_in", LockWait-waited.Round(time.Second))
		}
		select {
		case <-time.After(LockPoll):
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return ctx.Err()
			}
			return hint.Add(fmt.Errorf("another holdfast uses %s, and did not finish within %v", d.Shown, LockWait),
				"find it with `ps`, wait for it or stop it, and try again")
		}
	}
}

const (
	// LockWait is how long a process waits for the lock: a command for a server that starts
	// or stops, or for another command, and a server for a command. It is longer than a
	// server may take to stop.
	LockWait = 15 * time.Second
	// LockPoll is how often it tries.
	LockPoll = 50 * time.Millisecond
	// quietWait is how long it waits before it logs a warning.
	quietWait = 3 * time.Second
)
