package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
	"github.com/holdfast-ipfs/holdfast/internal/text"
)

func (c *cli) userCommand() *cobra.Command {
	return group("user", "Manage accounts",
		c.userAddCommand(), c.userListCommand(), c.userPasswdCommand(),
		c.userChangeCommand("disable", "disabled", "Disable an account and end all its tokens", (*admin.Client).Disable),
		c.userChangeCommand("enable", "enabled", "Enable an account that was disabled", (*admin.Client).Enable),
		c.userRoleCommand(), c.userQuotaCommand(), c.userRemoveCommand(),
		c.userInviteCommand(), c.userInvitesCommand(), c.userUninviteCommand(),
	)
}

func (c *cli) userAddCommand() *cobra.Command {
	var u admin.NewAccount
	var quota config.Size
	var fromStdin bool
	cmd := &cobra.Command{
		Use:   "add EMAIL",
		Short: "Make an account",
		Args:  args("EMAIL"),
		RunE: func(cmd *cobra.Command, given []string) error {
			u.Email, u.Quota = given[0], uint64(quota)
			ours, err := datadir.Find(c.dataFlag, c.getenv)
			if err != nil {
				return err
			}
			c.warnOfOtherServer(ours)
			if u.Password, err = c.readPassword(cmd.Context(), fromStdin); err != nil {
				return err
			}
			return c.printLine(cmd.Context(), true, func(a *admin.Client) (string, error) {
				made, err := a.AddAccount(cmd.Context(), u)
				return "added " + made.Email, err
			})
		},
	}
	cmd.Flags().BoolVar(&fromStdin, "password-stdin", false, "read the password from the first line of standard input")
	cmd.Flags().BoolVar(&u.Admin, "admin", false, "make it an admin's account")
	textFlag(cmd, &quota, "quota", config.Size(0), "`size` that its pins may have together, such as 10GiB; 0 is no limit")
	cmd.Flags().Uint64Var(&u.MaxPins, "max-pins", 0, "how many pins it may have at most, waiting ones included; 0 is no limit")
	return cmd
}

func (c *cli) userListCommand() *cobra.Command {
	return listCommand(c, listing[admin.Account]{
		use:   "ls",
		short: "List the accounts, and what their pins take up",
		get: func(ctx context.Context, a *admin.Client, _ []string) ([]admin.Account, error) {
			return a.Accounts(ctx)
		},
		heads: []string{"EMAIL", "ROLE", "STATE", "USED", "QUOTA", "PINS", "MAX PINS", "CREATED", "ID"},
		row: func(u admin.Account) []string {
			role, state := "user", "enabled"
			if u.Admin {
				role = "admin"
			}
			if u.Disabled {
				state = "disabled"
			}
			if u.Damaged {
				role, state = text.OrDash(""), "damaged"
			}
			used, pins := usageText(u)
			return []string{text.OrDash(u.Email), role, state, used, quotaText(u.Quota), pins, countText(u.MaxPins), u.Created.Format(time.RFC3339), u.ID}
		},
	})
}

func (c *cli) userPasswdCommand() *cobra.Command {
	var fromStdin, revoke bool
	cmd := &cobra.Command{
		Use:   "passwd EMAIL",
		Short: "Give an account a new password",
		Long: `Give an account a new password and end its sessions. Its device tokens, which Kubo
uses, stay. --revoke-tokens ends them too.`,
		Args: args("EMAIL"),
		RunE: func(cmd *cobra.Command, given []string) error {
			password, err := c.readPassword(cmd.Context(), fromStdin)
			if err != nil {
				return err
			}
			return c.printLine(cmd.Context(), false, func(a *admin.Client) (string, error) {
				ended, err := a.SetPassword(cmd.Context(), given[0], admin.NewPassword{Password: password, RevokeTokens: revoke})
				return passwordChanged(ended, revoke), err
			})
		},
	}
	cmd.Flags().BoolVar(&fromStdin, "password-stdin", false, "read the password from the first line of standard input")
	cmd.Flags().BoolVar(&revoke, "revoke-tokens", false, "end the account's device tokens too")
	return cmd
}

// passwordChanged says which sessions and tokens a new password ended, and which stay.
func passwordChanged(e admin.Ended, revoked bool) string {
	s := fmt.Sprintf("password changed; sessions ended: %d", e.Sessions)
	if revoked {
		return s + fmt.Sprintf("; device tokens revoked: %d", e.Devices)
	}
	s += fmt.Sprintf("; device tokens that stay valid: %d", e.DevicesLeft)
	if e.DevicesLeft > 0 {
		s += " (--revoke-tokens ends them too)"
	}
	return s
}

func (c *cli) userChangeCommand(name, done, short string, change func(a *admin.Client, ctx context.Context, who string) (admin.Account, error)) *cobra.Command {
	return &cobra.Command{
		Use:   name + " EMAIL",
		Short: short,
		Args:  args("EMAIL"),
		RunE: func(cmd *cobra.Command, given []string) error {
			return c.printLine(cmd.Context(), false, func(a *admin.Client) (string, error) {
				u, err := change(a, cmd.Context(), given[0])
				return done + " " + u.Email, err
			})
		},
	}
}

func (c *cli) userRemoveCommand() *cobra.Command {
	var keep bool
	cmd := &cobra.Command{
		Use:   "rm EMAIL",
		Short: "Remove an account and its pins",
		Long: `Remove an account and its pins. With --keep-pins the pins stay on disk and belong to
nobody. "holdfast pin ls --all" lists them under the id of the account, and
"holdfast pin adopt" gives them to another account. If the record of an account is
damaged, name the account by its id.`,
		Args: args("EMAIL"),
		RunE: func(cmd *cobra.Command, given []string) error {
			return c.printLine(cmd.Context(), false, func(a *admin.Client) (string, error) {
				gone, err := a.RemoveAccount(cmd.Context(), given[0], keep)
				name := cmp.Or(gone.Account.Email, gone.Account.ID)
				if keep {
					return fmt.Sprintf("removed %s; its pins stay, under the account id %s", name, gone.Account.ID), err
				}
				return fmt.Sprintf("removed %s; pins removed: %d", name, gone.Pins), err
			})
		},
	}
	cmd.Flags().BoolVar(&keep, "keep-pins", false, "leave its pins on disk")
	return cmd
}
