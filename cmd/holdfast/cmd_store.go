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
		Short: "Give back the disk space of removed pins",
		Long: `Delete every block that no pin needs, give the space back, and print how much space
came back. Pins and reads go on meanwhile. If you interrupt the command, the next reclaim
does the rest. The server does this by itself every store.reclaim_interval.`,
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
				if r.Kept > 0 {
					left = fmt.Sprintf("; %s stay while a backup or a restore is under way", text.Counted(r.Kept, "block"))
				}
				if r.Left > 0 {
					left += fmt.Sprintf("; %s stay until there is more to give back", text.RoughSize(r.Left))
				}
				if n := r.Damaged - r.Emptied; n > 0 {
					left += fmt.Sprintf("; damaged files, whose space does not come back: %d ("+c.asCalled("run `holdfast store verify --repair`")+", and then reclaim again)", n)
				}
				if r.Emptied > 0 {
					left += fmt.Sprintf("; damaged files that are empty now: %d (a restart removes them)", r.Emptied)
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
		Short: "Show what is in the store, and its size on disk",
		Long: `Show what is in the store. Live blocks are blocks that some pin needs, each counted
once. The next reclaim deletes the dead ones. The size on disk is more than that of the
blocks: it includes keys, records, and space of deleted blocks that has not come back yet.
Records that cannot be read are counted and named. Blocks that somebody wanted and that
could not be read are named too. "holdfast store verify" finds all such blocks.`,
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

// printRecords prints the records that cannot be read.
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
		Short: "Hash every block that a pin needs, and find damage",
		Long: `Read every block that a pin needs and compare it with its hash. Print each corrupt or
missing block with the pins that need it, and each record that cannot be read. If there
are any, the command fails.

With --repair these pins go back to "pinning". All of their blocks are hashed again, and
damaged ones are fetched from other nodes. The command does not wait for that. It fails
only if a repair could not be started. If nobody has a block, its pins stay "pinning" and
are tried again without an end. If a table of the database is damaged, the command names
it and fails: restore a backup then.`,
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
	cmd.Flags().BoolVar(&repair, "repair", false, "fetch damaged blocks again")
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
		fmt.Fprintf(c.stderr, "stored for no known pin: %s; the next reclaim deletes those that no pin needs\n", text.Counted(v.Strays, "block"))
	}
	switch {
	case v.BadBlocks() == 0 && v.BadRecords > 0:
		return damagedRecords(v.BadRecords)
	case v.BadBlocks() == 0:
		return nil
	case !repair:
		return hint.Add(fmt.Errorf("damaged: %s", text.Counted(v.BadBlocks(), "block")),
			"`holdfast store verify --repair` fetches them again; check the disk too")
	case !running:
		fmt.Fprintf(c.stderr, c.asCalled("to be fetched again when the server runs (`holdfast serve`): %s\n"), text.Counted(len(v.Repairing), "DAG"))
	default:
		fmt.Fprintf(c.stderr, c.asCalled("being fetched again: %s; `holdfast pin ls` shows the progress\n"), text.Counted(len(v.Repairing), "DAG"))
	}
	if v.BadRecords > 0 {
		return damagedRecords(v.BadRecords)
	}
	return nil
}

// damagedRecords is the error of a check that found damaged records.
func damagedRecords(n uint64) error {
	return hint.Add(fmt.Errorf("damaged: %s", text.Counted(n, "record")),
		"`holdfast pin ls` shows the pins among them, and `holdfast pin retry` writes a record again if its CID is known; "+
			"for accounts and tokens restore a backup, or remove and make them again; check the disk too")
}

// watchStore runs do, which takes long. On a terminal it shows a bar meanwhile.
func (c *cli) watchStore(ctx context.Context, a *admin.Client, do func(*storeDisplay) error) error {
	display := newStoreDisplay(c.stderr, c.interactive && canDraw(c.stderr))
	defer display.close()
	a.TellWaiting(display.note)
	err := do(display)
	display.close() // before the result is printed
	if ctx.Err() != nil {
		return hint.Add(errors.New("interrupted"), "run it again: what is done already is not lost")
	}
	return err
}
