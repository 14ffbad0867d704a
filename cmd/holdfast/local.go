package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// dialAdmin connects to the server of the directory, if one answers.
func dialAdmin(ctx context.Context, d *dataDir) (*adminClient, bool) {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", d.socket(adminSocketName))
	}
	conn, err := dial(ctx, "", "")
	if err != nil {
		return nil, false
	}
	conn.Close()
	return newAdminClient(dial, func() string { return serverOf(d) }), true
}

// connectAdmin gives a client for the directory: to its server if one runs,
// else to handlers in this process, over the store, which nobody else can open
// until the client is closed. A server or command that is busy with the
// directory is waited for.
func connectAdmin(ctx context.Context, d *dataDir, config func() (Config, error), log *slog.Logger) (*adminClient, error) {
	var c *adminClient
	err := awaitLock(ctx, d, log, func() (bool, error) {
		var ok bool
		c, ok = dialAdmin(ctx, d)
		return ok, nil
	}, func(lock *dirLock) error {
		cfg, err := config()
		if err == nil {
			c, err = localAdmin(ctx, d, lock, cfg, log)
		}
		if err != nil {
			return errors.Join(err, lock.Close())
		}
		return nil
	})
	return c, err
}

// localAdmin serves the admin API to a client in this process. It owns the
// lock if there is no error.
func localAdmin(ctx context.Context, d *dataDir, lock *dirLock, cfg Config, log *slog.Logger) (_ *adminClient, err error) {
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
	admin := &adminServer{
		auth: c.auth, pins: c.pins, log: log,
		endpoint: func() string { return endpointAt(configuredURL(cfg.HTTP)) },
		store:    offlineStore(c.store, c.auth, pins),
	}
	handler, err := admin.handler()
	if err != nil {
		return nil, err
	}
	return newLocalClient(handler, func() error { return errors.Join(c.store.Close(), lock.Close()) }), nil
}

// serverOf names the server of a directory.
func serverOf(d *dataDir) string {
	if r, ok := readRunFile(d.file(runFileName)); ok {
		return fmt.Sprintf("the server on %s, process %d,", d.shown, r.PID)
	}
	return "the server on " + d.shown
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
