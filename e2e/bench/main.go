// Command bench measures Holdfast and Kubo, one after the other in one run and from the
// same source. It measures
//
//   - how long each takes to pin some DAGs;
//   - how long each takes to unpin one and give its space back while others stay;
//   - how long each takes to send a DAG as a CAR;
//   - how long each takes to take files and CARs that a client uploads;
//   - the maximum of memory that each takes;
//   - what replacing a large DAG by its next version costs Holdfast;
//   - how long backups and restores take, beside cp and beside Kubo's import of CARs.
//
// It prints a table. Each server has a fresh repository with its usual settings: Kubo's flatfs, and
// our Badger. Both sync what they report as pinned.
//
//	cd e2e && go run ./bench [--runs N] [--full]
//
// With --cars, --uploads, --far or --backups it measures only those; --full adds backups of 3 million blocks.
// With --idle it measures only the memory of an idle Holdfast, for each node.profile, and with every
// transport that it may listen by. With --dead N it measures only what N requests for CIDs that nobody
// has cost, and how long they delay others; --full does that with a million. With --holdfast FILE it
// measures another binary, such as one of an earlier commit. With --beside FILE it measures that binary
// and this one in turns; Kubo is then only their source.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

func main() {
	o := options{}
	flag.IntVar(&o.runs, "runs", 3, "how often everything is run; medians are given")
	flag.BoolVar(&o.full, "full", false, "also a million requests for what nobody has, reclaim beside ten times as many blocks, and pin the same DAG 20 times in a row")
	flag.BoolVar(&o.idle, "idle", false, "measure the memory of an idle server in each profile and with every transport, and nothing else")
	flag.IntVar(&o.dead, "dead", 0, "measure this many requests for CIDs that nobody has, and nothing else")
	flag.BoolVar(&o.uploads, "uploads", false, "measure uploads, and nothing else")
	flag.BoolVar(&o.cars, "cars", false, "measure CARs, and nothing else")
	flag.BoolVar(&o.far, "far", false, "measure a reader far away, and readers near by beside it, and nothing else")
	flag.BoolVar(&o.backups, "backups", false, "measure backups and restores, and nothing else")
	flag.IntVar(&o.beneath, "beneath", 0, "measure what this many pins of one block cost nodes beneath a cluster, and nothing else; also with -beside")
	flag.StringVar(&o.holdfast, "holdfast", "", "the binary to measure; default is to build it")
	flag.BoolVar(&o.lists, "lists", false, "with -beside: measure lists, and nothing else")
	flag.StringVar(&o.beside, "beside", "", "measure this binary and the one that is built in turns, and nothing else")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := bench(ctx, o, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: error:", err)
		os.Exit(1)
	}
}

type options struct {
	runs int
	full bool
	idle bool
	dead int // 0: measure everything else

	uploads bool
	cars    bool
	far     bool
	backups bool
	beneath int // 0: measure everything else

	holdfast string // "" is the binary built from this commit
	beside   string // "" is none
	lists    bool   // of what is measured beside another binary
}

// bench prints results to out and what it is doing to progress.
func bench(ctx context.Context, o options, out, progress io.Writer) (err error) {
	say := func(format string, a ...any) { fmt.Fprintf(progress, format+"\n", a...) }
	say("building both (Kubo takes some minutes the first time)")
	r, err := rig.New(ctx, rig.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if o.holdfast != "" {
		if r.Holdfast, err = filepath.Abs(o.holdfast); err != nil {
			return err
		}
	}
	source, err := r.StartKubo(ctx, "source", withGateway)
	if err != nil {
		return err
	}
	defer source.Kill()
	if o.backups {
		return allBackups(ctx, r, o, source, out, say)
	}
	if o.beneath > 0 {
		return onlyBeneath(ctx, r, o, source, out, say)
	}
	if o.dead > 0 {
		return dead(ctx, r, o.dead, source, out, say)
	}
	if o.uploads {
		return onlyUploads(ctx, r, o.runs, source, out, say)
	}
	if o.far {
		return far(ctx, r, o.runs, source, out, say)
	}
	if o.cars {
		return onlyCARs(ctx, r, o.runs, source, out, say)
	}
	if o.beside != "" && o.lists {
		return beside(ctx, r, o, source, nil, out, say)
	}
	c, err := addContent(ctx, source, say)
	if err != nil {
		return err
	}

	if o.beside != "" {
		return beside(ctx, r, o, source, c, out, say)
	}
	if o.idle {
		return idle(ctx, r, source, c, out, say)
	}
	res := newResults(c)
	for i := range o.runs {
		one := &run{rig: r, source: source, content: c, results: res, last: i == o.runs-1, say: func(format string, a ...any) {
			say("run %d of %d: "+format, append([]any{i + 1, o.runs}, a...)...)
		}}
		if err := one.all(ctx); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "From one Kubo on loopback, %d CPUs, %s\n\n", runtime.NumCPU(), medianOf(o.runs))
	if err := res.print(out); err != nil {
		return err
	}
	if err := allBackups(ctx, r, o, source, out, say); err != nil || !o.full {
		return err
	}
	if err := dead(ctx, r, deadRequests, source, out, say); err != nil {
		return err
	}
	if err := far(ctx, r, o.runs, source, out, say); err != nil {
		return err
	}
	if err := manyStay(ctx, r, source, c, out, say); err != nil {
		return err
	}
	return inARow(ctx, r, source, c, out, say)
}

// allBackups measures backups; with --full also those of many blocks.
func allBackups(ctx context.Context, r *rig.Rig, o options, source *rig.Kubo, out io.Writer, say func(string, ...any)) error {
	err := backups(ctx, r, source, false, out, say)
	if err == nil && o.full {
		err = backups(ctx, r, source, true, out, say)
	}
	return err
}

func medianOf(runs int) string {
	if runs == 1 {
		return "one run"
	}
	return fmt.Sprintf("medians of %d runs", runs)
}
