package main

import (
	"context"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/daemon"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
	"github.com/holdfast-ipfs/holdfast/internal/hint"
	"github.com/holdfast-ipfs/holdfast/internal/text"
)

// cli is what all commands share.
type cli struct {
	stdin          *os.File
	stdout, stderr io.Writer
	environ        []string
	getenv         func(string) string
	interactive    bool // stdin and stderr are a terminal
	unit           datadir.ServiceUnit
	program        string // as programName gives it

	// Flags of every command.
	dataFlag, configFlag string
}

// command makes the tree of commands.
func (c *cli) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "holdfast",
		Short: "A self-hosted IPFS pinning server",
		Long: `Holdfast keeps IPFS content on this machine. Kubo, or any other client of the IPFS
Pinning Services API, pins the content.

Start the server with "holdfast serve". The other commands work while the server runs
and while it does not.`,
		Version:       versionLine(),
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetOut(c.stdout)
	root.SetErr(c.stderr)
	root.SetVersionTemplate("holdfast {{.Version}}\n") // as `holdfast version` prints it
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return hint.Add(err, fmt.Sprintf("`%s --help` shows how it is used", cmd.CommandPath()))
	})
	flags := root.PersistentFlags()
	flags.StringVar(&c.dataFlag, "data", "", "data directory (default $"+config.EnvData+", else "+xdgHint+")")
	flags.StringVar(&c.configFlag, "config", "", "TOML file to read the configuration from (default $"+config.EnvConfig+")")
	root.AddCommand(c.serveCommand(), c.userCommand(), c.tokenCommand(), c.pinCommand(),
		c.addCommand(), c.exportCommand(), c.getCommand(), c.storeCommand(), c.clusterCommand(),
		c.backupCommand(), c.restoreCommand(), c.importCommand(), c.keysCommand(), c.auditCommand(), c.configCommand(),
		c.doctorCommand(), c.supportCommand(), c.versionCommand(), c.manCommand())
	root.InitDefaultCompletionCmd() // else cobra adds it later, and explainArgs misses it
	help := root.RunE
	c.explainArgs(root)
	root.RunE = help
	return root
}

const xdgHint = "~/.local/share/holdfast"

// explainArgs adds a hint to errors about arguments. It also makes a missing or unknown
// subcommand an error: cobra would only print help. An empty argument is one, too: for a path it
// would be the directory that the command runs in.
func (c *cli) explainArgs(cmd *cobra.Command) {
	check := cmd.Args
	if cmd.HasSubCommands() && (cmd.RunE == nil || !cmd.HasParent()) {
		cmd.RunE = func(cmd *cobra.Command, _ []string) error {
			fmt.Fprintln(c.stderr, cmd.UsageString())
			return fmt.Errorf("%s needs a command", cmd.CommandPath())
		}
		check = func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return fmt.Errorf("%s has no command %q", cmd.CommandPath(), args[0])
		}
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		err := check(cmd, args)
		if err == nil && slices.Contains(args, "") {
			err = errors.New("an argument is empty")
		}
		if err != nil {
			return hint.Add(err, fmt.Sprintf("`%s --help` shows how it is used", cmd.CommandPath()))
		}
		return nil
	}
	for _, sub := range cmd.Commands() {
		c.explainArgs(sub)
	}
}

// args accepts exactly the named arguments.
func args(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, given []string) error {
		switch n := len(given); {
		case n < len(names):
			return fmt.Errorf("%s is missing", names[n])
		case n > len(names):
			return fmt.Errorf("the argument %q is one too many", given[len(names)])
		}
		return nil
	}
}

// textFlag adds a flag without a default in its help text. Its usage says what the default
// means, and cobra would print the zero value beside it.
func textFlag(cmd *cobra.Command, v encoding.TextUnmarshaler, name string, zero encoding.TextMarshaler, usage string) {
	cmd.Flags().TextVar(v, name, zero, usage)
	cmd.Flags().Lookup(name).DefValue = ""
}

// group makes a command that has only subcommands.
func group(use, short string, subs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short}
	cmd.AddCommand(subs...)
	return cmd
}

// withAdmin opens the data directory and runs fn with a client for it. With create, a
// missing directory is made.
func (c *cli) withAdmin(ctx context.Context, create bool, fn func(*admin.Client) error) error {
	return c.withAdminOpening(ctx, create, daemon.OpenPlace, fn)
}

