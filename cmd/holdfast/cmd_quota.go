package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/internal/text"
)

func (c *cli) userQuotaCommand() *cobra.Command {
	var maxPins uint64
	var replication string
	cmd := &cobra.Command{
		Use:   "quota EMAIL [SIZE]",
		Short: "Show or set how much an account may pin",
		Long: `Show the quotas of an account, and what it uses of them. With SIZE, such as 10GiB,
set how many bytes its pins may hold; with --max-pins, how many pins it may have. What
is left out stays as it is. 0 is no limit. Pins that are queued, being pinned or pinned
count, each CID once. Failed ones do not count. Nothing is removed from an account that
has more already.

With --replication, such as 2, or 2-3 for the fewest and the most, set in how many copies
a cluster keeps the pins of the account ([cluster]); "" is as the server has it. The next
check of the cluster changes the pins that there are.`,
		Args: func(cmd *cobra.Command, given []string) error {
			if len(given) == 1 {
				return nil
			}
			return args("EMAIL", "SIZE")(cmd, given)
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
			if cmd.Flags().Changed("replication") {
				in.Replication = &replication
			}
			return c.printLine(cmd.Context(), false, func(a *admin.Client) (string, error) {
				if in == (admin.NewQuota{}) {
					u, err := a.Account(cmd.Context(), given[0])
					used, pins := usageText(u)
					return fmt.Sprintf("quota of %s: %s; used: %s; max pins: %s; pins: %s%s", u.Email, quotaText(u.Quota), used, countText(u.MaxPins), pins, copiesText(u)), err
				}
				u, err := a.SetQuota(cmd.Context(), given[0], in)
				return fmt.Sprintf("quota of %s: %s; max pins: %s%s", u.Email, quotaText(u.Quota), countText(u.MaxPins), copiesText(u)), err
			})
		},
	}
	cmd.Flags().Uint64Var(&maxPins, "max-pins", 0, "how many pins it may have at most, waiting ones included; 0 is no limit")
	cmd.Flags().StringVar(&replication, "replication", "", "in how many `copies` a cluster keeps its pins")
	return cmd
}

// copiesText is in how many copies the pins of an account are, if that is its own.
func copiesText(a admin.Account) string {
	if a.Replication == "" {
		return ""
	}
	return "; copies: " + a.Replication
}

// quotaText is a quota of bytes for people. countText is one of pins.
func quotaText(bytes uint64) string {
	if bytes == 0 {
		return "-"
	}
	return config.Size(bytes).String()
}

// usageText is how many bytes and pins an account uses, for people.
func usageText(a admin.Account) (bytes, pins string) {
	if a.Usage == nil {
		return text.OrDash(""), text.OrDash("")
	}
	return text.RoughSize(a.Usage.Bytes), strconv.Itoa(a.Usage.Pins)
}

func countText(n uint64) string {
	if n == 0 {
		return "-"
	}
	return strconv.FormatUint(n, 10)
}
