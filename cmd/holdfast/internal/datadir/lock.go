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

// Lock is the data directory's lock, which one process can hold.
type Lock = store.DirLock

// AwaitLock takes the directory's lock and hands it to locked. While another
// process holds it, it waits, and looks with each turn whether done says that
// the lock is not needed any more.
func AwaitLock(ctx context.Context, d *Dir, log *slog.Logger, done func() (bool, error), locked func(*Lock) error) error {
	ctx, cancel := context.WithTimeout(ctx, LockWait)
	defer cancel()
	began, told := time.Now(), false
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
		} else if waited := time.Since(began); waited >= quietWait && !told {
			told = true // also to somebody who is not told what is usual
			log.Warn("still waiting for another holdfast that uses the data directory",
				"data", d.Shown, "giving_up_in", LockWait-waited.Round(time.Second))
		}
		select {
		case <-time.After(LockPoll):
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return ctx.Err()
			}
			return hint.Add(fmt.Errorf("another holdfast uses %s, and did not finish in %v", d.Shown, LockWait),
				"see what it is with `ps`, wait for it or stop it, and try again")
		}
	}
}

const (
	// LockWait is how long a command waits for a server that starts or stops,
	// or for another command, and a server for a command: longer than a
	// server may take to stop.
	LockWait = 15 * time.Second
	LockPoll = 50 * time.Millisecond
	// quietWait is how long nobody is told but those who want to know everything.
	quietWait = 3 * time.Second
)