// withAdminOpening is withAdmin. If no server runs, open opens places of backups.
func (c *cli) withAdminOpening(ctx context.Context, create bool, open daemon.Opener, fn func(*admin.Client) error) (err error) {
	path, err := datadir.Find(c.dataFlag, c.getenv)
	if err != nil {
		return err
	}
	// First: Open may give up root, and perhaps only root can read the file.
	loaded, _, loadErr := config.Load(c.configPath(), c.environ, nil)
	d, err := datadir.Open(path, create, c.stderr)
	switch {
	case errors.Is(err, datadir.ErrNone):
		return hint.Add(err, c.whereData(path))
	case err != nil:
		return hintOwner(err)
	}
	defer func() { err = d.Explain(errors.Join(err, d.Close())) }()
	// In a command only what goes wrong is of interest.
	log := daemon.NewLogger(c.stderr, config.Log{Level: "warn", Format: "text"})
	daemon.RouteLibraryLogs(log)
	// A running server has its own configuration. So a wrong one is an error only if this
	// command opens the store itself.
	client, err := daemon.Connect(ctx, d, func() (config.Config, error) { return loaded, loadErr }, open, log)
	if err != nil {
		return hintOwner(err)
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	client.TellWaiting(func(text string) { fmt.Fprintln(c.stderr, "holdfast:", text) })
	return fn(client)
}

// printLine opens the data directory as withAdmin does, and prints the line that fn gives.
func (c *cli) printLine(ctx context.Context, create bool, fn func(*admin.Client) (string, error)) error {
	return c.withAdmin(ctx, create, func(a *admin.Client) error {
		line, err := fn(a)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(c.stdout, line)
		return err
	})
}

// hintOwner adds a hint to the error of a directory that another user owns. An error that has a
// hint is of something else, such as a port.
func hintOwner(err error) error {
	if _, hinted := errors.AsType[*hint.Error](err); !hinted && errors.Is(err, fs.ErrPermission) {
		return hint.Add(err, "run it as root, or as the owner of the directory")
	}
	return err
}

// whereData is the hint for a path that has no data directory.
func (c *cli) whereData(path string) string {
	if dirs := c.otherServers(path); len(dirs) > 0 {
		return fmt.Sprintf("a server runs on %s: use --data %s", dirs[0], text.ShellQuote(dirs[0]))
	}
	return "`holdfast serve` and `holdfast user add` make one; name another with --data DIR or " + config.EnvData
}

// printJSON writes v to stdout, indented.
func (c *cli) printJSON(v any) error {
	enc := json.NewEncoder(c.stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// printTable writes rows to stdout in columns. The first row has the heads.
func (c *cli) printTable(rows [][]string) error {
	w := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = text.Printable(cell)
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	return w.Flush()
}

// listing is a command that prints a list: as a table with a row for each item, or as JSON
// with --json.
type listing[T any] struct {
	use, short, long string
	args             cobra.PositionalArgs // nil takes none
	get              func(ctx context.Context, a *admin.Client, given []string) ([]T, error)
	heads            []string
	row              func(T) []string
}

// listCommand makes the command.
func listCommand[T any](c *cli, l listing[T]) *cobra.Command {
	var asJSON bool
	if l.args == nil {
		l.args = args()
	}
	cmd := &cobra.Command{
		Use: l.use, Short: l.short, Long: l.long, Args: l.args,
		RunE: func(cmd *cobra.Command, given []string) error {
			return c.withAdmin(cmd.Context(), false, func(a *admin.Client) error {
				all, err := l.get(cmd.Context(), a, given)
				if err != nil {
					return err
				}
				if asJSON {
					return c.printJSON(all)
				}
				rows := [][]string{l.heads}
				for _, one := range all {
					rows = append(rows, l.row(one))
				}
				return c.printTable(rows)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// idCommand makes a command that does something to the thing with an id, and then prints
// the word done and the id.
func (c *cli) idCommand(use, short, done string, do func(ctx context.Context, a *admin.Client, id string) error) *cobra.Command {
	return &cobra.Command{
		Use:   use,
		Short: short,
		Args:  args("ID"),
		RunE: func(cmd *cobra.Command, given []string) error {
			return c.printLine(cmd.Context(), false, func(a *admin.Client) (string, error) {
				return done + " " + given[0], do(cmd.Context(), a, given[0])
			})
		},
	}
}
