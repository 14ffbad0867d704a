package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// manyStay measures unpinning the directory of small files while ten times as many
// other blocks stay as in the usual runs.
func manyStay(ctx context.Context, r *rig.Rig, source *rig.Kubo, c *content, out io.Writer, say func(string, ...any)) error {
	kubo, err := r.StartKubo(ctx, "kubo", rig.KuboOptions{})
	if err != nil {
		return err
	}
	defer os.RemoveAll(kubo.Repo)
	defer kubo.Kill()
	if err := kubo.Connect(ctx, source.Addrs[0]); err != nil {
		return err
	}
	// Kubo would pin them in ten minutes. It adds them faster, and Holdfast then gets them
	// from it.
	say("adding a million blocks to Kubo")
	many, err := kubo.AddFile(ctx, rig.Random(4, 1<<20*1<<10), 1<<10)
	if err != nil {
		return fmt.Errorf("add a million blocks: %w", err)
	}
	if _, err := kubo.Run(ctx, nil, "pin", "add", "--progress=false", many); err != nil {
		return err
	}
	server, client, err := startHoldfast(ctx, r, nil)
	if err != nil {
		return err
	}
	defer os.RemoveAll(server.Data.Dir)
	defer server.Kill()
	say("pinning them in Holdfast")
	if _, _, err := pinInHoldfast(ctx, client, many, kubo.Addrs); err != nil {
		return fmt.Errorf("pin a million blocks: %w\n%s", err, server.Tail())
	}
	res := row{name: unpinRow, target: unpinTarget}
	for range 3 {
		if _, err := pinInKubo(ctx, kubo, c.small.cid); err != nil {
			return err
		}
		_, id, err := pinInHoldfast(ctx, client, c.small.cid, source.Addrs)
		if err != nil {
			return err
		}
		k, err := unpinInKubo(ctx, kubo, c.small.cid)
		if err != nil {
			return err
		}
		h, err := unpinInHoldfast(ctx, server, client, id)
		if err != nil {
			return fmt.Errorf("%w\n%s", err, server.Tail())
		}
		say("%s: Kubo %.2f s, Holdfast %.2f s", unpinRow, k.Seconds(), h.Seconds())
		res.kubo, res.holdfast = append(res.kubo, k), append(res.holdfast, h)
	}
	fmt.Fprintf(out, "\nThe same while 1,054,000 other blocks stay, medians of 3\n\n")
	return printRows(out, []row{res})
}

const (
	rowsInARow = 20
	// gapTarget is the maximum time without a block while the source is asked for some.
	gapTarget = 2 * time.Second
)

// inARow pins the same DAG again and again, each time in a fresh server. It prints the longest time
// without a block, and how many blocks were asked for again.
func inARow(ctx context.Context, r *rig.Rig, source *rig.Kubo, c *content, out io.Writer, say func(string, ...any)) error {
	fmt.Fprintf(out, "\n%s, %d times in a row\n\n", c.blocks.name, rowsInARow)
	worst := time.Duration(0)
	for i := range rowsInARow {
		server, client, err := startHoldfast(ctx, r, nil)
		if err != nil {
			return err
		}
		took, _, err := pinInHoldfast(ctx, client, c.blocks.cid, source.Addrs)
		if err == nil {
			err = server.Stop()
		}
		if err != nil {
			server.Kill()
			return fmt.Errorf("%w\n%s", err, server.Tail())
		}
		gap, again, err := howItWent(server.Tail())
		if err != nil {
			return err
		}
		worst = max(worst, gap)
		say("%d of %d in a row: %.2f s", i+1, rowsInARow, took.Seconds())
		fmt.Fprintf(out, "%2d: %.2f s, longest gap %v, %s asked again\n", i+1, took.Seconds(), gap, again)
		if err := os.RemoveAll(server.Data.Dir); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(out, "longest gap of all: %v; target under %v: %s\n", worst, gapTarget, verdict(worst < gapTarget))
	return err
}

// howItWent reads what the server's log says of its only pin.
func howItWent(log string) (gap time.Duration, again string, err error) {
	for line := range strings.Lines(log) {
		if !strings.Contains(line, "msg=pinned") {
			continue
		}
		for _, field := range strings.Fields(line) {
			key, value, _ := strings.Cut(field, "=")
			switch key {
			case "asked_again":
				again = value
			case "longest_gap":
				if gap, err = time.ParseDuration(value); err != nil {
					return 0, "", fmt.Errorf("read the log: %w", err)
				}
			}
		}
		return gap, again, nil
	}
	return 0, "", fmt.Errorf("the log does not say that it was pinned:\n%s", log)
}
