package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"sync"
	"text/tabwriter"
	"time"
)

// row is one line of the table. Texts are as they are printed; "" is that nothing belongs there.
type row struct {
	part     string // such as P2
	what     string
	kubo     string
	holdfast string
	beside   string // what else Holdfast is measured beside, such as a null node
	result   string
	target   string
	verdict  string // "" is a figure without a target
}

// table has the rows of all parts.
type table struct {
	mu   sync.Mutex
	rows []row
}

func (t *table) add(r row) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows = append(t.rows, r)
}

func (t *table) print(out io.Writer) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\twhat\tKubo\tHoldfast\tbeside\tresult\ttarget\tverdict")
	for _, r := range t.rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.part, r.what, r.kubo, r.holdfast, r.beside, r.result, r.target, r.verdict)
	}
	return w.Flush()
}

func verdict(met bool) string {
	if met {
		return "met"
	}
	return "MISSED"
}

// The following tell how a figure is to be beside its target.

func atLeast(r row, ratio, target float64) row {
	r.result, r.target, r.verdict = fmt.Sprintf("%.1fx", ratio), fmt.Sprintf(">= %.3gx", target), verdict(ratio >= target)
	if target < 2 {
		r.result = fmt.Sprintf("%.2fx", ratio)
	}
	return r
}

func atMost(r row, ratio, target float64) row {
	r.result, r.target, r.verdict = fmt.Sprintf("%.2fx", ratio), fmt.Sprintf("<= %.3gx", target), verdict(ratio <= target)
	return r
}

func within(r row, took, target time.Duration) row {
	r.result, r.target, r.verdict = short(took), "<= "+short(target), verdict(took <= target)
	return r
}

func none(r row, n int) row {
	r.result, r.target, r.verdict = fmt.Sprint(n), "0", verdict(n == 0)
	return r
}

// short writes a time with three digits.
func short(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d >= time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	case d >= 10*time.Millisecond:
		return fmt.Sprintf("%.0f ms", ms(d))
	default:
		return fmt.Sprintf("%.2f ms", ms(d))
	}
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func mib(n uint64) string { return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20)) }

func perSecond(n int, in time.Duration) string {
	return fmt.Sprintf("%.0f/s", float64(n)/in.Seconds())
}

func median[T cmp.Ordered](all []T) T {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}

// percentile99 is what 99 of 100 do not exceed.
func percentile99(all []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)*99/100]
}
