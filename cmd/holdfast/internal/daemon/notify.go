package daemon

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

// SystemdNotifier tells systemd, if it started this process.
func SystemdNotifier(log *slog.Logger) func(state string) {
	return func(state string) {
		if _, err := daemon.SdNotify(false, state); err != nil {
			log.Warn("cannot tell systemd the state", "state", state, "err", err)
		}
	}
}

// watchdog tells the service manager at least every interval that all is well,
// for as long as healthy gives no error, until ctx ends. If healthy hangs so
// does this, and the manager restarts the server, as it should.
func watchdog(ctx context.Context, interval time.Duration, healthy func(context.Context) error, notify func(string), log *slog.Logger) {
	ticker := time.NewTicker(interval / 3) // two may be missed
	defer ticker.Stop()
	well := true
	for {
		switch err := healthy(ctx); {
		case ctx.Err() != nil:
			return
		case err == nil:
			well = true
			notify(notifyWatchdog)
		case well:
			well = false
			log.Error("not healthy; the service manager will restart the server", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
