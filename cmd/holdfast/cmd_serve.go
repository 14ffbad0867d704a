package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/daemon"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/doctor"
)

func (c *cli) serveCommand() *cobra.Command {
	takeOver := false
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the server",
		Long: `Run the server until a SIGINT, SIGTERM or SIGHUP. A second signal ends it at once. To
have it read a changed configuration, start it anew.

Every key of the configuration file is also an environment variable: listen in [http] is
HOLDFAST_HTTP_LISTEN. Commas separate the items of a list. Flags win over the
environment, and the environment wins over the file.`,
		Args: args(),
		RunE: func(cmd *cobra.Command, _ []string) error { return c.serve(cmd, takeOver) },
	}
	config.AddConfigFlags(cmd.Flags())
	cmd.Flags().BoolVar(&takeOver, "take-over", false, "after a restore with the identity of another server, do not look whether that one still runs")
	return cmd
}

// configPath is the configuration file: that of the flag, else that of the environment,
// else config.toml in the directory that systemd gives a service. For the data directory of the
// service it is the file of the service: a command looks at the same settings. "" is no file.
func (c *cli) configPath() string {
	if c.configFlag != "" {
		return c.configFlag
	}
	if path := c.getenv(config.EnvConfig); path != "" {
		return path
	}
	if dir := c.getenv("CONFIGURATION_DIRECTORY"); dir != "" {
		path := filepath.Join(dir, "config.toml")
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	if data, err := datadir.Find(c.dataFlag, c.getenv); err == nil && sameDir(data, c.unit.StateDir) {
		if _, err := os.Stat(c.unit.ConfigFile); err == nil {
			return c.unit.ConfigFile
		}
	}
	return ""
}

func (c *cli) serve(cmd *cobra.Command, takeOver bool) error {
	cfg, warnings, err := config.Load(c.configPath(), c.environ, cmd.Flags())
	lines := new(daemon.LastLines)
	log := daemon.NewLogger(io.MultiWriter(lines, c.stderr), cfg.Log) // with an error, cfg has what was read before it
	if err == nil {
		err = c.serveWith(cmd.Context(), cfg, warnings, takeOver, log, lines)
	}
	if err != nil && cfg.Log.Format == "json" {
		return logged(log, err)
	}
	return err
}

// serveWith is serve, once the configuration is read.
func (c *cli) serveWith(ctx context.Context, cfg config.Config, warnings []string, takeOver bool, log *slog.Logger, lines *daemon.LastLines) (err error) {
	daemon.RouteLibraryLogs(log)
	config.LogConfigWarnings(log, warnings)
	machine, err := config.ThisMachine(log)
	if err != nil {
		return err
	}
	profile := config.NewProfile(cfg.Node.Profile, machine)
	profile.Apply(c.getenv)
	path, err := datadir.Find(c.dataFlag, c.getenv)
	if err != nil {
		return err
	}
	messages := c.stderr
	if cfg.Log.Format == "json" {
		messages = daemon.LineLogger{Log: log}
	}
	d, err := datadir.Open(path, true, messages)
	if err != nil {
		return hintOwner(err)
	}
	defer func() { err = d.Explain(errors.Join(err, d.Close())) }()

	log.Info("starting", "version", versionLine(), "data", d.Shown)
	patient := &doctor.Patient{Config: cfg, Path: path, Data: d, Others: c.others(path), Host: doctor.ThisHost(log)}
	if err := doctor.Start(ctx, patient, log); err != nil {
		return err
	}
	name, _ := buildVersion()
	p := &daemon.Program{
		LastLines: lines, Config: cfg, Data: d, Log: log, Version: name, Command: c.program, TakeOver: takeOver,
		Machine: machine, GCPercent: profile.GCPercent(c.getenv), Notify: daemon.SystemdNotifier(log),
	}
	if c.interactive {
		p.Terminal = c.stderr
	}
	if p.WatchdogInterval, err = systemd.SdWatchdogEnabled(false); err != nil {
		return fmt.Errorf("read the interval of systemd's watchdog: %w", err)
	}
	if err := p.Run(ctx); err != nil {
		if ctx.Err() != nil && errors.Is(err, context.Canceled) {
			return nil // a signal came before it was ready
		}
		return hintOwner(err)
	}
	var failed error
	select {
	case <-ctx.Done():
		log.Info("stopping; a second signal ends the server at once")
	case failed = <-p.Failed():
	}
	if err := errors.Join(failed, closeInTime(p)); err != nil {
		return &stopError{err}
	}
	log.Info("stopped")
	return nil
}

// closeInTime closes the program, and gives up after StopTimeout. That loses nothing: what
// was acknowledged is on disk.
func closeInTime(p interface {
	Close() error
	Closing() string
}) error {
	closed := make(chan error, 1)
	go func() { closed <- p.Close() }()
	select {
	case err := <-closed:
		return err
	case <-time.After(daemon.StopTimeout):
		return fmt.Errorf("the server did not stop within %v: it still had to %s; everything that it acknowledged is on disk", daemon.StopTimeout, p.Closing())
	}
}
