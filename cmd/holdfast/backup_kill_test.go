package main

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/backup"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	"github.com/holdfast-ipfs/holdfast/store"
)

var (
	backupKills = flag.Int("backup-kills", 5, "how often a backup, a prune or a restore is killed")
	backupSeed  = flag.Uint64("backup-seed", 0, "repeat the choices of TestKilledBackups; 0 is a new seed")
)

// killed is a data directory, a place with backups of it, and what is in each of them.
type killed struct {
	t     *testing.T
	rng   *rand.Rand
	data  string
	place string
	user  string // the ID of the account

	pins []string            // that the store has now
	of   map[string][]string // what each backup must have, by its ID
	took map[string]time.Duration
	hit  map[string]int // how often a kind of command was killed before it ended
}

// TestKilledBackups kills backups, prunes and restores at random instants: of a command without
// a server, and of a server. The last finished backup stays whole, and what was killed is done by
// the next try.
func TestKilledBackups(t *testing.T) {
	seed := *backupSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("choices are those of -backup-seed=%d", seed)
	k := &killed{
		t: t, rng: rand.New(rand.NewPCG(seed, 0)), data: t.TempDir(), place: t.TempDir(), user: uuid.NewString(),
		of: map[string][]string{}, took: map[string]time.Duration{}, hit: map[string]int{},
	}
	k.store(k.data, func(s *store.Store) {
		k.must(s.CreateAccount(t.Context(), auth.Account{ID: k.user, Email: "alice@example.org", PasswordHash: "x"}))
		for range 40 {
			k.pin(s)
		}
	})
	k.run(k.data, "backup", k.place)
	k.finished()
	kinds := []func(){k.backup, k.restore, k.prune, k.serverBackup, k.serverRestore}
	for round := range *backupKills {
		kinds[round%len(kinds)]()
		k.newestIsWhole()
		if t.Failed() {
			t.Fatalf("after kill %d", round)
		}
	}
	k.run(k.data, "backup", "check", k.place)
	t.Logf("killed before the end: %v", k.hit)
}

func (k *killed) must(err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatal(err)
	}
}

// store opens a data directory while no process has it.
func (k *killed) store(dir string, use func(*store.Store)) {
	k.t.Helper()
	lock, err := store.Lock(dir)
	k.must(err)
	s, err := store.Open(k.t.Context(), lock, store.Config{Logger: slog.New(slog.DiscardHandler), MinFreeSpace: 64 << 20})
	k.must(err)
	use(s)
	k.must(s.Close())
	k.must(lock.Close())
}

// pin pins a new block of up to 1 MiB.
func (k *killed) pin(s *store.Store) {
	k.t.Helper()
	data := make([]byte, 1<<10+k.rng.IntN(1<<20))
	_, _ = rand.NewChaCha8(sha256.Sum256(fmt.Append(nil, k.rng.Uint64()))).Read(data)
	hash, err := multihash.Sum(data, multihash.SHA2_256, -1)
	k.must(err)
	root := cid.NewCidV1(cid.Raw, hash)
	ctx := k.t.Context()
	r, err := s.Add(ctx, k.user, pin.Spec{CID: root.String(), Root: root})
	k.must(err)
	a, _, err := s.Begin(ctx, r.DAG())
	k.must(err)
	k.must(s.Write(ctx, graph.Batch{
		Links:  []graph.Link{{Holder: graph.HolderOf(a), Ref: graph.Ref{Hash: hash, Size: len(data)}, Codec: cid.Raw}},
		Blocks: []graph.Block{{Hash: hash, Data: data}},
	}))
	_, _, err = s.Complete(ctx, r.DAG(), a, pin.Totals{Blocks: 1, Bytes: uint64(len(data))})
	k.must(err)
	k.pins = append(k.pins, r.ID)
}

// change adds and removes pins.
func (k *killed) change() {
	k.t.Helper()
	k.store(k.data, func(s *store.Store) {
		for range 6 {
			k.pin(s)
			i := k.rng.IntN(len(k.pins))
			_, released, err := s.Remove(k.t.Context(), k.user, k.pins[i])
			k.must(err)
			for _, a := range released {
				k.must(s.Drop(k.t.Context(), a))
			}
			k.pins = slices.Delete(k.pins, i, i+1)
		}
	})
}

