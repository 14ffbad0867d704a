package main

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
)

func (c *cli) userQuotaCommand() *cobra.Command {
	var maxPins uint64
	cmd := &cobra.Command{
		Use:   "quota EMAIL [SIZE]",
		Short: "Set how much an account may pin",
		Long: `Set how many bytes the pins of an account may hold, SIZE, such as 10GiB, how many
pins it may have, --max-pins, or both. What is left out stays as it is; 0 is no
limit. Pins that are queued, being pinned or pinned count; failed ones do not.
Nothing is removed from an account that has more already.`,
		Args: func(cmd *cobra.Command, given []string) error {
			if len(given) != 1 {
				return args("EMAIL", "SIZE")(cmd, given)
			}
			if !cmd.Flags().Changed("max-pins") {
				return errors.New("SIZE is missing, and so is --max-pins")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, given []string) error {
			var in admin.NewQuota
			if len(given) > 1 {
				var quota config.Size
				if err := quota.UnmarshalText([]byte(given[1])); err != nil {
					return err
				}
				in.Bytes = (*uint64)(&quota)
			}
			if cmd.Flags().Changed("max-pins") {
				in.Pins = &maxPins
			}
			return c.withAdmin(cmd.Context(), false, func(a *admin.Client) error {
				u, err := a.SetQuota(cmd.Context(), given[0], in)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(c.stdout, "quota of %s: %s; max pins: %s\n", u.Email, quotaText(u.Quota), countText(u.MaxPins))
				return err
			})
		},
	}
	cmd.Flags().Uint64Var(&maxPins, "max-pins", 0, "most pins it may have, those that wait included; 0 is no limit")
	return cmd
}

// quotaText is a quota of bytes for people, and countText one of pins.
func quotaText(bytes uint64) string {
	if bytes == 0 {
		return "-"
	}
	return config.Size(bytes).String()
}

func countText(n uint64) string {
	if n == 0 {
		return "-"
	}
	return strconv.FormatUint(n, 10)
}
