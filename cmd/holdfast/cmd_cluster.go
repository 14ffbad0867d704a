package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/internal/hint"
	"github.com/holdfast-ipfs/holdfast/internal/text"
)

func (c *cli) clusterCommand() *cobra.Command {
	return group("cluster", "Look after the cluster that keeps what is pinned",
		c.clusterStatusCommand(), c.clusterCheckCommand(), c.clusterDrainCommand(), c.clusterImportCommand())
}

func (c *cli) clusterStatusCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the peers of the cluster, and what the last check found",
		Long: `Show how each peer of the cluster is: whether it answers, how much room its node has, and
how many pins of all clients wait there, are being pinned, and have failed. Then show what
the last check of the server found. The command fails if no peer answers.`,
		Args: args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withAdmin(cmd.Context(), false, func(a *admin.Client) error {
				s, err := a.ClusterState(cmd.Context())
				if err != nil {
					return err
				}
				if asJSON {
					err = c.printJSON(s)
				} else {
					err = c.printCluster(s)
				}
				if err == nil && !slices.ContainsFunc(s.Peers, func(p admin.ClusterPeer) bool { return p.Away == "" }) {
					err = errors.New("no peer of the cluster answers")
				}
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (c *cli) printCluster(s admin.ClusterState) error {
	rows := [][]string{{"PEER", "STATE", "ROOM", "QUEUED", "PINNING", "FAILED", "SIZES", "URL"}}
	for _, p := range s.Peers {
		state, queued, pinning, failed := "answers", "-", "-", "-"
		switch {
		case p.Away != "":
			state = "away: " + p.Away
		case p.NodeAway != "":
			state = "its node is away: " + p.NodeAway
		}
		if p.Work != nil {
			queued, pinning, failed = fmt.Sprint(p.Work.Queued), fmt.Sprint(p.Work.Pinning), fmt.Sprint(p.Work.Failed)
		}
		room := "-"
		if p.Room > 0 {
			room = text.RoughSize(p.Room)
		}
		rows = append(rows, []string{p.Name, state, room, queued, pinning, failed, map[bool]string{true: "yes", false: "no"}[p.Sizes], p.URL})
	}
	if err := c.printTable(rows); err != nil {
		return err
	}
	lines := []string{fmt.Sprintf("members: %d; copies of a pin: %s; this server is %s", s.Members, s.Replication, s.Instance)}
	if s.Checked == nil {
		lines = append(lines, "not checked since the start; `holdfast cluster check` does that now")
	} else {
		lines = append(lines, reportText(*s.Checked)+", "+time.Since(s.Checked.Ended).Round(time.Second).String()+" ago")
	}
	if s.Below > 0 {
		lines = append(lines, "with fewer copies than they are to have: "+text.Counted(s.Below, "DAG"))
	}
	_, err := fmt.Fprintln(c.stdout, c.asCalled(strings.Join(lines, "\n")))
	return err
}

// reportText is a report for people.
func reportText(r admin.ClusterReport) string {
	found, mended := r.Differences()
	s := fmt.Sprintf("compared %s, %d of them of this server, in %v: %s, %d mended",
		text.Counted(r.Pins, "pin"), r.Ours, r.Elapsed.Round(time.Millisecond), text.Counted(found, "difference"), mended)
	if r.More > 0 {
		s += fmt.Sprintf("; %d more are for the next check", r.More)
	}
	if len(r.Unread) > 0 {
		s += "; not compared, as they do not answer: " + strings.Join(r.Unread, ", ")
	}
	return s
}

func (c *cli) clusterCheckCommand() *cobra.Command {
	var asJSON, repair bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Compare the pins of this server with the cluster and its nodes",
		Long: `Compare what is pinned here with the pinset of the cluster, and the pinset with what the
nodes have. Print each difference. If there are any, the command fails.

With --repair, mend each difference, as the server itself does every 10 minutes. The
command then fails only if one could not be mended. Copies that are missing for less than
30 minutes are waited for.`,
		Args: args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withAdmin(cmd.Context(), false, func(a *admin.Client) error {
				all := []admin.ClusterDifference{}
				r, err := a.ClusterCheck(cmd.Context(), repair, func(d admin.ClusterDifference) error {
					if asJSON {
						all = append(all, d)
						return nil
					}
					return c.printDifference(d)
				})
				if err != nil {
					return err
				}
				if asJSON {
					err = c.printJSON(struct {
						admin.ClusterReport
						Differences []admin.ClusterDifference `json:"differences"`
					}{r, all})
				} else {
					_, err = fmt.Fprintln(c.stdout, reportText(r))
				}
				if err != nil {
					return err
				}
				found, mended := r.Differences()
				switch {
				case found == 0:
					return nil
				case !repair:
					return hint.Add(fmt.Errorf("records and cluster differ: %s", text.Counted(found, "difference")),
						"`holdfast cluster check --repair` mends them; the server does it every 10 minutes")
				case mended < found:
					return fmt.Errorf("not mended: %s", text.Counted(found-mended, "difference"))
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&repair, "repair", false, "mend what differs")
	return cmd
}

func (c *cli) printDifference(d admin.ClusterDifference) error {
	s := d.Kind + " " + d.CID
	if d.Peer != "" {
		s += " at " + d.Peer
	}
	s += ": " + d.Text
	switch {
	case d.Error != "":
		s += "; it cannot be mended: " + d.Error
	case d.Mended:
		s += "; mended"
	}
	_, err := fmt.Fprintln(c.stdout, c.asCalled(text.Printable(s)))
	return err
}

func (c *cli) clusterDrainCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "drain PEER",
		Short: "Move the pins of a peer to other peers",
		Long: `Move the copies that a peer has of this server's pins to other peers. PEER is
a name that "holdfast cluster status" shows, or an ID. No pin ever has fewer copies than
before. If you interrupt the command, run it again: it goes on.

Make its node full first: set store.min_free_space there above the size of its disk. Then
it gets no new pins, and each of its pins moves at once. From a peer with room the cluster
takes a copy only by chance, and it takes many rounds. The peer stays a member. What
others asked the cluster for stays there.`,
		Args: args("PEER"),
		RunE: func(cmd *cobra.Command, given []string) error {
			return c.withAdmin(cmd.Context(), false, func(a *admin.Client) error {
				var d admin.ClusterDrained
				err := c.watchStore(cmd.Context(), a, func(display *storeDisplay) (err error) {
					d, err = a.ClusterDrain(cmd.Context(), given[0], display.show)
					return err
				})
				if err != nil {
					return err
				}
				if _, err := fmt.Fprintf(c.stdout, "moved from %s: %s\n", d.Peer, text.Counted(d.Moved, "pin")); err != nil {
					return err
				}
				if d.Failed > 0 {
					return hint.Add(fmt.Errorf("still there: %s", text.Counted(d.Failed, "pin")), "the server's log says why; run it again")
				}
				return nil
			})
		},
	}
}

func (c *cli) clusterImportCommand() *cobra.Command {
	var in admin.ClusterImport
	var accounts []string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "import [--from INSTANCE]",
		Short: "Make the pins of a lost server this server's",
		Long: `Make requests of what the cluster's pinset says that another server had. That is for a
server that was lost without a backup, or whose backup is older than its last pins.
Nothing is fetched again.

Without --from, only list the servers and accounts that the pinset tells of. Never name a
server that still runs: what it pinned would be this server's.

An account that exists here under the same id gets its own pins. For others, say with
--account which account gets them, or with --rest which account gets those of all others;
"holdfast user add" makes accounts first. Of a CID that many accounts had pinned, the
pinset tells of 16 requests, and of the name and metadata of the newest.`,
		Args: args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			in.Accounts = make(map[string]string)
			for _, s := range accounts {
				id, email, ok := strings.Cut(s, "=")
				if !ok || id == "" || email == "" {
					return hint.Add(fmt.Errorf("--account %s: want ID=EMAIL", s), "`holdfast cluster import` lists the ids")
				}
				in.Accounts[id] = email
			}
			return c.withAdmin(cmd.Context(), false, func(a *admin.Client) error { return c.clusterImport(cmd.Context(), a, in, asJSON) })
		},
	}
	cmd.Flags().StringVar(&in.From, "from", "", "`instance` of the lost server")
	cmd.Flags().StringArrayVar(&accounts, "account", nil, "`ID=EMAIL`: an account there, and the account here that gets its pins")
	cmd.Flags().StringVar(&in.Rest, "rest", "", "`email` of the account that gets the pins of all others")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (c *cli) clusterImport(ctx context.Context, a *admin.Client, in admin.ClusterImport, asJSON bool) error {
	var d admin.ClusterImported
	err := c.watchStore(ctx, a, func(display *storeDisplay) (err error) {
		d, err = a.ClusterImport(ctx, in, display.show)
		return err
	})
	if err != nil {
		return err
	}
	if asJSON {
		return c.printJSON(d)
	}
	rows := [][]string{{"INSTANCE", "ACCOUNT", "TO", "PINS", "MADE"}}
	left := uint64(0)
	for _, o := range d.Owners {
		rows = append(rows, []string{o.Instance, o.Account, text.OrDash(o.To), fmt.Sprint(o.Requests), fmt.Sprint(o.Made)})
		if o.Instance == in.From && o.To == "" {
			left += o.Requests
		}
	}
	if err := c.printTable(rows); err != nil {
		return err
	}
	if left > 0 {
		return hint.Add(fmt.Errorf("pins that no account here gets: %d", left), "name accounts for them with --account ID=EMAIL, or one for all with --rest EMAIL, and import again")
	}
	return nil
}
