package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/backup"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/daemon"
	"github.com/holdfast-ipfs/holdfast/internal/hint"
	"github.com/holdfast-ipfs/holdfast/internal/text"
)

const keyFileUsage = "file of the age key that the backups are encrypted with"

func (c *cli) backupCommand() *cobra.Command {
	cmd := c.backupRunCommand()
	cmd.AddCommand(c.backupListCommand(), c.backupCheckCommand(), c.backupPruneCommand())
	return cmd
}

func (c *cli) backupRunCommand() *cobra.Command {
	var in admin.NewBackup
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "backup [PLACE]",
		Short: "Make a backup while the server runs, and look after backups",
		Long: `Write what the server has to PLACE: the path of a directory, or of a bucket,
s3:https://HOST/BUCKET/PREFIX. Without PLACE it goes to backup.to of the configuration.
The server goes on meanwhile, and writes the backup itself: it must be allowed to write
there. Only blocks that no backup at PLACE has are written. The blocks are in CAR files,
which any IPFS tool reads.

With a key, which age-keygen makes, everything is encrypted. Keep a copy of the key
elsewhere: without it nobody reads the backups.

The keys by which the server is known, to other nodes and to the tokens that it gave out,
are in the backup only with --server-keys. Accounts, with the hashes of their passwords,
always are.`,
		Args: func(cmd *cobra.Command, given []string) error {
			if len(given) > 0 && !strings.ContainsAny(given[0], ":/") && given[0] != "." {
				return fmt.Errorf("backup has no command %q; if it is a directory, write ./%s", given[0], given[0])
			}
			return optionalPlace(cmd, given)
		},
		RunE: func(cmd *cobra.Command, given []string) error {
			if len(given) > 0 {
				in.To = absolutePlace(given[0])
			}
			if in.KeyFile != "" {
				in.KeyFile = absolutePlace(in.KeyFile)
			}
			// First: withAdmin may give up root, and perhaps only root can read these files.
			opened := c.openBefore(in)
			return c.withAdminOpening(cmd.Context(), false, opened, func(a *admin.Client) error {
				var done admin.Backup
				err := c.watchStore(cmd.Context(), a, func(d *storeDisplay) (err error) {
					done, err = a.Backup(cmd.Context(), in, d.show)
					return err
				})
				if err != nil {
					return err
				}
				if asJSON {
					err = c.printJSON(done)
				} else {
					_, err = fmt.Fprintf(c.stdout, "backup %s has %s of %s; written: %s of %s, in %v\n", done.ID,
						text.Counted(done.Blocks, "block"), text.RoughSize(done.Bytes), text.Counted(done.NewBlocks, "new block"),
						text.RoughSize(done.NewBytes), done.Elapsed.Round(time.Millisecond))
				}
				if err != nil || done.DamagedBlocks+done.DamagedRecords == 0 {
					return err
				}
				return hint.Add(fmt.Errorf("not in the backup, as they cannot be read: %s that pins need, %s",
					text.Counted(done.DamagedBlocks, "block"), text.Counted(done.DamagedRecords, "record")),
					"run holdfast store verify --repair, then make another backup")
			})
		},
	}
	cmd.Flags().StringVar(&in.KeyFile, "key-file", "", keyFileUsage)
	cmd.Flags().BoolVar(&in.ServerKeys, "server-keys", false, "put the keys of the server into the backup, too")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// openBefore opens where a backup is to go that no server makes.
func (c *cli) openBefore(in admin.NewBackup) daemon.Opener {
	cfg, _, err := config.Load(c.configPath(), c.environ, nil)
	if in.To == "" && err == nil {
		in.To, in.KeyFile = cfg.Backup.To, cmp.Or(in.KeyFile, cfg.Backup.KeyFile)
	}
	if in.To == "" {
		return daemon.OpenPlace // nothing is opened, which is said then
	}
	return daemon.OpenedBefore(in.To, in.KeyFile)
}

// optionalPlace takes the place of backups, or nothing.
func optionalPlace(_ *cobra.Command, given []string) error {
	if len(given) > 1 {
		return fmt.Errorf("the argument %q is one too many", given[1])
	}
	return nil
}

// absolutePlace makes a path one that the server, in another directory, knows. A bucket stays as
// it is, and so does what looks like a URL, which is refused then.
func absolutePlace(place string) string {
	if strings.HasPrefix(place, "s3:") || strings.Contains(place, "://") {
		return place
	}
	if abs, err := filepath.Abs(place); err == nil {
		return abs
	}
	return place
}

// placeCommand makes a command that reads a place itself: no server needs to run.
func (c *cli) placeCommand(cmd *cobra.Command, do func(ctx context.Context, p backup.Place, k *backup.Key) error) *cobra.Command {
	var keyFile string
	cmd.Args = optionalPlace
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		place := ""
		if len(given) > 0 {
			place = given[0]
		} else {
			cfg, _, err := config.Load(c.configPath(), c.environ, nil)
			if err != nil {
				return err
			}
			if place = cfg.Backup.To; place == "" {
				return hint.Add(errors.New("PLACE is missing, and the configuration has none"), "name a directory or a bucket, or set backup.to")
			}
			if keyFile == "" {
				keyFile = cfg.Backup.KeyFile
			}
		}
		p, k, err := daemon.OpenPlace(place, keyFile)
		if err != nil {
			return err
		}
		return hintPlace(do(cmd.Context(), p, k))
	}
	cmd.Flags().StringVar(&keyFile, "key-file", "", keyFileUsage)
	return cmd
}

