package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
	"github.com/holdfast-ipfs/holdfast/internal/hint"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// Dial gives a client for the server of the directory. ok is false if none answers.
func Dial(ctx context.Context, d *datadir.Dir) (c *admin.Client, ok bool) {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", d.Socket(admin.SocketName))
	}
	conn, err := dial(ctx, "", "")
	if err != nil {
		return nil, false
	}
	conn.Close()
	return admin.NewClient(dial, func() string { return serverOf(d) }), true
}

// Connect gives a client for the directory. If a server runs there, the client speaks to it.
// Else it speaks to handlers in this process, and no other process can open the store until
// the client is closed. Connect waits for a server that starts or stops, and for another
// command. open opens places of backups in this process.
func Connect(ctx context.Context, d *datadir.Dir, config func() (config.Config, error), open Opener, log *slog.Logger) (*admin.Client, error) {
	var c *admin.Client
	err := datadir.AwaitLock(ctx, d, log, func() (bool, error) {
		var ok bool
		c, ok = Dial(ctx, d)
		return ok, nil
	}, func(lock *datadir.Lock) error {
		cfg, err := config()
		if err == nil {
			c, err = localAdmin(ctx, d, lock, cfg, open, log)
		}
		if err != nil {
			return errors.Join(err, lock.Close())
		}
		return nil
	})
	return c, err
}

// localAdmin serves the admin API to a client in this process. Without an error, the client
// owns the lock.
func localAdmin(ctx context.Context, d *datadir.Dir, lock *datadir.Lock, cfg config.Config, open Opener, log *slog.Logger) (_ *admin.Client, err error) {
	c, err := openCore(ctx, d, lock, cfg, log)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.store.Close())
		}
	}()
	pins := pin.NewOffline(c.store, quotas{c.auth})
	c.pins = pins
	operator := &admin.Server{
		Auth: c.auth, Pins: c.pins, Log: log,
		Endpoint: func() string { return endpointAt(config.ConfiguredURL(cfg.HTTP)) },
		Store:    offlineStore(c, pins),
		Backups:  newBackups(c, d, cfg, "", open, log),
		Hint:     storeHint,
	}
	handler, err := operator.Handler()
	if err != nil {
		return nil, err
	}
	return admin.NewLocalClient(handler, func() error { return errors.Join(c.store.Close(), lock.Close()) }), nil
}

// serverOf names the server of a directory, for people who wait for it.
func serverOf(d *datadir.Dir) string {
	if r, ok := datadir.ReadRunFile(d.File(datadir.RunFileName)); ok {
		return fmt.Sprintf("the server on %s, process %d,", d.Shown, r.PID)
	}
	return "the server on " + d.Shown
}

// lockForServer takes the lock for a server. It waits for a command that holds the lock. If
// another server holds it, that is an error.
func lockForServer(ctx context.Context, d *datadir.Dir, log *slog.Logger) (lock *datadir.Lock, err error) {
	err = datadir.AwaitLock(ctx, d, log, func() (bool, error) {
		other, running := Dial(ctx, d)
		if !running {
			return false, nil
		}
		err := other.Close()
		which := ""
		if r, ok := datadir.ReadRunFile(d.File(datadir.RunFileName)); ok {
			which = fmt.Sprintf(", as process %d", r.PID)
		}
		return false, hint.Add(errors.Join(fmt.Errorf("a server runs on %s already%s", d.Shown, which), err),
			"stop it first, or name another directory with --data DIR")
	}, func(l *datadir.Lock) error {
		lock = l
		return nil
	})
	return lock, err
}
