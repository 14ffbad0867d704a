// Command large pins a DAG of 5 million blocks and a linked list of 100,000 nodes, and
// prints how much memory the server holds meanwhile. The source is in this process and
// makes the blocks as they are asked for. On Linux, as root, the server runs in a memory
// cgroup of 512 MiB, page cache included.
//
//	cd e2e && go run ./large [--leaves N] [--list N]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// memoryTarget is the limit for the server's memory, and the limit of its cgroup.
const memoryTarget = 512 << 20

func main() {
	leaves := flag.Int("leaves", 5_000_000, "leaves of the large DAG")
	list := flag.Int("list", 100_000, "nodes of the list")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *leaves, *list, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "large: error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, leaves, list int, out, progress io.Writer) (err error) {
	fmt.Fprintln(progress, "building the binary, and hashing the DAGs")
	r, err := rig.New(ctx, rig.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	blocks := newBlocks()
	tree := blocks.addTree(leaves)
	chain := blocks.addList(list)
	source, err := serve(ctx, blocks)
	if err != nil {
		return err
	}
	defer source.close()

	s, limited, err := startHoldfast(ctx, r, progress)
	if err != nil {
		return err
	}
	defer s.server.Kill()
	defer limited.remove()
	for _, d := range []struct {
		what   string
		root   string
		blocks int
	}{
		{fmt.Sprintf("a tree of %d leaves of %d bytes", leaves, leafSize), tree.String(), 0},
		{fmt.Sprintf("a linked list of %d nodes", list), chain.String(), list},
	} {
		fmt.Fprintf(out, "\n%s%s\n\n", d.what, limited.note())
		if err := s.pin(ctx, d.root, source.addrs, limited, out); err != nil {
			return fmt.Errorf("%s: %w\n%s", d.what, err, s.server.Tail())
		}
	}
	return s.server.Stop()
}

type holdfast struct {
	server *rig.Server
	client *rig.Client
}

func startHoldfast(ctx context.Context, r *rig.Rig, progress io.Writer) (*holdfast, *cgroup, error) {
	const email, password = "large@example.org", "correct horse battery staple"
	d, err := r.NewData()
	if err != nil {
		return nil, nil, err
	}
	d.Env["HOLDFAST_NODE_ALLOW_PRIVATE_ADDRESSES"] = "true"
	if err := d.AddUser(ctx, email, password); err != nil {
		return nil, nil, err
	}
	limited, err := newCgroup(memoryTarget)
	if err != nil {
		fmt.Fprintln(progress, "no memory cgroup:", err)
	}
	d.Through = limited.through()
	p, err := d.Launch()
	if err != nil {
		return nil, nil, err
	}
	server, err := d.Ready(ctx, p)
	if err != nil {
		p.Kill()
		return nil, nil, err
	}
	token, err := rig.Login(ctx, server.HTTP, email, password)
	if err != nil {
		server.Kill()
		return nil, nil, err
	}
	return &holdfast{server, rig.NewClient(server.HTTP, token)}, limited, nil
}

const (
	sample  = 100 * time.Millisecond
	tellAll = 20 * time.Second
)

// pin pins a DAG and prints the curve of memory over time.
func (h *holdfast) pin(ctx context.Context, root string, origins []string, limited *cgroup, out io.Writer) error {
	began := time.Now()
	st, err := h.client.Add(ctx, rig.Pin{CID: root, Origins: origins})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%8s  %10s  %8s  %8s\n", "time", "blocks", "now", "at most")
	peak, told := uint64(0), time.Time{}
	err = rig.Poll(ctx, sample, func() (bool, error) {
		n, err := rig.OwnMemory(h.server.PID())
		if err != nil {
			return false, err
		}
		peak = max(peak, n)
		if st, err = h.client.Get(ctx, st.RequestID); err != nil {
			return false, err
		}
		done := st.Status == "pinned"
		if done || time.Since(told) >= tellAll {
			told = time.Now()
			fmt.Fprintf(out, "%8s  %10s  %4d MiB  %4d MiB\n", time.Since(began).Round(time.Second), st.Info["blocks"], n>>20, peak>>20)
		}
		if st.Status == "failed" {
			return false, fmt.Errorf("it failed: %s", st.Info["status_details"])
		}
		return done, nil
	})
	if err != nil {
		return err
	}
	verdict := "met"
	if peak > memoryTarget {
		verdict = "MISSED"
	}
	_, err = fmt.Fprintf(out, "pinned in %v; at most %d MiB of its own (RssAnon + RssShmem), target %d MiB: %s%s\n",
		time.Since(began).Round(100*time.Millisecond), peak>>20, memoryTarget>>20, verdict, limited.report())
	return err
}

// cgroup is a cgroup that limits memory. A nil cgroup limits nothing.
type cgroup struct{ dir string }

// newCgroup makes a cgroup, if this process may.
func newCgroup(limit int) (*cgroup, error) {
	const v1 = "/sys/fs/cgroup/memory"
	g, file := &cgroup{fmt.Sprintf("%s/holdfast-large-%d", v1, os.Getpid())}, "memory.limit_in_bytes"
	if _, err := os.Stat(v1); err != nil {
		g.dir, file = fmt.Sprintf("/sys/fs/cgroup/holdfast-large-%d", os.Getpid()), "memory.max"
	}
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(g.dir+"/"+file, []byte(strconv.Itoa(limit)), 0o644); err != nil {
		g.remove()
		return nil, err
	}
	return g, nil
}

// through is a command that runs another command in the group from its first instruction
// on, because the server reads at its start how much memory it has.
func (g *cgroup) through() []string {
	if g == nil {
		return nil
	}
	return []string{"sh", "-c", `echo $$ > "$0/cgroup.procs" && exec "$@"`, g.dir}
}

func (g *cgroup) remove() {
	if g != nil {
		_ = os.Remove(g.dir) // if this fails, it is gone after the next boot
	}
}

func (g *cgroup) note() string {
	if g == nil {
		return ""
	}
	return fmt.Sprintf(", in a memory cgroup of %d MiB", memoryTarget>>20)
}

// report says how often the limit was reached, and whether the kernel killed anything.
func (g *cgroup) report() string {
	if g == nil {
		return ""
	}
	for _, file := range []string{"memory.oom_control", "memory.events"} {
		if b, err := os.ReadFile(g.dir + "/" + file); err == nil {
			return "\n" + file + " of the cgroup: " + strconv.Quote(string(b))
		}
	}
	return ""
}
