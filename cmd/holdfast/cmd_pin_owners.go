package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/internal/hint"
	"github.com/holdfast-ipfs/holdfast/internal/text"
)

// pinRows is a table of pins, with whose they are if that is asked for.
func pinRows(pins []admin.Pin, owners bool) [][]string {
	rows := [][]string{{"ID", "STATUS", "CREATED", "BLOCKS", "SIZE", "CID", "NAME", "DETAILS"}}
	if owners {
		rows[0] = append([]string{"ACCOUNT"}, rows[0]...)
	}
	for _, p := range pins {
		row := []string{p.RequestID, pinState(p), p.Created,
			text.OrDash(p.Info["blocks"]), pinSize(p), p.Pin.CID, text.OrDash(p.Pin.Name), text.OrDash(p.Info["status_details"])}
		if owners {
			row = append([]string{ownerShown(p.Account)}, row...)
		}
		rows = append(rows, row)
	}
	return rows
}

// ownerShown is the account for people.
func ownerShown(o *admin.Owner) string {
	switch {
	case o.Gone:
		return o.ID + " (gone)"
	case o.Email == "":
		return o.ID
	}
	return o.Email
}

// removeAllPins removes the pins of an account that must be named.
func (c *cli) removeAllPins(ctx context.Context, user string) error {
	if user == "" {
		return hint.Add(errors.New("--all needs --user, to say whose pins are to be removed"), "`holdfast pin ls --all` shows whose pins there are")
	}
	return c.withAdmin(ctx, false, func(a *admin.Client) error {
		gone, err := a.RemoveAllPins(ctx, user)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.stdout, "pins removed: %d\n", gone.Removed)
		return err
	})
}

func (c *cli) pinAdoptCommand(user *string) *cobra.Command {
	var from string
	cmd := &cobra.Command{
		Use:   "adopt --from ACCOUNT-ID --user EMAIL",
		Short: "Give the pins of an account that is gone to another",
		Long: `Give the pins that an account left behind, when it was removed with --keep-pins, to
another account. "holdfast pin ls --all" shows its id. Nothing is fetched anew, and
the quotas of the account that has them then are kept: what there is no room for
stays where it is. Pins keep their ids and dates if the account has no newer pin;
else they get new ones.`,
		Args: args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if from == "" || *user == "" {
				return hint.Add(errors.New("--from and --user are both needed, to say whose pins are to be whose"),
					"`holdfast pin ls --all` shows whose pins there are")
			}
			return c.withAdmin(cmd.Context(), false, func(a *admin.Client) error {
				done, err := a.AdoptPins(cmd.Context(), from, *user)
				if err != nil {
					return err
				}
				if done.Left > 0 {
					fmt.Fprintf(c.stderr, c.asCalled("pins whose CID cannot be read, and that stay: %d; `holdfast pin rm --all --user %s` removes them\n"), done.Left, from)
				}
				_, err = fmt.Fprintf(c.stdout, "pins adopted: %d\n", done.Adopted)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "`id` of the account that is gone")
	return cmd
}
