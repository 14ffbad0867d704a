package main

import (
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"
)

func (c *cli) tokenCommand() *cobra.Command {
	return group("token", "Manage the tokens that clients show",
		c.tokenCreateCommand(), c.tokenListCommand(), c.tokenRevokeCommand())
}

func (c *cli) tokenCreateCommand() *cobra.Command {
	var in newToken
	var expires Duration
	cmd := &cobra.Command{
		Use:   "create EMAIL --name NAME",
		Short: "Make a device token and print it",
		Long: `Make a token for one program, such as a Kubo, and print it, alone, on standard
output. It is shown this once. It works until it expires or is revoked.`,
		Args: args("EMAIL"),
		RunE: func(cmd *cobra.Command, given []string) error {
			in.Expires = time.Duration(expires)
			return c.withAdmin(cmd.Context(), false, func(a *adminClient) error {
				var made createdToken
				if err := a.do(cmd.Context(), http.MethodPost, "/user/tokens", emailQuery(given[0]), nil, in, &made); err != nil {
					return err
				}
				fmt.Fprintf(c.stderr, "token %s for %s, %s\n", made.ID, given[0], expiry(made.Expires))
				_, err := fmt.Fprintln(c.stdout, made.Token)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&in.Name, "name", "", "what the token is for, such as the name of a machine")
	cmd.Flags().TextVar(&expires, "expires", Duration(0), "how long it is valid, such as 12h or 90d (default: until it is revoked)")
	if err := cmd.MarkFlagRequired("name"); err != nil {
		panic(err) // there is no such flag
	}
	return cmd
}

func expiry(t *time.Time) string {
	if t == nil {
		return "valid until it is revoked"
	}
	return "valid until " + t.Format(time.RFC3339)
}

func (c *cli) tokenListCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "ls EMAIL",
		Short: "List the tokens and sessions of an account",
		Args:  args("EMAIL"),
		RunE: func(cmd *cobra.Command, given []string) error {
			return c.withAdmin(cmd.Context(), false, func(a *adminClient) error {
				var tokens []tokenInfo
				if err := a.do(cmd.Context(), http.MethodGet, "/user/tokens", emailQuery(given[0]), nil, nil, &tokens); err != nil {
					return err
				}
				if asJSON {
					return c.printJSON(tokens)
				}
				rows := [][]string{{"ID", "KIND", "NAME", "CREATED", "EXPIRES"}}
				for _, t := range tokens {
					expires := "never"
					if t.Expires != nil {
						expires = t.Expires.Format(time.RFC3339)
					}
					rows = append(rows, []string{t.ID, string(t.Kind), orDash(t.Name), t.Created.Format(time.RFC3339), expires})
				}
				return c.printTable(rows)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (c *cli) tokenRevokeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "revoke ID",
		Short: "End a token or a session, at once",
		Args:  args("ID"),
		RunE: func(cmd *cobra.Command, given []string) error {
			return c.withAdmin(cmd.Context(), false, func(a *adminClient) error {
				query := url.Values{"id": {given[0]}}
				if err := a.do(cmd.Context(), http.MethodDelete, "/token", query, nil, nil, nil); err != nil {
					return err
				}
				_, err := fmt.Fprintln(c.stdout, "revoked", given[0])
				return err
			})
		},
	}
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
