package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

const (
	listedPins = 2000 // requests in the lists; their DAGs are inline in the CIDs
	listings   = 200  // pages of 1,000 of them
)

// measured is what one thing took: in seconds until it was done, and in processor time of the
// server until that was idle again. On a shared machine, trust the second.
type measured struct{ wall, cpu time.Duration }

// sides are the two binaries to compare: the other one, and the one built from this commit.
type sides [2]string

// beside measures another Holdfast and this one in turns, run after run, each on a fresh directory:
// how long pinning, serving, listing and reclaiming take. Both serve blocks to a Holdfast of this
// commit. In every second run this one comes first. It prints medians, and the ratios of each run.
func beside(ctx context.Context, r *rig.Rig, o options, source *rig.Kubo, c *content, out io.Writer, say func(string, ...any)) error {
	other, err := filepath.Abs(o.beside)
	if err != nil {
		return err
	}
	both := sides{other, r.Holdfast}
	var names []string
	took := map[string]*[2][]measured{}
	for i := range o.runs {
		order := []int{0, 1}
		if i%2 == 1 {
			slices.Reverse(order)
		}
		for _, side := range order {
			say("run %d of %d: %s", i+1, o.runs, []string{"the other", "this"}[side])
			add := func(name string, m measured) {
				if took[name] == nil {
					names = append(names, name)
					took[name] = new([2][]measured)
				}
				took[name][side] = append(took[name][side], m)
				say("  %s: %.2f s, %.2f s of processor", name, m.wall.Seconds(), m.cpu.Seconds())
			}
			r.Holdfast = both[side]
			err := one(ctx, r, both[1], source, c, add)
			r.Holdfast = both[1]
			if err != nil {
				return err
			}
		}
	}
	return printBeside(out, names, took, o.runs)
}

// one measures the server r.Holdfast. reader is the binary that gets blocks from it. Without
// content only lists are measured.
func one(ctx context.Context, r *rig.Rig, reader string, source *rig.Kubo, c *content, add func(string, measured)) error {
	server, client, err := startHoldfast(ctx, r, nil)
	if err != nil {
		return err
	}
	defer os.RemoveAll(server.Data.Dir)
	defer server.Kill()
	step := func(name string, f func() (time.Duration, error)) error {
		before, err := idleCPUTime(ctx, server.PID())
		if err != nil {
			return err
		}
		wall, err := f()
		if err != nil {
			return fmt.Errorf("%s: %w\n%s", name, err, server.Tail())
		}
		after, err := idleCPUTime(ctx, server.PID())
		add(name, measured{wall, after - before})
		return err
	}

	if c == nil {
		return errors.Join(list(ctx, client, step), server.Stop())
	}
	ids := map[string]string{}
	for _, d := range c.pinned() {
		err := step("pin "+d.name, func() (took time.Duration, err error) {
			took, ids[d.cid], err = pinInHoldfast(ctx, client, d.cid, source.Addrs)
			return took, err
		})
		if err != nil {
			return err
		}
	}
	if err := serve(ctx, r, reader, server, c, step); err != nil {
		return err
	}
	if err := list(ctx, client, step); err != nil {
		return err
	}
	err = step(unpinRow, func() (time.Duration, error) { return unpinInHoldfast(ctx, server, client, ids[c.small.cid]) })
	return errors.Join(err, server.Stop())
}

// list makes requests, and lists them.
func list(ctx context.Context, client *rig.Client, step func(string, func() (time.Duration, error)) error) error {
	for i := range listedPins {
		if _, err := client.Add(ctx, rig.Pin{CID: rig.IdentityCID(fmt.Append(nil, i)), Name: fmt.Sprint(i)}); err != nil {
			return fmt.Errorf("pin what is listed: %w", err)
		}
	}
	return step(fmt.Sprintf("list 1,000 pins, %d times", listings), func() (time.Duration, error) {
		began := time.Now()
		for range listings {
			page, err := client.List(ctx, url.Values{"limit": {"1000"}, "status": {"queued,pinning,pinned,failed"}})
			if err == nil && len(page.Results) != 1000 {
				err = fmt.Errorf("a page has %d", len(page.Results))
			}
			if err != nil {
				return 0, err
			}
		}
		return time.Since(began), nil
	})
}

// serve makes a fresh reader pin every DAG from the server.
func serve(ctx context.Context, r *rig.Rig, binary string, from *rig.Server, c *content, step func(string, func() (time.Duration, error)) error) error {
	measured := r.Holdfast
	r.Holdfast = binary
	defer func() { r.Holdfast = measured }()
	reader, client, err := startHoldfast(ctx, r, nil)
	if err != nil {
		return err
	}
	defer os.RemoveAll(reader.Data.Dir)
	defer reader.Kill()
	for _, d := range c.pinned() {
		err := step("serve "+d.name, func() (time.Duration, error) {
			took, _, err := pinInHoldfast(ctx, client, d.cid, from.Addrs)
			return took, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func printBeside(out io.Writer, names []string, took map[string]*[2][]measured, runs int) error {
	fmt.Fprintf(out, "Beside another binary, %s; each pair is the other, then this, and the ratios are this to the other, run by run\n\n", medianOf(runs))
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tseconds\t\tratio\tof processor\t\tratio\tratios of processor time\t")
	for _, name := range names {
		of := func(f func(measured) time.Duration) (a, b time.Duration, ratio float64, all []float64) {
			var x, y []time.Duration
			for i, m := range took[name][0] {
				x, y = append(x, f(m)), append(y, f(took[name][1][i]))
				all = append(all, y[i].Seconds()/x[i].Seconds())
			}
			return median(x), median(y), median(all), all
		}
		wallA, wallB, wall, _ := of(func(m measured) time.Duration { return m.wall })
		cpuA, cpuB, cpu, all := of(func(m measured) time.Duration { return m.cpu })
		var ratios []string
		for _, r := range all {
			ratios = append(ratios, fmt.Sprintf("%.2f", r))
		}
		fmt.Fprintf(w, "%s\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%s\t\n", name, wallA.Seconds(), wallB.Seconds(), wall,
			cpuA.Seconds(), cpuB.Seconds(), cpu, strings.Join(ratios, " "))
	}
	return w.Flush()
}
