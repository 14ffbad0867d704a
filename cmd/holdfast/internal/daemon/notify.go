package daemon

import (
	"context"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// States that are reported to the service manager.
const (
	notifyReady    = daemon.SdNotifyReady
	notifyStopping = daemon.SdNotifyStopping
	notifyWatchdog = daemon.SdNotifyWatchdog
)

// SystemdNotifier gives a function that reports a state to systemd, if systemd started this
// process.
func SystemdNotifier(log *slog.Logger) func(state string) {
	return func(state string) {
		if _, err := daemon.SdNotify(false, state); err != nil {
			log.Warn("cannot report the state to systemd", "state", state, "err", err)
		}
	}
}

// watchdog reports to the service manager that all is well, at least once in each interval,
// while healthy gives no error. It runs until ctx ends. If healthy hangs, nothing is reported,
// and the manager restarts the server, as it should.
func watchdog(ctx context.Context, interval time.Duration, healthy func(context.Context) error, notify func(string), log *slog.Logger) {
	ticker := time.NewTicker(interval / 3) // so two reports may be late
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
