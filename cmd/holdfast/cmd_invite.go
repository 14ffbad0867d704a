package main

import (
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
)

func (c *cli) userInviteCommand() *cobra.Command {
	var quota config.Size
	var maxPins uint64
	var expires config.Duration
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "invite",
		Short: "Make an invitation and print it",
		Long: `Make an invitation with which one person can make an account, and print it, alone,
on standard output. It is shown this once. auth.registration must be "invite" or
"open" for it to be of use.`,
		Args: args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withAdmin(cmd.Context(), false, func(a *admin.Client) error {
				var made admin.CreatedInvite
				in := admin.NewInvite{Quota: uint64(quota), MaxPins: maxPins, Expires: time.Duration(expires)}
				if err := a.Do(cmd.Context(), http.MethodPost, "/invites", nil, nil, in, &made); err != nil {
					return err
				}
				if made.Registration == auth.RegistrationClosed {
					fmt.Fprintf(c.stderr, "holdfast: warning: nobody can register with it while auth.registration is %q: set it to %q or %q\n",
						made.Registration, auth.RegistrationInvite, auth.RegistrationOpen)
				}
				if asJSON {
					return c.printJSON(made)
				}
				fmt.Fprintf(c.stderr, "invitation %s, %s\n", made.ID, expiry(made.Expires))
				_, err := fmt.Fprintln(c.stdout, made.Code)
				return err
			})
		},
	}
	textFlag(cmd, &quota, "quota", config.Size(0), "`size` that the pins of the account that it makes may have, such as 10GiB; 0 is no limit")
	cmd.Flags().Uint64Var(&maxPins, "max-pins", 0, "most pins that account may have, those that wait included; 0 is no limit")
	textFlag(cmd, &expires, "expires", config.Duration(0), "`duration` that it is valid for, such as 12h or 30d (default 7d)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, with the invitation in it")
	return cmd
}

func (c *cli) userInvitesCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "invites",
		Short: "List the invitations that can still be used",
		Args:  args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withAdmin(cmd.Context(), false, func(a *admin.Client) error {
				var all []admin.InviteInfo
				if err := a.Do(cmd.Context(), http.MethodGet, "/invites", nil, nil, nil, &all); err != nil {
					return err
				}
				if asJSON {
					return c.printJSON(all)
				}
				rows := [][]string{{"ID", "QUOTA", "MAX PINS", "CREATED", "EXPIRES"}}
				for _, i := range all {
					rows = append(rows, []string{i.ID, quotaText(i.Quota), countText(i.MaxPins), i.Created.Format(time.RFC3339), i.Expires.Format(time.RFC3339)})
				}
				return c.printTable(rows)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (c *cli) userUninviteCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "uninvite ID",
		Short: "Take an invitation back",
		Args:  args("ID"),
		RunE: func(cmd *cobra.Command, given []string) error {
			return c.withAdmin(cmd.Context(), false, func(a *admin.Client) error {
				query := url.Values{"id": {given[0]}}
				if err := a.Do(cmd.Context(), http.MethodDelete, "/invite", query, nil, nil, nil); err != nil {
					return err
				}
				_, err := fmt.Fprintln(c.stdout, "revoked", given[0])
				return err
			})
		},
	}
}
