//go:build cluster

package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/cluster/peers"
	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// front is a Holdfast in front of a cluster, and a client of it.
type front struct {
	data   *rig.Data
	server *rig.Server
	*rig.Client
}

const alice = "alice@example.org"

// newFront starts one over a world.
func newFront(t *testing.T, ctx context.Context, w *world, env ...string) *front {
	t.Helper()
	var rest, nodes []string
	for _, p := range w.Peers {
		rest = append(rest, p.REST)
	}
	for _, n := range w.nodes {
		nodes = append(nodes, n.rpc())
	}
	f := &front{data: must(suite.NewData())(t)}
	f.data.Env["HOLDFAST_CLUSTER_PEERS"] = strings.Join(rest, ",")
	f.data.Env["HOLDFAST_CLUSTER_NODES"] = strings.Join(nodes, ",")
	for _, kv := range env {
		k, v, _ := strings.Cut(kv, "=")
		f.data.Env[k] = v
	}
	f.start(t)
	check(t, f.data.AddUser(ctx, alice, "correct horse battery"))
	f.Client = rig.NewClient(f.server.HTTP, must(f.data.AddToken(ctx, alice, "test"))(t))
	return f
}

func (f *front) start(t *testing.T) {
	t.Helper()
	f.server = must(f.data.Serve(t.Context()))(t)
	p := f.server.Process
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Log(p.Tail())
		}
	})
	if f.Client != nil {
		f.Client = rig.NewClient(f.server.HTTP, f.Token)
	}
}

// add asks for pins.
func (f *front) add(t *testing.T, ctx context.Context, meta map[string]string, cids ...string) (ids []string) {
	t.Helper()
	for _, c := range cids {
		ids = append(ids, must(f.Client.Add(ctx, rig.Pin{CID: c, Name: c, Meta: meta}))(t).RequestID)
	}
	return ids
}

// awaits waits until pins are pinned.
func (f *front) awaits(t *testing.T, ctx context.Context, ids ...string) (all []rig.PinStatus) {
	t.Helper()
	for _, id := range ids {
		s, err := f.WaitStatus(ctx, id, "pinned", 100*time.Millisecond)
		if err != nil {
			t.Fatalf("%v; it says %v", err, s.Info)
		}
		all = append(all, s)
	}
	return all
}

func (f *front) remove(t *testing.T, ctx context.Context, ids ...string) {
	t.Helper()
	for _, id := range ids {
		check(t, f.Remove(ctx, id))
	}
}

// cluster runs a command of `holdfast cluster`.
func (f *front) cluster(ctx context.Context, args ...string) (string, error) {
	return f.data.Run(ctx, nil, append([]string{"cluster"}, args...)...)
}

