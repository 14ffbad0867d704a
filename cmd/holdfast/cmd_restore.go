package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/daemon"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
	"github.com/holdfast-ipfs/holdfast/internal/hint"
	"github.com/holdfast-ipfs/holdfast/internal/text"
)

func (c *cli) restoreCommand() *cobra.Command {
	var in daemon.Restoration
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "restore PLACE",
		Short: "Restore a backup, or some of it",
		Long: `Restore the newest backup at PLACE, or the one that --backup names, into the data
directory. Every block is hashed on the way. If the command is interrupted, run it again.

If the directory is empty or missing, all that the backup has is written there. Until that is
done no server starts there.

If a server runs there, what it has stays. Accounts that it does not have are made again, with
their passwords. Pins become pins of these accounts, whatever their quotas are; those that an
account has already are left out. The server reads PLACE itself.

With --account or --request, only these accounts and pins are restored.

With --server-keys the server is the same one as before: to other nodes, and to the tokens
that it gave out. Then the old server must never start again beside it: the new one does not
start while it answers. With --without-identity as well, only tokens count again, and to other
nodes the server is a new one. Without --server-keys it makes new keys: logins stay, tokens do
not.

Blocks that the backup should have and that cannot be read are named. The server fetches them
from the network, and shows the pins that need them as pinning meanwhile.`,
		Args: args("PLACE"),
		RunE: func(cmd *cobra.Command, given []string) (err error) {
			in.From = given[0]
			path, err := datadir.Find(c.dataFlag, c.getenv)
			if err != nil {
				return err
			}
			// First: Open may give up root, and perhaps only root can read these files. A running
			// server has its own configuration, and reads the key itself.
			cfg, _, cfgErr := config.Load(c.configPath(), c.environ, nil)
			in.Open = daemon.OpenedBefore(in.From, in.KeyFile)
			d, err := datadir.Open(path, true, c.stderr)
			if err != nil {
				return hintOwner(err)
			}
			defer func() { err = d.Explain(errors.Join(err, d.Close())) }()
			display := newStoreDisplay(c.stderr, c.interactive && canDraw(c.stderr))
			defer display.close()
			done, err := c.restore(cmd.Context(), d, in, cfg, cfgErr, display)
			display.close()
			if cmd.Context().Err() != nil {
				return hint.Add(errors.New("interrupted"), "run it again: what was done is not lost")
			}
			if errors.Is(err, fs.ErrPermission) {
				return hint.Add(err, fmt.Sprintf("let user %d, who owns %s, read the backups: a restore runs as that user", os.Geteuid(), d.Shown))
			}
			if err != nil {
				return hintPlace(err)
			}
			return c.printRestored(done, asJSON)
		},
	}
	cmd.Flags().StringVar(&in.KeyFile, "key-file", "", keyFileUsage)
	cmd.Flags().StringVar(&in.ID, "backup", "", "ID of the backup, or how it begins (default the newest)")
	cmd.Flags().StringSliceVar(&in.Accounts, "account", nil, "address of an account to restore, and nothing else; may be given several times")
	cmd.Flags().StringSliceVar(&in.Requests, "request", nil, "ID of a pin to restore, and nothing else; may be given several times")
	cmd.Flags().BoolVar(&in.ServerKeys, "server-keys", false, "restore the keys of the server, too")
	cmd.Flags().BoolVar(&in.WithoutIdentity, "without-identity", false, "but not the key by which other nodes know it")
	cmd.Flags().BoolVar(&in.WithoutTokens, "without-tokens", false, "leave out tokens, and the key that they were made with")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// restore restores into the server of a directory, or into an empty directory. unread is an error