// hintPlace says what to do about an error of a place.
func hintPlace(err error) error {
	if errors.Is(err, backup.ErrKey) {
		return hint.Add(err, "--key-file names the file that the backups were made with")
	}
	if bad, ok := errors.AsType[*backup.ManifestError](err); ok && errors.Is(bad.Err, backup.ErrDamaged) {
		if _, hinted := errors.AsType[*hint.Error](err); !hinted {
			return hint.Add(err, "copy the file back if a copy is left; if none is, that backup is lost, and once the file is removed, the others are as if it had never been")
		}
	}
	return err
}

func (c *cli) backupListCommand() *cobra.Command {
	var asJSON bool
	cmd := c.placeCommand(&cobra.Command{
		Use:   "ls [PLACE]",
		Short: "List the backups at a place, the oldest first",
	}, func(ctx context.Context, p backup.Place, k *backup.Key) error {
		all, err := backup.List(ctx, p, k)
		if err != nil && len(all) == 0 {
			return err
		}
		if asJSON {
			return errors.Join(c.printJSON(all), err)
		}
		rows := [][]string{{"ID", "MADE", "OF", "BLOCKS", "SIZE", "WRITTEN", "DAMAGED"}}
		for _, m := range all {
			rows = append(rows, []string{
				m.ID, m.Begun.Local().Format(time.DateTime), m.Host, fmt.Sprint(m.Blocks), text.RoughSize(m.Bytes), text.RoughSize(m.NewBytes),
				fmt.Sprint(m.DamagedBlocks + m.DamagedRecords),
			})
		}
		return errors.Join(c.printTable(rows), err)
	})
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (c *cli) backupCheckCommand() *cobra.Command {
	var asJSON bool
	cmd := c.placeCommand(&cobra.Command{
		Use:   "check [PLACE]",
		Short: "Read all backups at a place, and hash everything in them",
		Long: `Read every file of every backup and compare it, and each block in it, with its hash,
and each list of blocks with the packs that it names. Each file that is damaged is printed with the backups that need it; the command then fails.
If the next backup is to write the blocks of a damaged pack anew, remove that pack.`,
	}, func(ctx context.Context, p backup.Place, k *backup.Key) error {
		display := newStoreDisplay(c.stderr, c.interactive && canDraw(c.stderr))
		defer display.close()
		var faults []backup.Fault
		checked, err := backup.Check(ctx, p, k, "", func(p backup.Progress) { display.show(admin.StoreProgress(p)) }, func(f backup.Fault) error {
			faults = append(faults, f)
			return nil
		})
		display.close()
		if err != nil {
			return err
		}
		if asJSON {
			err = c.printJSON(struct {
				backup.Checked
				Found []backup.Fault `json:"found"`
			}{checked, append([]backup.Fault{}, faults...)})
		} else {
			for _, f := range faults {
				fmt.Fprintf(c.stdout, "damaged: %s: %s; needed by %s\n", text.Printable(f.File), text.Printable(f.Reason), strings.Join(f.Backups, ", "))
			}
			_, err = fmt.Fprintf(c.stdout, "checked %s, %s, %s of %s: %d damaged\n", text.Counted(uint64(checked.Backups), "backup"),
				text.Counted(uint64(checked.Files), "file"), text.Counted(checked.Blocks, "block"), text.RoughSize(checked.Bytes), checked.Faults)
		}
		if err == nil && checked.Faults > 0 {
			err = fmt.Errorf("damaged: %s", text.Counted(uint64(checked.Faults), "file"))
		}
		return err
	})
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (c *cli) backupPruneCommand() *cobra.Command {
	var asJSON bool
	keepLast, keepWithin := 0, config.Duration(0)
	cmd := c.placeCommand(&cobra.Command{
		Use:   "prune [PLACE]",
		Short: "Remove old backups, and what only they need",
		Long: `Remove the backups that are neither among the newest --keep-last of their server nor
younger than --keep-within, and the files that no other backup needs. The newest backup of
each server always stays, and so does its newest that lacks nothing.`,
	}, func(ctx context.Context, p backup.Place, k *backup.Key) error {
		if keepLast < 0 {
			return fmt.Errorf("--keep-last is %d", keepLast)
		}
		if keepLast == 0 && keepWithin == 0 {
			return errors.New("say which backups stay: --keep-last N, --keep-within TIME, or both")
		}
		pruned, err := backup.Prune(ctx, p, k, backup.Keep{Last: keepLast, Within: time.Duration(keepWithin)}, time.Now())
		if err != nil {
			return err
		}
		if asJSON {
			return c.printJSON(pruned)
		}
		_, err = fmt.Fprintf(c.stdout, "removed %s and %s\n", text.Counted(uint64(len(pruned.Backups)), "backup"), text.Counted(uint64(pruned.Files), "file"))
		return err
	})
	cmd.Flags().IntVar(&keepLast, "keep-last", 0, "how many of the newest backups stay")
	textFlag(cmd, &keepWithin, "keep-within", config.Duration(0), "backups younger than this stay: 30d, 12h")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
