package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

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
		} else if waited := time.Since(began); waited >= tellWait && !told {
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

// lockForServer takes the lock for a server. It waits for a command that holds
// it, but not for another server.
func lockForServer(ctx context.Context, d *dataDir, log *slog.Logger) (lock *dirLock, err error) {
	err = awaitLock(ctx, d, log, func() (bool, error) {
		other, running := dialAdmin(ctx, d)
		if !running {
			return false, nil
		}
		err := other.Close()
		who := ""
		if r, ok := readRunFile(d.file(runFileName)); ok {
			who = fmt.Sprintf(", as process %d", r.PID)
		}
		return false, hinted(errors.Join(fmt.Errorf("a server runs on %s already%s", d.shown, who), err),
			"stop it first, or name another directory with --data DIR")
	}, func(l *dirLock) error {
		lock = l
		return nil
	})
	return lock, err
}

// listenAdmin listens on the admin socket, for its owner alone. The caller
// holds the directory's lock, so that a socket that is there is stale.
func listenAdmin(ctx context.Context, d *dataDir) (net.Listener, error) {
	path := d.socket(adminSocketName)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove the admin socket of an earlier server: %w", err)
	}
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		// Before bind this sets the mode that the socket's file is made with.
		if ctlErr := c.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), 0o600) }); ctlErr != nil {
			return ctlErr
		}
		return err
	}}
	l, err := config.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("serve commands on %s: %w", adminSocketName, err)
	}
	return l, nil
}
