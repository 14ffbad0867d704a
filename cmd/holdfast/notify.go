package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// States that the service manager is told of.
const (
	notifyReady    = daemon.SdNotifyReady
	notifyStopping = daemon.SdNotifyStopping
	notifyWatchdog = daemon.SdNotifyWatchdog
)

// systemdNotifier tells systemd, if it started this process.
func systemdNotifier(log *slog.Logger) func(state string) {
	return func(state string) {
		if _, err := daemon.SdNotify(false, state); err != nil {
			log.Warn("cannot tell systemd the state", "state", state, "err", err)
		}
	}
}

// watchdog tells the service manager now and then that the server is alive,
// for as long as the store answers reads. It returns when ctx ends, or at once
// if nobody asked for it. A store that hangs hangs this too, so that the
// manager restarts the server, as it should.
func (p *Program) watchdog(ctx context.Context) {
	if p.Notify == nil || p.WatchdogInterval == 0 {
		return
	}
	ticker := time.NewTicker(p.WatchdogInterval / 3) // two may be missed
	defer ticker.Stop()
	healthy := true
	for {
		switch err := p.core.healthy(ctx); {
		case ctx.Err() != nil:
			return
		case err == nil:
			healthy = true
			p.Notify(notifyWatchdog)
		case healthy:
			healthy = false
			p.Log.Error("not healthy: the service manager will restart the server", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
