//go:build cluster

package cluster

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/cluster/peers"
	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// suite has what all tests share.
var suite struct {
	*rig.Rig
	service string // the binary of ipfs-cluster
}

// mixed has the last of three nodes be a Kubo.
var mixed = flag.Bool("mixed", false, "the last of three nodes is a Kubo")

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r, err := rig.New(ctx, rig.Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		return 1
	}
	defer r.Close()
	suite.Rig = r
	if suite.service, err = peers.Build(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		return 1
	}
	return m.Run()
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), d, fmt.Errorf("not done within %s", d))
	t.Cleanup(cancel)
	return ctx
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// must stops the test on an error: x := must(f())(t).
func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		check(t, err)
		return v
	}
}

// eventually waits until something is so.
func eventually(t *testing.T, ctx context.Context, what string, is func() bool) {
	t.Helper()
	if err := rig.Poll(ctx, 100*time.Millisecond, func() (bool, error) { return is(), nil }); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// file adds a file of so many chunks of 1 KiB to a Kubo.
func file(t *testing.T, ctx context.Context, k *rig.Kubo, seed uint64, chunks int) string {
	t.Helper()
	return must(k.AddFile(ctx, rig.Random(seed, int64(chunks)<<10), 1<<10))(t)
}

// files adds some, each with a seed of its own.
func files(t *testing.T, ctx context.Context, k *rig.Kubo, seed uint64, n, chunks int) (all []string) {
	t.Helper()
	for i := range n {
		all = append(all, file(t, ctx, k, seed+uint64(i), chunks))
	}
	return all
}

// copies counts the nodes that have all of a DAG. What a Kubo keeps of what was unpinned does not count.
func (w *world) copies(ctx context.Context, cid string) (n int) {
	for _, s := range w.nodes {
		if s.Has(ctx, cid) && (s.kubo == nil || s.pinned(ctx, cid)) {
			n++
		}
	}
	return n
}

// agrees checks that each node has pinned what is allocated to it, and nothing else, and that no
// peer is told that a pin is gone.
func (w *world) agrees(t *testing.T, ctx context.Context) {
	t.Helper()
	var why string
	err := rig.Poll(ctx, 300*time.Millisecond, func() (bool, error) {
		why = w.disagrees(ctx)
		return why == "", nil
	})
	if err != nil {
		t.Fatalf("%v: %s", err, why)
	}
}

func (w *world) disagrees(ctx context.Context) string {
	all, err := w.Peers[0].Allocations(ctx)
	if err != nil {
		return err.Error()
	}
	for i, p := range w.Peers {
		pins, err := w.nodes[i].Pins(ctx)
		if err != nil {
			return err.Error()
		}
		for _, a := range all {
			on := len(a.Allocations) == 0 // everywhere
			for _, id := range a.Allocations {
				on = on || id == p.ID
			}
			if pins[a.CID] != on {
				return fmt.Sprintf("%s is allocated to node %d: %v, and pinned there: %v", a.CID, i, on, pins[a.CID])
			}
			delete(pins, a.CID)
		}
		for c := range pins {
			return fmt.Sprintf("node %d has pinned %s, which is in no pinset", i, c)
		}
	}
	statuses, err := w.Peers[0].Statuses(ctx)
	if err != nil {
		return err.Error()
	}
	for _, s := range statuses {
		for id, is := range s.PeerMap {
			if is.Status != peers.Pinned && is.Status != peers.Remote {
				return fmt.Sprintf("%s is %s at %s: %s", s.CID, is.Status, id, is.Error)
			}
		}
	}
	return ""
}
