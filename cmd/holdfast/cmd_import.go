package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
	"github.com/holdfast-ipfs/holdfast/internal/hint"
	"github.com/holdfast-ipfs/holdfast/internal/text"
	"github.com/holdfast-ipfs/holdfast/moving"
)

// importing is what the import commands share.
type importing struct {
	user, to, tokenFile string
	rate                float64
	wait                config.Duration
	plan, asJSON, cars  bool
}

// importWait is for how long an import waits by default while nothing moves. A pin whose
// source is slow shows some progress within that.
const importWait = config.Duration(time.Minute)

func (c *cli) importCommand() *cobra.Command {
	in := &importing{wait: importWait}
	cmd := group("import", "Bring pins from another service, a Kubo, an ipfs-cluster or a list",
		c.importPSACommand(in), c.importKuboCommand(in), c.importClusterCommand(in), c.importListCommand(in))
	cmd.Long = `Ask for every pin that another place has, with its name and its metadata, and wait until
the pins are here. What an account has already is not asked for again: an import that was
interrupted goes on if you run it again, and a second one adds nothing.

At the end a table shows what came, what waits, what failed and what cannot come, and why.
With --plan the table is all that is made.

The pins go to the server on the data directory, or with --to to another pinning service.`
	flags := cmd.PersistentFlags()
	flags.StringVar(&in.user, "user", "", "account that gets the pins, by its address or id; needed if there are several accounts")
	flags.StringVar(&in.to, "to", "", "`URL` of another pinning service that gets the pins")
	flags.StringVar(&in.tokenFile, "to-token-file", "", "`file` with the token for --to")
	flags.Float64Var(&in.rate, "rate", 0, "requests a second, at most, to each side (default as many as it takes)")
	flags.TextVar(&in.wait, "wait", importWait, "`duration` to wait while no pin moves; 0 does not wait")
	flags.BoolVar(&in.plan, "plan", false, "only show what would be done")
	flags.BoolVar(&in.asJSON, "json", false, "print JSON")
	return cmd
}

func (c *cli) importPSACommand(in *importing) *cobra.Command {
	unfinished := false
	cmd := &cobra.Command{
		Use:   "psa URL",
		Short: "Import from a pinning service: Pinata, Filebase, another Holdfast",
		Long: `Import the pins of an account at a service with the IPFS Pinning Services API. URL is the
address that "ipfs pin remote service add" takes:

  Pinata          https://api.pinata.cloud/psa
  Filebase        https://api.filebase.io/v1/ipfs
  Holdfast        https://HOST/api/psa

The token is read from standard input.`,
		Args: args("URL"),
		RunE: func(cmd *cobra.Command, given []string) error {
			token, err := c.readToken(cmd.Context())
			if err != nil {
				return err
			}
			return c.runImport(cmd.Context(), in, func(note func(string)) (moving.Source, error) {
				s, err := moving.NewPSA(moving.Server{URL: given[0], Token: token, Rate: in.rate, Note: note})
				if s != nil {
					s.Unfinished = unfinished
				}
				return s, err
			})
		},
	}
	cmd.Flags().BoolVar(&unfinished, "unfinished", false, "also what is queued or pinning there")
	return cmd
}

func (c *cli) importKuboCommand(in *importing) *cobra.Command {
	withToken := false
	cmd := &cobra.Command{
		Use:   "kubo API",
		Short: "Import from a Kubo, by its RPC",
		Long: `Import the pins of a Kubo, with their names. API is the address of its RPC, such as
http://127.0.0.1:5001 or /ip4/127.0.0.1/tcp/5001. The blocks come from that node: it is told
to connect to this server. If it cannot, for one is in another network, --cars carries the
blocks by the RPC.

Recursive pins come as they are. A direct pin comes if its block has no links: then it is the
same as a recursive one. What is pinned indirectly comes with its root.`,
		Args: args("API"),
		RunE: func(cmd *cobra.Command, given []string) error {
			token, err := c.optionalToken(cmd.Context(), withToken)
			if err != nil {
				return err
			}
			return c.runImport(cmd.Context(), in, func(note func(string)) (moving.Source, error) {
				return moving.NewKubo(moving.Server{URL: given[0], Token: token, Rate: in.rate, Note: note})
			})
		},
	}
	cmd.Flags().BoolVar(&in.cars, "cars", false, "carry the blocks through this command, as CARs, for a Kubo that cannot connect to this server")
	cmd.Flags().BoolVar(&withToken, "token-stdin", false, "read the RPC's authorization from standard input: a token, or basic:USER:PASSWORD")
	return cmd
}

