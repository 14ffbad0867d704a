package main

import (
	"context"
	"fmt"
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
		Long: `Make an invitation and print its code on standard output. The code is not shown
again. One person can make an account with it, if auth.registration is "invite" or
"open".`,
		Args: args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withAdmin(cmd.Context(), false, func(a *admin.Client) error {
				made, err := a.CreateInvite(cmd.Context(), auth.NewInvite{Quota: uint64(quota), QuotaPins: maxPins, TTL: time.Duration(expires)})
				if err != nil {
					return err
				}
				if made.Registration == auth.RegistrationClosed {
					fmt.Fprintf(c.stderr, "holdfast: warning: auth.registration is %q, so nobody can register with this invitation: set it to %q or %q\n",
						made.Registration, auth.RegistrationInvite, auth.RegistrationOpen)
				}
				if asJSON {
					return c.printJSON(createdInvitation{invitationOf(made.InviteInfo), made.Code, made.Registration})
				}
				fmt.Fprintf(c.stderr, "invitation %s, %s\n", made.ID, expiry(made.Expires))
				_, err = fmt.Fprintln(c.stdout, made.Code)
				return err
			})
		},
	}
	textFlag(cmd, &quota, "quota", config.Size(0), "`size` that the pins of the new account may have together, such as 10GiB; 0 is no limit")
	cmd.Flags().Uint64Var(&maxPins, "max-pins", 0, "how many pins the new account may have at most, waiting ones included; 0 is no limit")
	textFlag(cmd, &expires, "expires", config.Duration(0), "`duration` that the invitation is valid for, such as 12h or 30d (default 7d)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, which has the code too")
	return cmd
}

func (c *cli) userInvitesCommand() *cobra.Command {
	return listCommand(c, listing[invitation]{
		use:   "invites",
		short: "List the invitations that can still be used",
		get: func(ctx context.Context, a *admin.Client, _ []string) ([]invitation, error) {
			all, err := a.Invites(ctx)
			list := make([]invitation, len(all))
			for i, one := range all {
				list[i] = invitationOf(one)
			}
			return list, err
		},
		heads: []string{"ID", "QUOTA", "MAX PINS", "CREATED", "EXPIRES"},
		row: func(i invitation) []string {
			return []string{i.ID, quotaText(i.Quota), countText(i.MaxPins), i.Created.Format(time.RFC3339), i.Expires.Format(time.RFC3339)}
		},
	})
}

func (c *cli) userUninviteCommand() *cobra.Command {
	return c.idCommand("uninvite ID", "Take an invitation back", "revoked",
		func(ctx context.Context, a *admin.Client, id string) error { return a.RevokeInvite(ctx, id) })
}

// invitation is an [admin.InviteInfo] in the order that commands print. Scripts may rely on
// that order.
type invitation struct {
	ID      string    `json:"id"`
	By      string    `json:"by,omitempty"`
	Quota   uint64    `json:"quota"`
	MaxPins uint64    `json:"max_pins"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
}

func invitationOf(i admin.InviteInfo) invitation {
	return invitation{i.ID, i.By, i.Quota, i.MaxPins, i.Created, i.Expires}
}

// createdInvitation is an invitation with its code.
type createdInvitation struct {
	invitation
	Code         string            `json:"invite"`
	Registration auth.Registration `json:"registration"`
}
