package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

const (
	unpinRow    = "unpin and reclaim that directory"
	unpinTarget = 5
	// Pinning a new version must take less than this part of the time for the first version.
	replaceTarget = 0.01
)

// results are the results of all runs.
type results struct {
	rows        []row
	first, next []time.Duration // of replacing
	peaks       peaks           // in all runs
	outPeaks    peaks           // while CARs are sent
	inPeaks     peaks           // while files and CARs are taken
	idle        measuredMemory
}

type row struct {
	name           string
	target         float64
	kubo, holdfast []time.Duration
}

func newResults(c *content) *results {
	r := &results{}
	for _, d := range c.pinned() {
		r.rows = append(r.rows, row{name: d.name, target: d.target})
		if d == c.small {
			r.rows = append(r.rows, row{name: unpinRow, target: unpinTarget})
		}
	}
	r.rows = append(append(r.rows, carRows...), uploadRows...)
	return r
}

func (r *results) add(name string, kubo, holdfast time.Duration) {
	i := slices.IndexFunc(r.rows, func(o row) bool { return o.name == name })
	r.rows[i].kubo = append(r.rows[i].kubo, kubo)
	r.rows[i].holdfast = append(r.rows[i].holdfast, holdfast)
}

func (r *results) print(out io.Writer) error {
	if err := printRows(out, r.rows); err != nil {
		return err
	}
	first, next := median(r.first), median(r.next)
	part := next.Seconds() / first.Seconds()
	_, err := fmt.Fprintf(out, "\nReplace a directory of 100,000 blocks by a version in which one file differs: %.0f ms, %.2f %% of the %.2f s of the first pin; target under %.0f %%: %s\n",
		next.Seconds()*1000, part*100, first.Seconds(), replaceTarget*100, verdict(part < replaceTarget))
	return errors.Join(err, r.printMemory(out))
}

func printRows(out io.Writer, rows []row) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tKubo\tHoldfast\tratio\ttarget\t\t")
	for _, d := range rows {
		kubo, holdfast := median(d.kubo), median(d.holdfast)
		ratio := kubo.Seconds() / holdfast.Seconds()
		fmt.Fprintf(w, "%s\t%.2f s\t%.2f s\t%.1fx\t%.3gx\t%s\t\n", d.name, kubo.Seconds(), holdfast.Seconds(), ratio, d.target, verdict(ratio >= d.target))
	}
	return w.Flush()
}

func verdict(met bool) string {
	if met {
		return "met"
	}
	return "MISSED"
}

func median[T cmp.Ordered](all []T) T {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}
