// Command bench measures Holdfast with the real ipfs-cluster: beneath its peers, beside Kubo and
// beside a node that does nothing; in front of it, beside Holdfast alone; and its API beside that of
// Cluster's own pinning service. All are measured in one run, on this machine, on loopback, and so are
// the clients and the sources. It prints a table with targets.
//
//	cd e2e && go run ./cluster/bench [-only P1,P4] [-scale 0.05] [-runs N]
//
// The parts:
//
//	requests  the API of one Holdfast, beside Cluster's (see requests.go)
//	P1        a DAG of 102,994 blocks of 4 KiB is pinned on 2 nodes of 3
//	P2        10,000 pins of one block each, on 2 of 3
//	P3        pin/rm of what is not pinned, of one node
//	P4        pin/ls of 100,000 pins, while 100 pins are under way
//	P5        1,000 pins are unpinned
//	P6        60 % is unpinned, and its space comes back while pins go on
//	P7        a node with 100,000 pins is started again
//	P8        POST at the front, beside Holdfast alone; P2 through the front
//	P9        requests at the front while one of the peers hangs
//	faults    what is left on nodes after peers and nodes died
//
// Without -only, all of them but requests. Every cluster has fresh data. Its settings are those of
// docs/cluster.md for all kinds of nodes; over Kubos the number of pins at the same time is
// cluster's default, of which its documentation says that more makes Kubo slow. -scale makes
// everything smaller, to try it; targets are for 1.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/holdfast-ipfs/holdfast/e2e/cluster/peers"
	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

func main() {
	b := &bench{say: func(format string, a ...any) { fmt.Fprintf(os.Stderr, format+"\n", a...) }}
	only := flag.String("only", "P1,P2,P3,P4,P5,P6,P7,P8,P9,faults", "the parts to measure")
	flag.Float64Var(&b.scale, "scale", 1, "how large everything is, beside what the targets are for")
	flag.IntVar(&b.runs, "runs", 3, "how often P1, P2, P3 and P5 are run; medians are given")
	flag.IntVar(&b.kuboPins, "kubo-pins", 10, "how many pins each peer over a Kubo has under way")
	flag.StringVar(&b.holdfast, "holdfast", "", "the binary to measure; default is to build it")
	flag.Parse()
	b.only = strings.Split(*only, ",")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := b.run(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: error:", err)
		os.Exit(1)
	}
}

type bench struct {
	only     []string
	scale    float64
	runs     int
	kuboPins int
	holdfast string // "" is the binary built from this commit
	say      func(string, ...any)

	rig     *rig.Rig
	service string // the binary of ipfs-cluster
	table   table
}

// part measures what has some names in the table.
type part struct {
	names []string
	run   func(*bench, context.Context) error
}

// parts are measured in this order. Several that need the same cluster are one.
var parts = []part{
	{[]string{"requests"}, (*bench).requests},
	{[]string{"P1"}, (*bench).blocks},
	{[]string{"P2", "P3", "P5", "P8"}, (*bench).pins},
	{[]string{"P4", "P7"}, (*bench).lists},
	{[]string{"P6"}, (*bench).space},
	{[]string{"P8"}, (*bench).posts},
	{[]string{"P9"}, (*bench).hung},
	{[]string{"faults"}, (*bench).faults},
}

func (b *bench) wants(part string) bool { return slices.Contains(b.only, part) }

// of is a number at the scale of this run.
func (b *bench) of(n int) int { return max(int(float64(n)*b.scale), 1) }

// run measures what is wanted, and prints the table also of parts before one that fails.
func (b *bench) run(ctx context.Context, out io.Writer) (err error) {
	for _, name := range b.only {
		if !slices.ContainsFunc(parts, func(p part) bool { return slices.Contains(p.names, name) }) {
			return fmt.Errorf("there is no part %q", name)
		}
	}
	// Clients keep their connections: what is measured is the service.
	http.DefaultTransport.(*http.Transport).MaxIdleConnsPerHost = 2 * clients
	http.DefaultTransport.(*http.Transport).MaxIdleConns = 0
	b.say("building Holdfast, Kubo and ipfs-cluster (some minutes the first time)")
	if b.rig, err = rig.New(ctx, rig.Options{}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.rig.Close()) }()
	if b.holdfast != "" {
		b.rig.Holdfast = b.holdfast
	}
	if b.service, err = peers.Build(ctx); err != nil {
		return err
	}
	for _, p := range parts {
		if err == nil && slices.ContainsFunc(p.names, b.wants) {
			if err = p.run(b, ctx); err != nil {
				err = fmt.Errorf("%s: %w", strings.Join(p.names, ", "), err)
			}
		}
	}
	fmt.Fprintf(out, "On loopback, %d CPUs, scale %g, medians of %d where there are several runs\n\n", runtime.NumCPU(), b.scale, b.runs)
	return errors.Join(err, b.table.print(out))
}
