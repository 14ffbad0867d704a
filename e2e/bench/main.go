// Command bench measures Holdfast beside Kubo: how long each takes to pin the
// same DAG from the same Kubo, one after the other in one run, and how much
// memory Holdfast holds when it is done and idle. It prints a table.
//
// Each has a fresh repository with its usual settings: Kubo's flatfs, and our
// Badger, which unlike flatfs syncs what it reports as pinned.
//
//	cd e2e && go run ./bench [--full]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

func main() {
	full := flag.Bool("full", false, "run everything three times and give medians")
	flag.Parse()
	runs := 1
	if *full {
		runs = 3
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := bench(ctx, runs, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: error:", err)
		os.Exit(1)
	}
}

// bench prints results to out and what it is doing to progress.
func bench(ctx context.Context, runs int, out, progress io.Writer) (err error) {
	fmt.Fprintln(progress, "building both (Kubo takes some minutes the first time)")
	r, err := rig.New(ctx, rig.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()

	source, err := r.StartKubo(ctx, "source", rig.KuboOptions{})
	if err != nil {
		return err
	}
	defer source.Kill()
	dags := dagsToPin()
	for i := range dags {
		fmt.Fprintf(progress, "adding to the source: %s\n", dags[i].name)
		if dags[i].cid, err = dags[i].add(ctx, source); err != nil {
			return fmt.Errorf("add %s: %w", dags[i].name, err)
		}
	}

	var memory []measuredMemory
	for i := range runs {
		m, err := oneRun(ctx, r, source, dags, func(format string, a ...any) {
			fmt.Fprintf(progress, "run %d of %d: "+format+"\n", append([]any{i + 1, runs}, a...)...)
		})
		if err != nil {
			return err
		}
		memory = append(memory, m)
	}
	fmt.Fprintf(out, "Pin from one Kubo on loopback, %d CPUs, %s\n\n", runtime.NumCPU(), medianOf(runs))
	if err := printTimes(out, dags); err != nil {
		return err
	}
	return printMemory(out, memory)
}

func medianOf(runs int) string {
	if runs == 1 {
		return "one run"
	}
	return fmt.Sprintf("medians of %d runs", runs)
}

// oneRun pins every DAG in a fresh Kubo and a fresh Holdfast, in turns, and
// adds to the DAGs' times.
func oneRun(ctx context.Context, r *rig.Rig, source *rig.Kubo, dags []dag, say func(string, ...any)) (m measuredMemory, err error) {
	kubo, err := r.StartKubo(ctx, "kubo", rig.KuboOptions{})
	if err != nil {
		return m, err
	}
	defer os.RemoveAll(kubo.Repo) // the next run needs the space too
	defer kubo.Kill()
	if err := kubo.Connect(ctx, source.Addrs[0]); err != nil {
		return m, err
	}
	server, client, err := startHoldfast(ctx, r)
	if err != nil {
		return m, err
	}
	defer os.RemoveAll(server.Data.Dir)
	defer server.Kill()

	for i := range dags {
		d := &dags[i]
		took, err := pinInKubo(ctx, kubo, d.cid)
		if err != nil {
			return m, fmt.Errorf("pin %s in Kubo: %w", d.name, err)
		}
		d.kubo = append(d.kubo, took)
		say("%s: Kubo %.2f s", d.name, took.Seconds())
		if took, err = pinInHoldfast(ctx, client, d.cid, source.Addrs); err != nil {
			return m, fmt.Errorf("pin %s in Holdfast: %w\n%s", d.name, err, server.Tail())
		}
		d.holdfast = append(d.holdfast, took)
		say("%s: Holdfast %.2f s", d.name, took.Seconds())
	}
	if m, err = settledMemory(ctx, server.PID()); err != nil {
		return m, err
	}
	say("Holdfast idle: %.0f MiB after %s", mib(m.bytes), m.after.Round(time.Second))
	if err := server.Stop(); err != nil {
		return m, fmt.Errorf("stop holdfast: %w\n%s", err, server.Tail())
	}
	return m, nil
}

func startHoldfast(ctx context.Context, r *rig.Rig) (*rig.Server, *rig.Client, error) {
	const email, password = "bench@example.org", "correct horse battery staple"
	d, err := r.NewData()
	if err != nil {
		return nil, nil, err
	}
	d.Env["HOLDFAST_NODE_ALLOW_PRIVATE_ADDRESSES"] = "true"
	if err := d.AddUser(ctx, email, password); err != nil {
		return nil, nil, err
	}
	s, err := d.Serve(ctx)
	if err != nil {
		return nil, nil, err
	}
	token, err := rig.Login(ctx, s.HTTP, email, password)
	if err != nil {
		s.Kill()
		return nil, nil, err
	}
	return s, rig.NewClient(s.HTTP, token), nil
}

// pinInKubo times the command, from its start to its end.
func pinInKubo(ctx context.Context, k *rig.Kubo, cid string) (time.Duration, error) {
	began := time.Now()
	_, err := k.Run(ctx, nil, "pin", "add", "--progress=false", cid)
	return time.Since(began), err
}

// pinInHoldfast times a pin from the request until it is seen as pinned.
func pinInHoldfast(ctx context.Context, c *rig.Client, cid string, origins []string) (time.Duration, error) {
	// Ten times what Kubo took here for the slowest of the DAGs.
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	began := time.Now()
	s, err := c.Add(ctx, rig.Pin{CID: cid, Origins: origins})
	if err != nil {
		return 0, err
	}
	_, err = c.WaitStatus(ctx, s.RequestID, "pinned", 10*time.Millisecond)
	return time.Since(began), err
}
