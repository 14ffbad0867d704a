package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/internal/text"
)

func (c *cli) tokenCommand() *cobra.Command {
	return group("token", "Manage the tokens that clients log in with",
		c.tokenCreateCommand(), c.tokenListCommand(), c.tokenRevokeCommand())
}

func (c *cli) tokenCreateCommand() *cobra.Command {
	var in auth.NewDevice
	var expires config.Duration
	var scope string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "create EMAIL --name NAME",
		Short: "Make a device token and print it",
		Long: `Make a token for one program, such as Kubo, and print it on standard output. It is not
shown again. It works until it expires or is revoked.

The scope says what the token may do. "read": look at the account and its pins. "pin":
also add, replace and remove pins. "admin": everything that the account may do, such as
making other tokens.`,
		Args: func(cmd *cobra.Command, given []string) error {
			if err := args("EMAIL")(cmd, given); err != nil {
				return err
			}
			if !cmd.Flags().Changed("name") {
				return errors.New("--name is missing: what the token is for, such as the name of a machine")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, given []string) error {
			in.TTL, in.Scope = time.Duration(expires), auth.Scope(scope)
			return c.withAdmin(cmd.Context(), false, func(a *admin.Client) error {
				made, err := a.CreateToken(cmd.Context(), given[0], in)
				if err != nil {
					return err
				}
				if asJSON {
					return c.printJSON(made)
				}
				fmt.Fprintf(c.stderr, "token %s for %s, scope %s, %s\n", made.ID, given[0], made.Scope, expiry(made.Expires))
				if made.Scope.Includes(auth.ScopePin) {
					fmt.Fprintf(c.stderr, "to pin from Kubo: ipfs pin remote service add holdfast %s %s\n", made.Endpoint, c.ifWatched(made.Secret))
				}
				_, err = fmt.Fprintln(c.stdout, made.Secret)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&in.Name, "name", "", "what the token is for, such as the name of a machine")
	cmd.Flags().StringVar(&scope, "scope", string(auth.ScopePin), "what the token may do: read, pin or admin")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, which has the token too")
	textFlag(cmd, &expires, "expires", config.Duration(0), "`duration` that the token is valid for, such as 12h or 90d (default: until it is revoked)")
	return cmd
}

// ifWatched is the token if standard error is a terminal, where somebody can use it. Else
// standard error may be a log, and the word TOKEN stands for it.
func (c *cli) ifWatched(token string) string {
	if c.interactive {
		return token
	}
	return "TOKEN"
}

func expiry(t time.Time) string {
	if t.IsZero() {
		return "valid until it is revoked"
	}
	return "valid until " + t.Format(time.RFC3339)
}

func (c *cli) tokenListCommand() *cobra.Command {
	return listCommand(c, listing[admin.TokenInfo]{
		use:   "ls EMAIL",
		short: "List the tokens and sessions of an account",
		args:  args("EMAIL"),
		get: func(ctx context.Context, a *admin.Client, given []string) ([]admin.TokenInfo, error) {
			return a.Tokens(ctx, given[0])
		},
		heads: []string{"ID", "KIND", "NAME", "SCOPE", "CREATED", "LAST USED", "EXPIRES"},
		row: func(t admin.TokenInfo) []string {
			if t.Damaged {
				return []string{t.ID, "damaged", text.OrDash(""), text.OrDash(""), text.OrDash(""), text.OrDash(""), text.OrDash("")}
			}
			return []string{
				t.ID, string(t.Kind), text.OrDash(t.Name), string(t.Scope),
				t.Created.Format(time.RFC3339), orNever(t.Used), orNever(t.Expires),
			}
		},
	})
}

func (c *cli) tokenRevokeCommand() *cobra.Command {
	return c.idCommand("revoke ID", "End a token or a session, at once", "revoked",
		func(ctx context.Context, a *admin.Client, id string) error { return a.RevokeToken(ctx, id) })
}

func orNever(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Format(time.RFC3339)
}