// isRight waits until a check finds nothing, while it mends what it finds.
func (f *front) isRight(t *testing.T, ctx context.Context) {
	t.Helper()
	var out string
	err := rig.Poll(ctx, time.Second, func() (ok bool, err error) {
		out, err = f.cluster(ctx, "check", "--repair", "--json")
		var r struct{ Differences []any }
		return err == nil && json.Unmarshal([]byte(out), &r) == nil && len(r.Differences) == 0, nil
	})
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// Accounts pin and unpin, in as many copies as they ask for, and know the sizes.
func TestFront(t *testing.T) {
	ctx := within(t, 5*time.Minute)
	w := newWorld(t, ctx, 3, peers.Options{Min: 1, Max: 1, Concurrent: 32, Username: "holdfast", Password: "secret"})
	secret := filepath.Join(t.TempDir(), "password")
	check(t, os.WriteFile(secret, []byte("secret\n"), 0o600))
	f := newFront(t, ctx, w, "HOLDFAST_CLUSTER_REPLICATION=2", "HOLDFAST_CLUSTER_USERNAME=holdfast", "HOLDFAST_CLUSTER_PASSWORD_FILE="+secret)
	all := append(files(t, ctx, w.source, 2_000, 40, 3), emptyDir, file(t, ctx, w.source, 8, 10_000))
	ids := f.add(t, ctx, nil, all...)
	for i, s := range f.awaits(t, ctx, ids...) {
		if s.Info["blocks"] == "" || s.Info["blocks"] == "0" || len(s.Delegates) < 3 {
			t.Errorf("%s has %v, delegates %v", all[i], s.Info, s.Delegates)
		}
	}
	w.agrees(t, ctx)
	for _, c := range all[:40] {
		if n := w.copies(ctx, c); n != 2 {
			t.Errorf("%s has %d copies", c, n)
		}
	}
	eventually(t, ctx, "it is said where the copies are", func() bool {
		s, err := f.Get(ctx, ids[0])
		return err == nil && s.Info["copies"] == "2" && s.Info["copies_wanted"] == "2" && s.Info["copies_on"] != ""
	})
	// By request, and by account.
	three := f.add(t, ctx, map[string]string{"replication": "3"}, file(t, ctx, w.source, 9, 20))
	f.awaits(t, ctx, three...)
	if _, err := f.Client.Add(ctx, rig.Pin{CID: emptyDir, Meta: map[string]string{"replication": "4"}}); err == nil || !strings.Contains(err.Error(), "the cluster has 3 peers") {
		t.Errorf("4 copies on 3 peers: %v", err)
	}
	must(f.data.Run(ctx, nil, "user", "quota", alice, "--replication", "3"))(t)
	f.isRight(t, ctx)
	eventually(t, ctx, "the account's pins have 3 copies", func() bool {
		for _, c := range all {
			if w.copies(ctx, c) != 3 {
				return false
			}
		}
		return true
	})
	must(f.data.Run(ctx, nil, "user", "quota", alice, "--replication", "1"))(t)
	f.isRight(t, ctx)
	w.agrees(t, ctx)
	f.remove(t, ctx, append(ids, three...)...)
	eventually(t, ctx, "the pinset is empty", func() bool {
		left, err := w.Peers[0].Allocations(ctx)
		return err == nil && len(left) == 0
	})
	w.agrees(t, ctx)
}

// A peer that hangs delays neither the status of a pin nor another pin.
func TestFrontHungPeer(t *testing.T) {
	ctx := within(t, 4*time.Minute)
	w := newWorld(t, ctx, 3, peers.Options{Concurrent: 32})
	f := newFront(t, ctx, w, "HOLDFAST_CLUSTER_REPLICATION=2-3")
	ids := f.add(t, ctx, nil, files(t, ctx, w.source, 3_000, 10, 3)...)
	f.awaits(t, ctx, ids...)
	check(t, w.Peers[2].Signal(syscall.SIGSTOP))
	t.Cleanup(func() { _ = w.Peers[2].Signal(syscall.SIGCONT) })
	more := f.add(t, ctx, nil, files(t, ctx, w.source, 3_100, 10, 3)...)
	f.awaits(t, ctx, more...) // two copies are enough, while the third hangs
	eventually(t, ctx, "it is said who does not answer", func() bool {
		s, err := f.Get(ctx, ids[0])
		return err == nil && s.Info["copies"] == "2" && strings.Contains(s.Info["copies_missing"], "does not answer")
	})
	out, err := f.cluster(ctx, "status")
	if err != nil || !strings.Contains(out, "away: ") || strings.Count(out, "answers") < 2 {
		t.Errorf("the status is %s, %v", out, err)
	}
	check(t, w.Peers[2].Signal(syscall.SIGCONT))
	f.isRight(t, ctx)
	w.agrees(t, ctx)
}

// What a peer acknowledged and had not written when it was killed is asked for again.
func TestFrontKilledBeforeTheBatch(t *testing.T) {
	ctx := within(t, 6*time.Minute)
	w := newWorld(t, ctx, 3, peers.Options{Concurrent: 32, BatchSize: 10_000, BatchAge: 15 * time.Second})
	f := newFront(t, ctx, w, "HOLDFAST_CLUSTER_REPLICATION=2")
	all := files(t, ctx, w.source, 4_000, 60, 3)
	ids := f.add(t, ctx, nil, all...)
	// Every pin was acknowledged by some peer, and none is in the pinset yet.
	eventually(t, ctx, "the pins are asked for", func() bool {
		list, err := f.List(ctx, url.Values{"status": {"pinning"}, "limit": {"1"}})
		return err == nil && list.Count == len(all)
	})
	time.Sleep(2 * time.Second) // the requests are under way; no batch ends within this time
	if in, err := w.Peers[0].Allocations(ctx); err != nil || len(in) > 0 {
		t.Logf("%d pins were written already, %v", len(in), err)
	}
	for _, p := range w.Peers {
		p.Kill()
	}
	for _, p := range w.Peers {
		check(t, p.Launch())
	}
	for _, p := range w.Peers {
		check(t, p.Ready(ctx))
	}
	f.awaits(t, ctx, ids...)
	f.isRight(t, ctx)
	w.agrees(t, ctx)
	if in := must(w.Peers[1].Allocations(ctx))(t); len(in) != len(all) {
		t.Errorf("the pinset has %d of %d", len(in), len(all))
	}
}

// Peers and nodes die, and pins and unpins go on meanwhile. At the end copies, pinset and records
// agree.
func TestFrontEverythingDies(t *testing.T) {
	ctx := within(t, 8*time.Minute)
	w := newWorld(t, ctx, 3, peers.Options{Concurrent: 32, RecoverEvery: 10 * time.Second}, "HOLDFAST_RPC_UNPIN_GRACE=0s")
	f := newFront(t, ctx, w, "HOLDFAST_CLUSTER_REPLICATION=2")
	first := f.add(t, ctx, nil, files(t, ctx, w.source, 5_000, 40, 3)...)
	f.awaits(t, ctx, first...)
	// A node refuses what it is told, and forgets nothing.
	w.nodes[1].stop(t)
	f.remove(t, ctx, first[:20]...)
	eventually(t, ctx, "the pinset has the other half", func() bool {
		left, err := w.Peers[0].Allocations(ctx)
		return err == nil && len(left) == 20
	})
	w.Peers[1].Kill() // with what it was to do
	w.nodes[1].start(t)
	check(t, w.Peers[1].Launch())
	check(t, w.Peers[1].Ready(ctx))
	// A peer and its node die while they pin.
	big := f.add(t, ctx, nil, files(t, ctx, w.source, 5_100, 10, 2_000)...)
	w.Peers[2].Kill()
	w.nodes[2].kill()
	more := f.add(t, ctx, nil, files(t, ctx, w.source, 5_200, 40, 3)...)
	f.remove(t, ctx, more[:20]...)
	w.nodes[2].start(t)
	check(t, w.Peers[2].Launch())
	check(t, w.Peers[2].Ready(ctx))
	// And the front.
	f.server.Kill()
	f.start(t)
	f.awaits(t, ctx, slices.Concat(first[20:], big, more[20:])...)
	// A peer that is killed may lack for good what the others know of the pinset. A check sees that when it
	// reads that peer's.
	var why string
	if err := rig.Poll(ctx, time.Second, func() (bool, error) {
		f.isRight(t, ctx)
		why = w.disagrees(ctx)
		return why == "", nil
	}); err != nil {
		t.Fatalf("%v: %s", err, why)
	}
	if in := must(w.Peers[0].Allocations(ctx))(t); len(in) != 20+10+20 {
		t.Errorf("the pinset has %d", len(in))
	}
}

// A peer is emptied, and no pin ever has fewer copies. Then the front is lost, and another takes its
// place.
func TestFrontDrainAndImport(t *testing.T) {
	ctx := within(t, 8*time.Minute)
	w := newWorld(t, ctx, 3, peers.Options{Concurrent: 32})
	f := newFront(t, ctx, w, "HOLDFAST_CLUSTER_REPLICATION=2")
	all := files(t, ctx, w.source, 6_000, 15, 3)
	ids := f.add(t, ctx, map[string]string{"app": "x"}, all...)
	f.awaits(t, ctx, ids...)
	w.agrees(t, ctx)
	w.nodes[0].restart(t, "HOLDFAST_STORE_MIN_FREE_SPACE=100TiB") // full
	eventually(t, ctx, "the cluster sees that the node is full", func() bool {
		m, err := w.Peers[1].Metrics(ctx, "freespace")
		return err == nil && len(m) == 2
	})
	stop, few := make(chan struct{}), make(chan string, 1)
	go func() {
		defer close(few)
		for {
			for _, c := range all {
				if n := w.copies(ctx, c); n < 2 && ctx.Err() == nil {
					few <- fmt.Sprintf("%s has %d copies", c, n)
					return
				}
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	if out, err := f.cluster(ctx, "drain", w.Peers[0].ID); err != nil {
		t.Fatalf("%s, %v", out, err)
	}
	close(stop)
	if why, ok := <-few; ok {
		t.Log("while a copy moves, another node may be told first: ", why)
	}
	w.agrees(t, ctx)
	if pins := must(w.nodes[0].Pins(ctx))(t); len(pins) != 0 {
		t.Errorf("the peer still has %d pins", len(pins))
	}
	var state struct{ Instance string }
	check(t, json.Unmarshal([]byte(must(f.cluster(ctx, "status", "--json"))(t)), &state))
	f.server.Kill() // for good
	other := newFront(t, ctx, w, "HOLDFAST_CLUSTER_REPLICATION=2")
	if out, err := other.cluster(ctx, "import", "--from", state.Instance, "--rest", alice); err != nil {
		t.Fatalf("%s, %v", out, err)
	}
	eventually(t, ctx, "the pins are there", func() bool {
		list, err := other.List(ctx, url.Values{"status": {"pinned"}})
		return err == nil && list.Count == len(all)
	})
	mine := must(other.All(ctx))(t)
	for _, s := range mine {
		if s.Pin.Meta["app"] != "x" || !slices.Contains(all, s.Pin.Name) {
			t.Errorf("it is %+v", s)
		}
		check(t, other.Remove(ctx, s.RequestID))
	}
	eventually(t, ctx, "the pinset is empty", func() bool {
		left, err := w.Peers[0].Allocations(ctx)
		return err == nil && len(left) == 0
	})
	other.isRight(t, ctx)
	w.agrees(t, ctx)
}
