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

// pinRows is a table of pins. With owners it has a column for the account.
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

// removeAllPins removes all pins of an account. The account must be named.
func (c *cli) removeAllPins(ctx context.Context, user string) error {
	if user == "" {
		return hint.Add(errors.New("--all needs --user: the account whose pins to remove"), "`holdfast pin ls --all` shows which accounts have pins")
	}
	return c.printLine(ctx, false, func(a *admin.Client) (string, error) {
		gone, err := a.RemoveAllPins(ctx, user)
		return fmt.Sprintf("pins removed: %d", gone.Removed), err
	})
}

func (c *cli) pinAdoptCommand(user *string) *cobra.Command {
	var from string
	cmd := &cobra.Command{
		Use:   "adopt --from ACCOUNT-ID --user EMAIL",
		Short: "Give the pins of a removed account to another account",
		Long: `Give the pins of an account that was removed with --keep-pins to another account.
"holdfast pin ls --all" shows the id of the removed account. Nothing is fetched again. The
quotas of the other account count: pins that do not fit stay where they are. Pins keep
their ids and dates if the other account has no newer pin. Otherwise they get new ones.`,
		Args: args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if from == "" || *user == "" {
				return hint.Add(errors.New("--from and --user are both needed: the account that had the pins, and the one that gets them"),
					"`holdfast pin ls --all` shows which accounts have pins")
			}
			return c.printLine(cmd.Context(), false, func(a *admin.Client) (string, error) {
				done, err := a.AdoptPins(cmd.Context(), from, *user)
				if done.Left > 0 {
					fmt.Fprintf(c.stderr, c.asCalled("pins that stay, since their CID cannot be read: %d; `holdfast pin rm --all --user %s` removes them\n"), done.Left, from)
				}
				return fmt.Sprintf("pins adopted: %d", done.Adopted), err
			})
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "`id` of the removed account")
	return cmd
}
