package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

func printTimes(out io.Writer, dags []dag) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "DAG\tKubo pin add\tHoldfast\tratio\ttarget\t\t")
	for _, d := range dags {
		kubo, holdfast := median(d.kubo), median(d.holdfast)
		ratio := kubo.Seconds() / holdfast.Seconds()
		verdict := "met"
		if ratio < d.target {
			verdict = "MISSED"
		}
		fmt.Fprintf(w, "%s\t%.2f s\t%.2f s\t%.1fx\t%.0fx\t%s\t\n", d.name, kubo.Seconds(), holdfast.Seconds(), ratio, d.target, verdict)
	}
	return w.Flush()
}

func median(all []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}