func (c *cli) importClusterCommand(in *importing) *cobra.Command {
	withToken := false
	cmd := &cobra.Command{
		Use:   "cluster API",
		Short: "Import from an ipfs-cluster, by the REST API of a peer",
		Long: `Import the pins of an ipfs-cluster, with names and metadata. API is the address of the
REST API of one of its peers, such as http://127.0.0.1:9094. The blocks come from the IPFS
nodes of the cluster.`,
		Args: args("API"),
		RunE: func(cmd *cobra.Command, given []string) error {
			token, err := c.optionalToken(cmd.Context(), withToken)
			if err != nil {
				return err
			}
			return c.runImport(cmd.Context(), in, func(note func(string)) (moving.Source, error) {
				return moving.NewCluster(moving.Server{URL: given[0], Token: token, Rate: in.rate, Note: note})
			})
		},
	}
	cmd.Flags().BoolVar(&withToken, "token-stdin", false, "read the API's authorization from standard input: a token, or basic:USER:PASSWORD")
	return cmd
}

func (c *cli) importListCommand(in *importing) *cobra.Command {
	return &cobra.Command{
		Use:   "list FILE",
		Short: "Import a list: CIDs, CSV or JSON",
		Long: `Import the pins in a file; - is standard input. The form is recognised:

  - a CID a line; lines that begin with # are left out
  - CSV whose first line names the columns: cid, name, origins, meta.KEY
  - JSON: what "holdfast pin ls --json" prints, what a pinning service or Kubo lists, or
    objects with cid, name, origins and meta`,
		Args: args("FILE"),
		RunE: func(cmd *cobra.Command, given []string) (err error) {
			file := io.NopCloser(io.Reader(c.stdin))
			if given[0] != "-" {
				if file, err = os.Open(given[0]); err != nil {
					return err
				}
				defer file.Close()
			}
			return c.runImport(cmd.Context(), in, func(func(string)) (moving.Source, error) { return moving.NewList(file), nil })
		},
	}
}

// readToken reads a token from the first line of stdin, or asks for it on the terminal.
func (c *cli) readToken(ctx context.Context) (string, error) {
	var line []byte
	var err error
	if c.interactive {
		line, err = c.ask(ctx, "Token: ")
	} else {
		line, err = readLine(c.stdin)
	}
	token := strings.TrimSpace(string(line))
	if err != nil || token == "" {
		return "", hint.Add(errors.New("there is no token on standard input"), "give it with < FILE, or run the command on a terminal")
	}
	return token, nil
}

func (c *cli) optionalToken(ctx context.Context, given bool) (string, error) {
	if !given {
		return "", nil
	}
	return c.readToken(ctx)
}

// runImport moves the pins of a source, which open makes, and prints what became of them.
func (c *cli) runImport(ctx context.Context, in *importing, open func(note func(string)) (moving.Source, error)) error {
	switch {
	case !(in.rate >= 0): // NaN, too
		return errors.New("--rate must be a number of requests, or 0 for as many as each side takes")
	case in.to != "" && in.user != "":
		return errors.New("--user is an account here; the account at --to is that of its token")
	case in.to == "" && in.tokenFile != "":
		return errors.New("--to-token-file is for --to")
	}
	display := newStoreDisplay(c.stderr, c.interactive && canDraw(c.stderr))
	defer display.close()
	src, err := open(display.note)
	if err != nil {
		return err
	}
	o := moving.Options{
		Plan: in.plan, CARs: in.cars, Patience: time.Duration(in.wait), Note: display.note,
		Progress: func(p moving.Progress) { display.show(importProgress(p)) },
	}
	if in.to != "" {
		token, err := os.ReadFile(in.tokenFile)
		if err != nil {
			return hint.Add(fmt.Errorf("read the token for --to: %w", err), "--to-token-file names a file with the token in it")
		}
		dst, err := moving.NewPSA(moving.Server{URL: in.to, Token: strings.TrimSpace(string(token)), Rate: in.rate, Note: display.note})
		if err != nil {
			return err
		}
		return c.concludeImport(ctx, in, src, dst, o, display)
	}
	return c.withAdmin(ctx, false, func(a *admin.Client) error {
		a.TellWaiting(display.note)
		dst, err := newLocalTarget(a, in)
		if err != nil {
			return err
		}
		if !a.Running() {
			if in.cars {
				return hint.Add(errors.New("no server runs on this data directory, to take the blocks"), "`holdfast serve` runs one")
			}
			o.Patience = 0
		} else if path, err := datadir.Find(c.dataFlag, c.getenv); err == nil {
			run, _ := datadir.ReadRunFile(filepath.Join(path, datadir.RunFileName)) // without it nobody is told to connect
			o.Addrs = run.Addrs
		}
		err = c.concludeImport(ctx, in, src, dst, o, display)
		if err == nil && !a.Running() && !in.plan {
			fmt.Fprintln(c.stderr, "no server runs on this data directory; what waits is fetched when one does")
		}
		return err
	})
}

