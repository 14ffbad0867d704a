// Command bench measures the APIs of Holdfast and IPFS Cluster: how many requests each
// answers in a second, and within what time it answers 99 of 100. They are measured one
// after the other, in one run, on this machine, and the clients run on it too. It prints a
// table.
//
// Both have 16 accounts and 32 clients with tokens. Nobody has the data of the pins, so
// only the API is measured, and what it keeps on disk: the IPFS daemon behind Cluster never
// finds anything. A list has 1,000 pins. Two things differ. Cluster's accounts all see the
// same 3,000 pins; ours have 1,000 pins each, 16,000 in all. Cluster does not wait for the
// disk before it answers; what Holdfast answered survives a power loss.
//
//	cd e2e && go run ./cluster/bench
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"text/tabwriter"
	"time"
)

const (
	accounts = 16
	clients  = 32
	shared   = 3000             // pins, if all accounts see the same ones
	own      = 1000             // pins of each account, if they do not
	duration = 10 * time.Second // of one measurement
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := bench(ctx, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: error:", err)
		os.Exit(1)
	}
}

// service is a running pinning service.
type service struct {
	addr   string   // host:port
	path   string   // of its pins
	tokens []string // one for each account
	// own is whether each account has pins of its own.
	own bool
}

func bench(ctx context.Context, out, progress io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "holdfast-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	fmt.Fprintln(progress, "building both (Cluster takes some minutes the first time)")
	holdfast, cluster := filepath.Join(dir, "holdfast"), filepath.Join(dir, "cluster")
	if err := build(ctx, "..", holdfast, "./cmd/holdfast"); err != nil {
		return err
	}
	if err := build(ctx, "cluster/service", cluster, "github.com/ipfs-cluster/ipfs-cluster/cmd/ipfs-cluster-service"); err != nil {
		return err
	}
	var results [2]measured
	for i, start := range []func() (*service, func() error, error){
		func() (*service, func() error, error) { return startCluster(ctx, dir, cluster) },
		func() (*service, func() error, error) { return startHoldfast(ctx, dir, holdfast) },
	} {
		s, stop, err := start()
		if err != nil {
			return err
		}
		results[i], err = measure(ctx, s, progress)
		if err = errors.Join(err, stop()); err != nil {
			return err
		}
	}
	return printTable(out, results[0], results[1])
}

func build(ctx context.Context, dir, to, pkg string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", to, pkg)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return nil
}

func printTable(out io.Writer, cluster, holdfast measured) error {
	fmt.Fprintf(out, "%d clients of %d accounts on loopback, %d CPUs, %v each\n\n", clients, accounts, runtime.NumCPU(), duration)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "request\tCluster\tp99\tHoldfast\tp99\tratio\ttarget\t\t")
	for i, c := range cluster {
		h := holdfast[i]
		ratio, verdict := h.rate/c.rate, "met"
		if ratio < 1 {
			verdict = "MISSED"
		}
		fmt.Fprintf(w, "%s\t%.0f/s\t%.1f ms\t%.0f/s\t%.1f ms\t%.1fx\t1x\t%s\t\n",
			c.name, c.rate, ms(c.p99), h.rate, ms(h.p99), ratio, verdict)
	}
	return w.Flush()
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
