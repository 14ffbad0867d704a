package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/daemon"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/doctor"
	"github.com/holdfast-ipfs/holdfast/internal/text"
)

// examination is what `doctor --json` prints.
type examination struct {
	OK       bool             `json:"ok"` // there is no trouble
	Data     string           `json:"data"`
	Findings []doctor.Finding `json:"findings"`
}

// errTrouble: the findings were printed.
var errTrouble = errors.New("there is trouble; what to do about it stands below each line")

func (c *cli) doctorCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look for what is wrong with the server and its host",
		Long: `Look at everything that a server needs, and print what was found: the configuration, the
file system of the data directory, free space and inodes, memory, open files, address
space, the clock, ports, whether others reach the server, the certificate, the database,
the newest backup, and other servers on this host. Below each line that is not good it
says what to do.

It works while the server runs, which it asks, and while it does not. Then it reads all
tables of the database, which may take a minute. It leaves everything as it was. Run it as
root, or as the user of the server, with the variables that the server has.

A "warning" should be looked at. With "trouble" the server does not work, or will not
for long. The exit code is 0 if there is no trouble, and 1 if there is some.`,
		Args: args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			found, done, err := c.examine(cmd.Context())
			if err != nil {
				return err
			}
			defer done()
			if asJSON {
				err = c.printJSON(found)
			} else {
				err = c.printFindings(found.Findings)
			}
			if err == nil && !found.OK {
				return errTrouble
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// printFindings prints what was found, and below each line what to do.
func (c *cli) printFindings(all []doctor.Finding) error {
	for _, f := range all {
		if _, err := fmt.Fprintf(c.stdout, "%-8s %s: %s\n", f.Level, f.Check, text.Printable(f.Text)); err != nil {
			return err
		}
		if f.Hint == "" || f.Level == doctor.OK {
			continue
		}
		if _, err := fmt.Fprintf(c.stdout, "%-8s   what to do: %s\n", "", text.Printable(c.asCalled(f.Hint))); err != nil {
			return err
		}
	}
	return nil
}

// examine makes all checks. The caller calls done.
func (c *cli) examine(ctx context.Context) (found examination, done func(), err error) {
	p, done, err := c.patient(ctx)
	if err != nil {
		return found, nil, err
	}
	findings := doctor.Look(ctx, p)
	if err := ctx.Err(); err != nil {
		done()
		return found, nil, err
	}
	return examination{OK: doctor.Worst(findings) != doctor.Trouble, Data: p.Path, Findings: findings}, done, nil
}

// askTime bounds each question to a server.
const askTime = 20 * time.Second

// patient gathers what the checks look at. The caller calls done.
func (c *cli) patient(ctx context.Context) (p *doctor.Patient, done func(), err error) {
	path, err := datadir.Find(c.dataFlag, c.getenv)
	if err != nil {
		return nil, nil, err
	}
	p = &doctor.Patient{Path: path, ConfigFile: c.configPath(), Host: doctor.ThisHost(slog.New(slog.DiscardHandler)), Others: c.others(path)}
	// First: Open may give up root, and perhaps only root can read the file.
	p.Config, p.ConfigWarnings, p.ConfigErr = config.Load(p.ConfigFile, c.environ, nil)
	done = func() {}
	p.Host.LookAhead(p.Config) // for the same reason
	p.Data, err = datadir.Open(path, false, c.stderr)
	switch {
	case errors.Is(err, datadir.ErrNone):
		return p, done, nil
	case err != nil:
		p.DataErr = hintOwner(err)
		return p, done, nil
	}
	done = func() { _ = p.Data.Close() } // it was only read
	if server, ok := daemon.Dial(ctx, p.Data); ok {
		defer server.Close()
		ctx, cancel := context.WithTimeout(ctx, askTime)
		defer cancel()
		is, err := server.Condition(ctx)
		if err != nil {
			p.ServerErr = err
		} else {
			p.Server = &is
		}
	}
	p.NewestBackup = func(ctx context.Context) (newest, good time.Time, err error) {
		instance, err := auth.InstanceIn(p.Data.File(datadir.TokenKeysFile))
		if err != nil {
			return newest, good, err
		}
		return daemon.NewestBackup(ctx, p.Config.Backup, instance)
	}
	return p, done, nil
}

// others lists the servers that run on other directories than ours, with their peers.
func (c *cli) others(ours string) (all []doctor.OtherServer) {
	for _, dir := range c.otherServers(ours) {
		r, _ := datadir.ReadRunFile(filepath.Join(dir, datadir.RunFileName))
		all = append(all, doctor.OtherServer{Dir: dir, PeerID: r.PeerID})
	}
	return all
}
