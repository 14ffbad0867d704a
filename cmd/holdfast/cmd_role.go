package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/holdfast-ipfs/holdfast/admin"
)

func (c *cli) userRoleCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "role EMAIL admin|user",
		Short: "Make an account an admin's, or a user's again",
		Long: `Make an account an admin's, who may manage accounts over HTTP, or a user's again.
Its tokens stay. A token of the scope "admin" may manage accounts while its account is
an admin's.`,
		Args: func(cmd *cobra.Command, given []string) error {
			if err := args("EMAIL", "the role, admin or user,")(cmd, given); err != nil {
				return err
			}
			if given[1] != "admin" && given[1] != "user" {
				return errors.New(`the role must be "admin" or "user"`)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, given []string) error {
			return c.printLine(cmd.Context(), false, func(a *admin.Client) (string, error) {
				u, err := a.SetAdmin(cmd.Context(), given[0], given[1] == "admin")
				return fmt.Sprintf("role of %s: %s", u.Email, given[1]), err
			})
		},
	}
}
