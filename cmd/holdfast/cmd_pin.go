package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/internal/hint"
	"github.com/holdfast-ipfs/holdfast/internal/text"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/psa"
)

// pinState is the status of a pin, for people. It is "damaged" if the record on disk cannot
// be read: for the API such a pin has failed.
func pinState(p admin.Pin) string {
	if p.Info[pin.InfoDamaged] != "" {
		return "damaged"
	}
	return string(p.Status)
}

// pinSize is how many bytes of the pin are on disk, for people.
func pinSize(p admin.Pin) string {
	n, err := strconv.ParseUint(p.Info["bytes"], 10, 64)
	if err != nil {
		return text.OrDash("")
	}
	return text.RoughSize(n)
}

func (c *cli) pinCommand() *cobra.Command {
	var user string
	cmd := group("pin", "Pin content, and list, remove and retry pins",
		c.pinAddCommand(&user), c.pinListCommand(&user), c.pinRemoveCommand(&user), c.pinRetryCommand(&user), c.pinAdoptCommand(&user))
	cmd.PersistentFlags().StringVar(&user, "user", "", "account that the pins belong to, by its address or id; needed if there are several accounts")
	return cmd
}

// pinLine is a pin command for a hint. It repeats --user and --data of this command, since
// without them it would be about other pins.
func (c *cli) pinLine(user string, words ...string) string {
	line := "holdfast pin " + strings.Join(words, " ")
	if user != "" {
		line += " --user " + text.ShellQuote(user)
	}
	if c.dataFlag != "" {
		line += " --data " + text.ShellQuote(c.dataFlag)
	}
	return "`" + line + "`"
}

func (c *cli) pinAddCommand(user *string) *cobra.Command {
	var in psa.Pin
	var background bool
	cmd := &cobra.Command{
		Use:   "add CID",
		Short: "Pin content",
		Long: `Pin the DAG under a CID, print the id of the request on standard output, and wait until
the pin is pinned or has failed. If you interrupt the command, the pin goes on. While no
server runs, the request is only recorded. /ipfs/CID and ipfs://CID are accepted too.`,
		Args: args("CID"),
		RunE: func(cmd *cobra.Command, given []string) error {
			var err error
			if in.CID, err = bareCID(given[0]); err != nil {
				return err
			}
			return c.withAdmin(cmd.Context(), false, func(a *admin.Client) error {
				made, err := a.AddPin(cmd.Context(), *user, in)
				if err != nil {
					return err
				}
				if _, err := fmt.Fprintln(c.stdout, made.RequestID); err != nil {
					return err
				}
				if ignored := made.Info[pin.InfoOriginsIgnored]; ignored != "" {
					fmt.Fprintln(c.stderr, "origins that are not used:", ignored)
				}
				switch {
				case made.Status == pin.Pinned:
					fmt.Fprintln(c.stderr, "pinned: all of it is on disk already")
					return nil
				case !a.Running():
					fmt.Fprintln(c.stderr, "queued: no server runs on this data directory; it is fetched when one does;", c.asCalled("`holdfast serve` runs one"))
					return nil
				case background:
					fmt.Fprintln(c.stderr, c.asCalled("queued: "+c.pinLine(*user, "ls")+" shows its progress"))
					return nil
				}
				return c.follow(cmd.Context(), a, *user, made)
			})
		},
	}
	cmd.Flags().StringVar(&in.Name, "name", "", "name of the pin")
	cmd.Flags().StringArrayVar(&in.Origins, "origin", nil, "multiaddr of a node that has the content, ending in /p2p/ID (may be repeated)")
	cmd.Flags().BoolVar(&background, "background", false, "do not wait until it is pinned")
	return cmd
}

// bareCID removes /ipfs/, ipfs:// and a slash at the end, which people copy with a CID. A
// path below a CID is an error: what it names is known only from the blocks.
func bareCID(s string) (string, error) {
	rest, isPath := strings.CutPrefix(s, "/ipfs/")
	if !isPath {
		rest, _ = strings.CutPrefix(s, "ipfs://")
	}
	rest = strings.TrimSuffix(rest, "/")
	if strings.ContainsAny(rest, "/?#") {
		return "", hint.Add(fmt.Errorf("pin %q: this is a path, and only a CID can be pinned", s),
			"with Kubo, `ipfs resolve -r PATH` shows the CID of what is there")
	}
	return rest, nil
}