// of reading cfg, which only the latter needs.
func (c *cli) restore(ctx context.Context, d *datadir.Dir, in daemon.Restoration, cfg config.Config, unread error, display *storeDisplay) (admin.Restored, error) {
	server, running := daemon.Dial(ctx, d)
	if running {
		if in.ServerKeys {
			return admin.Restored{}, hint.Add(errors.New("a server runs on "+d.Shown+", and keeps its keys"), "leave out --server-keys")
		}
		in.From = absolutePlace(in.From)
		if in.KeyFile != "" {
			in.KeyFile = absolutePlace(in.KeyFile)
		}
		done, err := server.Restore(ctx, in.NewRestore, display.show)
		return done, errors.Join(err, server.Close())
	}
	if unread != nil {
		return admin.Restored{}, unread
	}
	log := daemon.NewLogger(c.stderr, config.Log{Level: "warn", Format: "text"})
	daemon.RouteLibraryLogs(log)
	done, err := daemon.Restore(ctx, d, in, cfg, log, display.show)
	if _, hinted := errors.AsType[*hint.Error](err); errors.Is(err, daemon.ErrNotEmpty) && !hinted {
		err = hint.Add(err, "start the server there, and run this again; or name an empty directory with --data")
	}
	return done, err
}

func (c *cli) printRestored(done admin.Restored, asJSON bool) error {
	if asJSON {
		if err := c.printJSON(done); err != nil {
			return err
		}
	} else {
		for _, f := range done.Damaged {
			fmt.Fprintf(c.stdout, "damaged: %s: %s\n", text.Printable(f.File), text.Printable(f.Reason))
		}
		for _, a := range done.Made {
			role := ""
			if a.Admin {
				role = ", an administrator"
			}
			fmt.Fprintf(c.stdout, "account: %s%s\n", text.Printable(a.Email), role)
		}
		for _, a := range done.LeftOut {
			fmt.Fprintf(c.stdout, "left out: account %s with %s: %s\n", text.Printable(a.Account), text.Counted(a.Pins, "pin"), text.Printable(a.Reason))
		}
		for _, name := range done.MissingNamed {
			fmt.Fprintln(c.stdout, "missing:", name)
		}
		fmt.Fprintf(c.stdout, "restored backup %s: %s of %s", done.Backup, text.Counted(done.Blocks, "block"), text.RoughSize(done.Bytes))
		for _, n := range []struct {
			n    uint64
			what string
		}{
			{done.Accounts, text.Counted(done.Accounts, "account")},
			{done.Requests, text.Counted(done.Requests, "pin")},
			{done.There, text.Counted(done.There, "pin") + " there already"},
			{done.Unreadable, text.Counted(done.Unreadable, "pin") + " unreadable in the backup"},
			{done.LostRecords, text.Counted(done.LostRecords, "record") + " lost before the backup"},
			{done.RevokedTokens, text.Counted(done.RevokedTokens, "revoked token") + " left out"},
			{done.Waiting, text.Counted(done.Waiting, "pin") + " waiting for the network"},
		} {
			if n.n > 0 {
				fmt.Fprint(c.stdout, ", ", n.what)
			}
		}
		fmt.Fprintln(c.stdout)
	}
	faults := 0
	for _, a := range done.LeftOut {
		if !a.Removed {
			faults++
		}
	}
	switch {
	case done.Missing == 0 && len(done.Damaged) > 0:
		return hint.Add(fmt.Errorf("the backup is damaged: %s", text.Counted(len(done.Damaged), "fault")),
			"all blocks that pins need are restored; make a new backup, at another place if this disk fails")
	case faults > 0:
		return hint.Add(fmt.Errorf("left out: %s", text.Counted(faults, "account")),
			"the rest is restored; remove an account that the server cannot read, and run it again")
	case done.Missing == 0 && done.LostRecords+done.Unreadable > 0:
		return hint.Add(fmt.Errorf("not in the backup, as they could not be read when it was made: %s, %s",
			text.Counted(done.LostRecords, "record"), text.Counted(done.Unreadable, "pin")),
			"all that it has is restored; an older backup may have them: `holdfast backup ls` lists them, and --backup names one")
	case done.Missing == 0 && done.Stuck > 0:
		return hint.Add(fmt.Errorf("not pinned yet, though the backup has all blocks: %s", text.Counted(done.Stuck, "pin")),
			"run it again; `holdfast pin ls` shows what the server still looks for")
	case done.Missing == 0:
		return nil
	}
	return hint.Add(fmt.Errorf("missing in the backup: %s", text.Counted(done.Missing, "block")),
		"the rest is restored; the server fetches what is missing from the network, and `holdfast pin ls` shows what it still looks for")
}