// importProgress is what the bar shows.
func importProgress(p moving.Progress) admin.StoreProgress {
	s := admin.StoreProgress{Text: fmt.Sprintf("%d of %s", p.Done, text.Counted(p.Listed, "pin")), Done: uint64(p.Done), Total: uint64(p.Listed)}
	if p.Listing {
		s.Text += " so far"
	}
	return s
}

func (c *cli) concludeImport(ctx context.Context, in *importing, src moving.Source, dst moving.Target, o moving.Options, d *storeDisplay) error {
	report, err := moving.Run(ctx, src, dst, o)
	d.close()
	if in.asJSON {
		if printErr := c.printJSON(report); printErr != nil {
			return printErr
		}
	} else if printErr := c.printImport(report, in.plan); printErr != nil {
		return printErr
	}
	again := "run it again: it goes on with what is not here yet"
	failed := report.Outcomes[moving.Failed]
	switch {
	case ctx.Err() != nil:
		return hint.Add(errors.New("interrupted"), again)
	case err != nil:
		if _, hinted := errors.AsType[*hint.Error](err); hinted {
			return err
		}
		return hint.Add(err, adviceFor(err, again))
	case failed > 0:
		return hint.Add(fmt.Errorf("failed: %s", text.Counted(failed, "pin")), "`holdfast pin ls --status failed` lists those that were asked for, `holdfast pin retry ID` tries one again")
	}
	if waiting := report.Outcomes[moving.Waiting]; waiting > 0 && !in.plan {
		fmt.Fprintf(c.stderr, "%s: the server goes on with them; run the import again to see what became of them\n", text.Counted(waiting, "waiting pin"))
	}
	return nil
}

// adviceFor is a hint for an error that ended an import.
func adviceFor(err error, otherwise string) string {
	a, ok := errors.AsType[*moving.AnswerError](err)
	switch {
	case !ok:
	case a.Status == http.StatusUnauthorized, a.Status == http.StatusForbidden:
		return "look whether the token is of this service, may list pins, and is still valid"
	case a.Status == http.StatusConflict, a.Status == http.StatusInsufficientStorage, a.Status == http.StatusPaymentRequired:
		return "make room, or give the account more with `holdfast user quota`; then run it again"
	}
	return otherwise
}

// maxReasons is how many rows of reasons are printed: as many as are read. --json has all.
const maxReasons = 20

func (c *cli) printImport(r moving.Report, plan bool) error {
	rows := [][]string{{"OUTCOME", "PINS"}, {"at the source", fmt.Sprint(r.Listed)}}
	for _, o := range moving.Outcomes() {
		if n := r.Outcomes[o]; n > 0 || (o == moving.New) == plan && (o == moving.New || o == moving.Pinned) {
			rows = append(rows, []string{o.Words(), fmt.Sprint(n)})
		}
	}
	if err := c.printTable(rows); err != nil {
		return err
	}
	reasons := r.Reasons()
	if len(reasons) == 0 {
		return nil
	}
	rows = [][]string{{"WHY", "PINS", "REASON", "SUCH AS"}}
	for _, one := range reasons[:min(len(reasons), maxReasons)] {
		rows = append(rows, []string{one.Outcome.Words(), fmt.Sprint(one.Pins), one.Why, text.OrDash(one.CID)})
	}
	if left := len(reasons) - maxReasons; left > 0 {
		rows = append(rows, []string{"", "", text.Counted(left, "other reason") + "; --json has all", ""})
	}
	fmt.Fprintln(c.stdout)
	return c.printTable(rows)
}