// followInterval is how often follow asks about a pin. The server answers from memory.
const followInterval = 500 * time.Millisecond

// follow shows the progress of a pin until it is pinned or has failed.
func (c *cli) follow(ctx context.Context, a *admin.Client, user string, p admin.Pin) error {
	display := newPinDisplay(c.stderr, c.interactive && canDraw(c.stderr), p)
	defer display.close()
	a.TellWaiting(display.note)
	ticker := time.NewTicker(followInterval)
	defer ticker.Stop()
	for !p.Status.Done() {
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
		now, err := a.Pin(ctx, user, p.RequestID)
		if ctx.Err() != nil {
			display.close()
			return hint.Add(errors.New("interrupted; the pin goes on in the server"),
				fmt.Sprintf("%s shows its progress, %s removes it", c.pinLine(user, "ls"), c.pinLine(user, "rm", p.RequestID)))
		}
		if _, answered := errors.AsType[*admin.AnswerError](err); err != nil && !answered {
			display.close()
			return hint.Add(err, "if the server stopped, the pin goes on when it runs again")
		}
		if err != nil {
			return err
		}
		p = now
		display.show(p)
	}
	display.close()
	if p.Status == pin.Failed {
		return hint.Add(fmt.Errorf("the pin failed: %s", text.OrDash(p.Info["status_details"])),
			c.pinLine(user, "retry", p.RequestID)+" tries it again")
	}
	fmt.Fprintln(c.stderr, "pinned")
	return nil
}

func (c *cli) pinListCommand(user *string) *cobra.Command {
	var asJSON, all bool
	var statuses []string
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List pins, newest first",
		Long: `List pins, newest first. With --all the pins of all accounts are listed, account by
account. At the end come the pins of accounts that were removed with --keep-pins. Such an
account is shown by its id, which --user of the other commands accepts. A pin whose record
on disk cannot be read is shown as "damaged". In the API such a pin has failed.`,
		Args: args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if all && *user != "" {
				return errors.New("--all lists the pins of all accounts, --user those of one: use only one of the two")
			}
			return c.withAdmin(cmd.Context(), false, func(a *admin.Client) error {
				list := func() ([]admin.Pin, error) { return a.Pins(cmd.Context(), *user, statuses) }
				if all {
					list = func() ([]admin.Pin, error) { return a.AllPins(cmd.Context(), statuses) }
				}
				pins, err := list()
				if err != nil {
					return err
				}
				if asJSON {
					return c.printJSON(pins)
				}
				return c.printTable(pinRows(pins, all))
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "pins of all accounts, removed ones included")
	cmd.Flags().StringSliceVar(&statuses, "status", statusNames(), "only pins of these statuses")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func statusNames() []string {
	var names []string
	for _, s := range pin.Statuses() {
		names = append(names, string(s))
	}
	return names
}

func (c *cli) pinRemoveCommand(user *string) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "rm ID",
		Short: "Remove a pin, or all of an account",
		Long: `Remove a pin. With --all and --user, remove all pins of an account. If the account was
removed, name it by its id, which "holdfast pin ls --all" shows.`,
		Args: func(cmd *cobra.Command, given []string) error {
			if all {
				return args()(cmd, given)
			}
			return args("ID")(cmd, given)
		},
		RunE: func(cmd *cobra.Command, given []string) error {
			if all {
				return c.removeAllPins(cmd.Context(), *user)
			}
			return c.printLine(cmd.Context(), false, func(a *admin.Client) (string, error) {
				return "removed " + given[0], c.aboutPin(*user, a.RemovePin(cmd.Context(), *user, given[0]))
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "remove all pins of the account that --user names")
	return cmd
}

func (c *cli) pinRetryCommand(user *string) *cobra.Command {
	return c.idCommand("retry ID", "Try a failed pin again", "queued", func(ctx context.Context, a *admin.Client, id string) error {
		return c.aboutPin(*user, a.RetryPin(ctx, *user, id))
	})
}

// aboutPin adds a hint to the error about an unknown id: people often give a CID instead.
func (c *cli) aboutPin(user string, err error) error {
	if f, ok := errors.AsType[*admin.AnswerError](err); ok && f.Status == http.StatusNotFound && f.Hint == "" {
		return hint.Add(err, c.pinLine(user, "ls")+" lists the ids of pins")
	}
	return err
}