// run runs a command to its end, and returns how long that took.
func (k *killed) run(data string, args ...string) time.Duration {
	k.t.Helper()
	began := time.Now()
	if out, err := holdfastCmd(k.t, data, args...).CombinedOutput(); err != nil {
		k.t.Fatalf("holdfast %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return time.Since(began)
}

// within waits for a random part of the time that a kind of command takes, and a little more.
func (k *killed) within(kind string) {
	k.t.Helper()
	<-time.After(time.Duration(k.rng.Int64N(int64(k.took[kind]*11/10 + time.Millisecond))))
}

// kill runs a command and kills a process at a random instant: that of the command if victim is
// nil. measure is run once before: it says how long the command takes.
func (k *killed) kill(kind string, victim *os.Process, measure func() time.Duration, data string, args ...string) {
	k.t.Helper()
	if k.took[kind] == 0 {
		k.took[kind] = measure()
	}
	cmd := holdfastCmd(k.t, data, args...)
	k.must(cmd.Start())
	k.within(kind)
	if victim == nil {
		victim = cmd.Process
	}
	_ = victim.Kill() // it may have ended
	if err := cmd.Wait(); err != nil {
		k.hit[kind]++
	}
}

// finished notes what new finished backups must have.
func (k *killed) finished() (all []*backup.Manifest) {
	k.t.Helper()
	p, err := backup.OpenPlace(k.place)
	k.must(err)
	all, err = backup.List(k.t.Context(), p, nil)
	k.must(err)
	for _, m := range all {
		if k.of[m.ID] == nil {
			k.of[m.ID] = slices.Sorted(slices.Values(k.pins))
		}
	}
	return all
}

// newestIsWhole restores the newest finished backup, and all of its pins are whole.
func (k *killed) newestIsWhole() {
	k.t.Helper()
	all := k.finished()
	if len(all) == 0 {
		k.t.Fatal("no backup is left")
	}
	dir := k.t.TempDir()
	k.run(dir, "restore", k.place)
	k.holds(dir, k.of[all[len(all)-1].ID])
	k.must(os.RemoveAll(dir))
}

// holds checks that a data directory has some pins, and all that they need.
func (k *killed) holds(dir string, want []string) {
	k.t.Helper()
	k.store(dir, func(s *store.Store) {
		page, err := s.List(k.t.Context(), k.user, pin.Query{Limit: 1000})
		k.must(err)
		var got []string
		for _, r := range page.Requests {
			got = append(got, r.ID)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			k.t.Errorf("there are %d pins, want %d", len(got), len(want))
		}
		report, err := s.Verify(k.t.Context(), func(d store.Damage) error {
			k.t.Errorf("block %s is %s", d.CID(), d.Kind)
			return nil
		}, func(store.VerifyProgress) {})
		k.must(err)
		if report.Blocks != uint64(len(want)) || report.BadRecords > 0 {
			k.t.Errorf("verify found %+v", report)
		}
	})
}

func (k *killed) backup() {
	k.change()
	k.kill("backup", nil, func() time.Duration {
		took := k.run(k.data, "backup", k.place)
		k.finished()
		k.change()
		return took
	}, k.data, "backup", k.place)
}

// prune also keeps the place small.
func (k *killed) prune() {
	prune := []string{"backup", "prune", k.place, "--keep-last", "2"}
	more := func() {
		for range 2 {
			k.change()
			k.run(k.data, "backup", k.place)
			k.finished()
		}
	}
	more()
	k.kill("prune", nil, func() time.Duration {
		defer more()
		return k.run(k.data, prune...)
	}, k.data, prune...)
	k.finished()
	k.run(k.data, "backup", "check", k.place)
}

func (k *killed) restore() {
	dir := k.t.TempDir()
	k.kill("restore", nil, func() time.Duration { return k.run(k.t.TempDir(), "restore", k.place) }, dir, "restore", k.place)
	if _, err := os.Stat(filepath.Join(dir, "db")); err == nil {
		out, err := holdfastCmd(k.t, dir, "pin", "ls").CombinedOutput()
		if _, done := os.Stat(filepath.Join(dir, "holdfast.restoring")); done == nil && err == nil {
			k.t.Errorf("what is being restored was opened:\n%s", out)
		}
	}
	out, err := holdfastCmd(k.t, dir, "restore", k.place).CombinedOutput()
	if err != nil && !strings.Contains(string(out), "has a store already") { // it had ended
		k.t.Fatalf("restore again: %v\n%s", err, out)
	}
	all := k.finished()
	k.holds(dir, k.of[all[len(all)-1].ID])
	k.must(os.RemoveAll(dir))
}

// serve runs a server until the context ends.
func (k *killed) serve(dir string) *exec.Cmd {
	k.t.Helper()
	cmd := holdfastCmd(k.t, dir, "serve")
	k.must(cmd.Start())
	k.t.Cleanup(func() { // after Wait there is nothing to kill, and both fail
		cmd.Process.Kill()
		cmd.Wait()
	})
	awaitReady(k.t, dir, cmd.Process.Pid)
	return cmd
}

func (k *killed) serverBackup() {
	k.change()
	server := k.serve(k.data)
	k.kill("backup by a server", server.Process, func() time.Duration {
		took := k.run(k.data, "backup", k.place)
		k.finished()
		return took
	}, k.data, "backup", k.place)
	_ = server.Process.Kill()
	_ = server.Wait()
}

func (k *killed) serverRestore() {
	dir := k.t.TempDir()
	server := k.serve(dir)
	k.kill("restore by a server", server.Process, func() time.Duration {
		other := k.t.TempDir()
		s := k.serve(other)
		took := k.run(other, "restore", k.place)
		_ = s.Process.Kill()
		_ = s.Wait()
		return took
	}, dir, "restore", k.place)
	_ = server.Process.Kill()
	_ = server.Wait()
	server = k.serve(dir)
	k.run(dir, "restore", k.place)
	k.run(dir, "store", "reclaim")
	k.run(dir, "restore", k.place) // changes nothing
	k.must(server.Process.Signal(os.Interrupt))
	k.must(server.Wait())
	all := k.finished()
	k.holds(dir, k.of[all[len(all)-1].ID])
	k.must(os.RemoveAll(dir))
}
