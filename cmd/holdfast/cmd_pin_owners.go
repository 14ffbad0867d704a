package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"
)

// allPins reads the pins of all accounts, and of those that are gone.
func (c *adminClient) allPins(ctx context.Context, statuses []string) ([]pinRequest, error) {
	var owners []ownerInfo
	if err := c.do(ctx, http.MethodGet, "/owners", nil, nil, nil, &owners); err != nil {
		return nil, err
	}
	all := []pinRequest{}
	for _, owner := range owners {
		pins, err := c.pins(ctx, owner.ID, statuses)
		if f, ok := errors.AsType[*answerError](err); ok && f.status == http.StatusNotFound {
			continue // its last pin went meanwhile
		}
		if err != nil {
			return nil, err
		}
		for i := range pins {
			pins[i].Account = &owner
		}
		all = append(all, pins...)
	}
	return all, nil
}

// pinRows is a table of pins, with whose they are if that is asked for.
func pinRows(pins []pinRequest, owners bool) [][]string {
	rows := [][]string{{"ID", "STATUS", "CREATED", "BLOCKS", "SIZE", "CID", "NAME", "DETAILS"}}
	if owners {
		rows[0] = append([]string{"ACCOUNT"}, rows[0]...)
	}
	for _, p := range pins {
		row := []string{p.RequestID, p.state(), p.Created,
			orDash(p.Info["blocks"]), p.size(), p.Pin.CID, orDash(p.Pin.Name), orDash(p.Info["status_details"])}
		if owners {
			row = append([]string{p.Account.shown()}, row...)
		}
		rows = append(rows, row)
	}
	return rows
}

// shown is the account for people.
func (o *ownerInfo) shown() string {
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
		return hinted(errors.New("--all needs --user, to say whose pins are to be removed"), "`holdfast pin ls --all` shows whose pins there are")
	}
	return c.withAdmin(ctx, false, func(a *adminClient) error {
		var gone removedPins
		if err := a.do(ctx, http.MethodDelete, "/pins", url.Values{"account": {user}}, nil, nil, &gone); err != nil {
			return err
		}
		_, err := fmt.Fprintf(c.stdout, "pins removed: %d\n", gone.Removed)
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
				return hinted(errors.New("--from and --user are both needed, to say whose pins are to be whose"),
					"`holdfast pin ls --all` shows whose pins there are")
			}
			return c.withAdmin(cmd.Context(), false, func(a *adminClient) error {
				var done adoptedPins
				query := url.Values{"from": {from}, "to": {*user}}
				if err := a.do(cmd.Context(), http.MethodPost, "/pins/adopt", query, nil, nil, &done); err != nil {
					return err
				}
				if done.Left > 0 {
					fmt.Fprintf(c.stderr, "pins that stay, as it cannot be read what they are for: %d; `holdfast pin rm --all --user %s` removes them\n", done.Left, from)
				}
				_, err := fmt.Fprintf(c.stdout, "pins adopted: %d\n", done.Adopted)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "`id` of the account that is gone")
	return cmd
}
