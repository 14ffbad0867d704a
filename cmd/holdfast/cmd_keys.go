package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-ipfs/holdfast/admin"
)

func (c *cli) keysCommand() *cobra.Command {
	return group("keys", "Manage the keys that sign tokens", c.keysRotateCommand())
}

func (c *cli) keysRotateCommand() *cobra.Command {
	var endTokens bool
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Sign with a new key from now on",
		Long: `Sign with a new key from now on. Tokens that older keys signed go on working. An
older key is kept until the last session that it signed has expired, which is the date
that is printed, and after that while a device token that it signed is valid. Device
tokens without an expiry are valid until they are revoked.

With --end-tokens the older keys are dropped at once. This ends every session and every
device token of every account. Use it if a key has leaked.`,
		Args: args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withAdmin(cmd.Context(), false, func(a *admin.Client) error {
				keys, err := a.RotateKeys(cmd.Context(), endTokens)
				if err != nil {
					return err
				}
				if asJSON {
					return c.printJSON(keys)
				}
				rows := [][]string{{"KEY", "CREATED", "KEPT"}}
				for _, k := range keys {
					kept := "signs"
					if !k.Until.IsZero() {
						kept = "until " + k.Until.Format(time.RFC3339) + ", or longer for device tokens"
					}
					rows = append(rows, []string{k.ID, createdText(k.Created), kept})
				}
				if endTokens {
					fmt.Fprintln(c.stderr, "every session and every device token was ended")
				}
				return c.printTable(rows)
			})
		},
	}
	cmd.Flags().BoolVar(&endTokens, "end-tokens", false, "drop the older keys, which ends every token")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// createdText is when a key was made, or a dash if that is not known.
func createdText(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Format(time.RFC3339)
}
