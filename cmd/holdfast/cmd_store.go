package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/internal/hint"
	"github.com/holdfast-ipfs/holdfast/internal/text"
	"github.com/holdfast-ipfs/holdfast/pin"
)

func (c *cli) storeCommand() *cobra.Command {
	return group("store", "Look after the blocks on disk",
		c.storeReclaimCommand(), c.storeStatsCommand(), c.storeVerifyCommand())
}

func (c *cli) storeReclaimCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "reclaim",
		Short: "Give back the disk space of what is not pinned any more",
		Long: `Delete every block that no pin needs, give the space back, and print how much
came back. Pins and reads go on meanwhile. Interrupting the command leaves the
rest for the next time. The server does this by itself every
store.reclaim_interval.`,
		Args: args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withAdmin(cmd.Context(), false, func(a *admin.Client) error {
				var r admin.Reclaimed
				err := c.watchStore(cmd.Context(), a, func(d *storeDisplay) (err error) {
					r, err = a.Reclaim(cmd.Context(), d.show)
					return err
				})
				if err != nil {
					return err
				}
				if asJSON {
					return c.printJSON(r)
				}
				left := ""
				if r.Left > 0 {
					left = fmt.Sprintf("; %s are left until there is more to give back", text.RoughSize(r.Left))
				}
				if n := r.Damaged - r.Emptied; n > 0 {
					left += fmt.Sprintf("; damaged files, which give nothing back: %d ("+c.asCalled("run `holdfast store verify --repair`")+", and reclaim again when that is done)", n)
				}
				if r.Emptied > 0 {
					left += fmt.Sprintf("; damaged files that nothing is left in: %d (a restart removes them)", r.Emptied)
				}
				_, err = fmt.Fprintf(c.stdout, "deleted %s of %s; %s came back in %v; the store takes %s%s\n",
					text.Counted(r.Blocks, "block"), text.RoughSize(r.Bytes), text.RoughSize(r.Freed()), r.Elapsed.Round(time.Millisecond), text.RoughSize(r.After), left)
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (c *cli) storeStatsCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "Show what the store holds and takes on disk",
		Long: `Show what the store holds. Live blocks are those that some pin needs, each
counted once; dead ones are deleted by the next reclaim. The store takes more on
disk than its blocks have: keys, records, and what was deleted and did not come
back yet. Records that cannot be read are counted, and named below. Blocks that could
not be read when somebody wanted them are named; "holdfast store verify" finds all.`,
		Args: args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withAdmin(cmd.Context(), false, func(a *admin.Client) error {
				st, err := a.Stats(cmd.Context())
				if err != nil {
					return err
				}
				if asJSON {
					return c.printJSON(st)
				}
				rows := [][]string{
					{"live", text.RoughSize(st.Live.Bytes) + " in " + text.Counted(st.Live.Blocks, "block")},
					{"dead", text.RoughSize(st.Dead.Bytes) + " in " + text.Counted(st.Dead.Blocks, "block")},
					{"on disk", fmt.Sprintf("%s, with %s free", text.RoughSize(st.Disk), text.RoughSize(st.Free))},
					{"DAGs", fmt.Sprintf("%d, of which %d are complete", st.DAGs, st.Complete)},
					{"accounts", fmt.Sprint(st.Accounts)},
				}
				if st.BadRecords > 0 {
					rows = append(rows, []string{"damaged records", fmt.Sprint(st.BadRecords)})
				}
				for _, c := range st.Unreadable {
					rows = append(rows, []string{"unreadable block", c.String()})
				}
				if st.Damaged > 0 {
					rows = append(rows, []string{"damaged files", fmt.Sprint(st.Damaged)})
				}
				for _, s := range pin.Statuses() {
					rows = append(rows, []string{"pins " + string(s), fmt.Sprint(st.Requests[s])})
				}
				if err := c.printTable(rows); err != nil {
					return err
				}
				return c.printRecords(st.DamagedRecords)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// printRecords names the records that cannot be read.
func (c *cli) printRecords(d admin.DamagedRecords) error {
	for _, r := range d.Records {
		if _, err := fmt.Fprintf(c.stdout, "damaged record: %s\n", text.Printable(r.String())); err != nil {
			return err
		}
	}
	if more := d.BadRecords - uint64(len(d.Records)); more > 0 {
		if _, err := fmt.Fprintf(c.stdout, "damaged records that are not named: %d\n", more); err != nil {
			return err
		}
	}
	return nil
}

func (c *cli) storeVerifyCommand() *cobra.Command {
	var asJSON, repair bool
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Hash every block that a pin needs, and find what is damaged",
		Long: `Read every block that a pin needs and compare it with its hash. Each block that
is corrupt or missing is printed with the pins that it hurts, and each record that
cannot be read with what it is about; the command then fails.

With --repair the pins that are hurt go back to "pinning": all of their blocks
are hashed again, and what is damaged is fetched from whoever has it. The command
does not wait for that, and fails only if a repair could not be begun. Nothing of
such a pin is given up: if nobody has the block now it stays "pinning" and is tried
again, for as long as that takes. A table of the database that is damaged is named,
and makes the command fail, too: that is for a backup to mend.`,
		Args: args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withAdmin(cmd.Context(), false, func(a *admin.Client) error {
				var found admin.Verified
				damage := []admin.Damage{}
				err := c.watchStore(cmd.Context(), a, func(d *storeDisplay) (err error) {
					found, err = a.Verify(cmd.Context(), repair, d.show, func(one admin.Damage) error {
						if asJSON {
							damage = append(damage, one)
							return nil
						}
						return c.printDamage(one)
					})
					return err
				})
				found.Damage = damage
				if err != nil {
					return err
				}
				return c.tellVerified(found, asJSON, repair, a.Running())
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&repair, "repair", false, "fetch again what is damaged")
	return cmd
}

func (c *cli) printDamage(d admin.Damage) error {
	for _, dag := range d.DAGs {
		for _, p := range dag.Pins {
			if _, err := fmt.Fprintf(c.stdout, "%s %s: in %s, pin %s of %s\n",
				d.Kind, d.CID, dag.CID, p.RequestID, text.Printable(p.User)); err != nil {
				return err
			}
		}
		if len(dag.Pins) == 0 || dag.More > 0 {
			if _, err := fmt.Fprintf(c.stdout, "%s %s: in %s, %d more pins\n", d.Kind, d.CID, dag.CID, dag.More); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *cli) tellVerified(v admin.Verified, asJSON, repair, running bool) error {
	if asJSON {
		if err := c.printJSON(v); err != nil {
			return err
		}
	} else {
		if err := c.printRecords(v.DamagedRecords); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(c.stdout, "checked %s of %s in %v: %d corrupt, %d missing\n",
			text.Counted(v.Blocks, "block"), text.RoughSize(v.Bytes), v.Elapsed.Round(time.Millisecond), v.Corrupt, v.Missing); err != nil {
			return err
		}
	}
	if v.Strays > 0 {
		fmt.Fprintf(c.stderr, "in no pin, and not known to be: %s; the next reclaim deletes what is\n", text.Counted(v.Strays, "block"))
	}
	switch {
	case v.BadBlocks() == 0 && v.BadRecords > 0:
		return damagedRecords(v.BadRecords)
	case v.BadBlocks() == 0:
		return nil
	case !repair:
		return hint.Add(fmt.Errorf("damaged: %s", text.Counted(v.BadBlocks(), "block")),
			"`holdfast store verify --repair` fetches them again; check the disk, too")
	case !running:
		fmt.Fprintf(c.stderr, c.asCalled("to be fetched again when the server runs (`holdfast serve`): %s\n"), text.Counted(len(v.Repairing), "DAG"))
	default:
		fmt.Fprintf(c.stderr, c.asCalled("being fetched again: %s; `holdfast pin ls` shows how it goes\n"), text.Counted(len(v.Repairing), "DAG"))
	}
	if v.BadRecords > 0 {
		return damagedRecords(v.BadRecords)
	}
	return nil
}

// damagedRecords is how a check ends that found some.
func damagedRecords(n uint64) error {
	return hint.Add(fmt.Errorf("damaged: %s", text.Counted(n, "record")),
		"`holdfast pin ls` shows the pins among them, and `holdfast pin retry` writes those anew whose CID is known; "+
			"for accounts and tokens restore a backup, or remove and make them again; check the disk, too")
}

// watchStore follows something that takes long, with a bar on a terminal while do runs.
func (c *cli) watchStore(ctx context.Context, a *admin.Client, do func(*storeDisplay) error) error {
	display := newStoreDisplay(c.stderr, c.interactive && canDraw(c.stderr))
	defer display.close()
	a.TellWaiting(display.note)
	err := do(display)
	display.close() // before anything is printed about the end
	if ctx.Err() != nil {
		return hint.Add(errors.New("interrupted"), "run it again: what was done is not lost")
	}
	return err
}
