package main

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/internal/text"
)

func (c *cli) auditCommand() *cobra.Command {
	var user string
	var since config.Duration
	var limit int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Show what happened to accounts and tokens",
		Long: `Show logins, refusals, and changes to accounts, tokens and keys, the newest first.
auth.audit_keep sets for how long they are on record.`,
		Args: args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 0 {
				return errors.New("--limit: want a number of events, or 0 for all")
			}
			query := url.Values{}
			switch {
			case admin.IsAccountID(user):
				query.Set("account", user)
			case user != "":
				query.Set("email", user)
			}
			if since > 0 {
				query.Set("from", time.Now().Add(-time.Duration(since)).UTC().Format(time.RFC3339Nano))
			}
			return c.withAdmin(cmd.Context(), false, func(a *admin.Client) error {
				events, err := a.Events(cmd.Context(), query, limit)
				if err != nil {
					return err
				}
				if asJSON {
					return c.printJSON(events)
				}
				rows := [][]string{{"TIME", "EVENT", "ACCOUNT", "BY", "FROM", "DETAIL"}}
				for _, e := range events {
					rows = append(rows, eventRow(e))
				}
				return c.printTable(rows)
			})
		},
	}
	cmd.Flags().StringVar(&user, "user", "", "only what happened to this account, or what it did: its address, or its ID if it is gone")
	textFlag(cmd, &since, "since", config.Duration(0), "only what happened within this `duration`, such as 12h or 7d")
	cmd.Flags().IntVar(&limit, "limit", 100, "most events to show; 0 for all")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// eventRow is one line on an event.
func eventRow(e admin.Event) []string {
	account, by, from, detail := e.Email, e.Actor, e.Address, e.Detail
	if account == "" {
		account = e.Account
	}
	if e.Actor == e.Account && e.Actor != "" {
		by = "itself"
	}
	if from == "" {
		from = "this host"
	}
	if e.Count > 1 {
		detail = fmt.Sprintf("%d times; %s", e.Count, detail)
	}
	return []string{e.Time.Format(time.RFC3339), string(e.Kind), text.OrDash(account), text.OrDash(by), from, text.OrDash(detail)}
}
