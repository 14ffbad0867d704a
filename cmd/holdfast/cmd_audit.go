package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/internal/text"
)

func (c *cli) auditCommand() *cobra.Command {
	var user, event, pin string
	var since config.Duration
	var limit int
	cmd := listCommand(c, listing[admin.Event]{
		use:   "audit",
		short: "Show what happened to accounts, tokens and pins",
		long: `Show logins, refusals, and changes to accounts, tokens, keys and pins, newest first.
auth.audit_keep sets how long they are kept. If an account changes more than a thousand
pins at once, its other changes are counted instead, by kind, token and minute.`,
		get: func(ctx context.Context, a *admin.Client, _ []string) ([]admin.Event, error) {
			var from time.Time
			if since > 0 {
				from = time.Now().Add(-time.Duration(since))
			}
			return a.Events(ctx, admin.EventFilter{Account: user, Event: event, Pin: pin, From: from}, limit)
		},
		heads: []string{"TIME", "EVENT", "ACCOUNT", "BY", "FROM", "DETAIL"},
		row:   eventRow,
	})
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		if limit < 0 {
			return errors.New("--limit must be a number of events, or 0 for all")
		}
		return run(cmd, given)
	}
	cmd.Flags().StringVar(&user, "user", "", "only events of this account, done to it or by it: its address, or its ID if it is removed")
	cmd.Flags().StringVar(&event, "event", "", "only events of this kind, such as pin.removed; pins and accounts are groups of kinds")
	cmd.Flags().StringVar(&pin, "pin", "", "only events of the pin with this requestid or CID")
	textFlag(cmd, &since, "since", config.Duration(0), "only events of the last `duration`, such as 12h or 7d")
	cmd.Flags().IntVar(&limit, "limit", 100, "how many events to show at most; 0 for all")
	return cmd
}

// eventRow is the row of an event.
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
	if e.CID != "" {
		about := e.CID
		if e.Pin != "" {
			about = e.Pin + " " + about
		}
		if e.Was != "" {
			about += " in place of " + e.Was
		}
		detail = strings.TrimSuffix(about+": "+detail, ": ")
	}
	if e.Count > 1 {
		detail = fmt.Sprintf("%d times; %s", e.Count, detail)
	}
	return []string{e.Time.Format(time.RFC3339), string(e.Kind), text.OrDash(account), text.OrDash(by), from, text.OrDash(detail)}
}
