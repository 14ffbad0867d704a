package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/node/intake"
	"github.com/holdfast-ipfs/holdfast/node/walk"
	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	holding "github.com/holdfast-ipfs/holdfast/store/internal/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
)

// openSmall opens a store of small files.
func openSmall(t *testing.T, dir string, change ...func(*Config)) (*Store, *DirLock) {
	t.Helper()
	lock, err := Lock(dir)
	must(t, err)
	cfg := Config{Now: new(roomtest.Clock).Now}
	for _, f := range change {
		f(&cfg)
	}
	s, err := openWith(t.Context(), lock.dir, cfg.withDefaults(), roomtest.SmallFiles(), migrations())
	must(t, err)
	return s, lock
}

const reclaimChild = "HOLDFAST_TEST_RECLAIM_CHILD"

// TestKilledDuringReclaim kills a process with SIGKILL, at random instants,
// while it pins, takes uploads, unpins and reclaims: then nothing of a complete DAG is missing,
// nor of one that lingers or of an upload that is kept, and a reclaim leaves nothing that no DAG refers to.
func TestKilledDuringReclaim(t *testing.T) {
	if dir := os.Getenv(reclaimChild); dir != "" {
		pinAndReclaimForever(t, dir)
		return
	}
	const lanes = 2 // as many as the cores that tests have
	rounds := roomtest.Rounds(20, 100) / lanes
	seed := seedOf(*killSeed)
	t.Logf("choices are those of -kill-seed=%d", seed)
	for lane := range uint64(lanes) {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			killAndCheck(t, rounds, seed+lane)
		})
	}
}

func killAndCheck(t *testing.T, rounds int, seed uint64) {
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(seed, 0))
	f := newFamily(killFamily).deep()
	var deleted, hashed uint64
	pins, graces := 0, 0
	for round := range rounds {
		killOnce(t, dir, rng.IntN(12), time.Duration(rng.IntN(20_000))*time.Microsecond)
		s, lock := openSmall(t, dir)
		roomtest.CheckInvariants(t, s.kv)
		pins += wantPinned(t, s, f)
		graces += wantGraces(t, s, f)
		if found, r := verify(t, s); len(found) > 0 {
			t.Errorf("round %d: damaged: %v", round, found)
		} else {
			hashed += r.Blocks
			if r.Strays > 0 {
				t.Errorf("round %d: %d blocks are not referred to and were not noted", round, r.Strays)
			}
		}
		released, err := s.held.Released(t.Context())
		must(t, err)
		for _, a := range released {
			must(t, s.held.Drop(t.Context(), a))
		}
		deleted += reclaimAll(t, s)
		wantGraces(t, s, f) // a reclaim leaves them alone
		wantNoOthers(t, s)
		must(t, s.kv.View(t.Context(), func(r *kv.Reader) error { return roomtest.CheckNodes(r) }))
		must(t, s.Close())
		must(t, lock.Close())
		if t.Failed() {
			return
		}
	}
	if deleted == 0 || hashed == 0 || pins == 0 || graces == 0 {
		t.Errorf("%d blocks were deleted, %d hashed, %d pins and %d graces checked: the rounds did nothing", deleted, hashed, pins, graces)
	}
}

// killOnce runs a child and kills it so long after it did so many things.
func killOnce(t *testing.T, dir string, things int, after time.Duration) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledDuringReclaim$")
	cmd.Env = append(os.Environ(), reclaimChild+"="+dir)
	// Badger reads the newest version of its memory without a lock when it
	// collects a file, which is harmless, and which the race detector tells of.
	var noise strings.Builder
	cmd.Stderr = &noise
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	lines := bufio.NewReader(out)
	for range things {
		line, err := lines.ReadString('\n')
		if err != nil || line != "done\n" {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			t.Fatalf("the child says %q, %v\n%s", line, err, noise.String())
		}
	}
	timer := time.AfterFunc(after, func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
	})
	defer timer.Stop()
	rest, err := io.ReadAll(lines)
	must(t, err)
	if err := cmd.Wait(); err == nil || strings.Contains(string(rest), "FAIL") {
		t.Fatalf("the child was not killed: %v\n%s%s", err, rest, noise.String())
	}
}

func pinAndReclaimForever(t *testing.T, dir string) {
	s, _ := openSmall(t, dir)
	f := newFamily(killFamily).deep()
	net := walktest.NewNetwork(f.all()...)
	fail := func(err error) { fmt.Fprintf(os.Stdout, "FAIL %v\n", err) }
	var walking sync.Map // roots: a DAG is fetched once at a time
	for w := range 3 {
		go func() {
			rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), uint64(w)))
			for {
				root := f.roots[rng.IntN(len(f.roots))]
				if _, taken := walking.LoadOrStore(root, true); taken {
					continue
				}
				err := pinAndRemove(t.Context(), s, root, net, rng)
				walking.Delete(root)
				if err != nil {
					fail(err)
					return
				}
				fmt.Fprintln(os.Stdout, "done")
			}
		}()
	}
	for w := range 2 {
		go func() {
			rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), uint64(w+100)))
			share := new(intake.Share)
			for {
				root := f.roots[rng.IntN(len(f.roots))]
				if _, taken := walking.LoadOrStore(root, true); taken {
					continue
				}
				err := uploadAndDrop(t.Context(), s, f, root, share, rng)
				walking.Delete(root)
				if err != nil {
					fail(err)
					return
				}
				fmt.Fprintln(os.Stdout, "done")
			}
		}()
	}
	go func() {
		for {
			if _, err := s.Reclaim(t.Context(), nil); err != nil {
				fail(err)
				return
			}
		}
	}()
	select {} // until killed
}

// killFamily is the seed of the DAGs that are pinned until the kill.
const killFamily = 7

// pinAndRemove pins one of the DAGs, and removes another pin if there are a few.
func pinAndRemove(ctx context.Context, s *Store, root cid.Cid, net *walktest.Network, rng *rand.Rand) error {
	r, err := s.requestRecords.Add(ctx, roomtest.Account, pin.Spec{CID: root.String(), Root: root})
	if err != nil {
		return err
	}
	a, complete, err := s.requestRecords.Begin(ctx, r.DAG())
	if err != nil && !errors.Is(err, pin.ErrNotFound) { // another finished it, and a third removed it
		return err
	}
	if err == nil && !complete {
		asker := net.Asker(1+rng.IntN(30), rng.Uint64())
		defer asker.Close()
		totals, err := walk.Run(ctx, walk.Config{Store: s, Asker: asker}, pin.Job{
			DAG: r.DAG(), Attempt: a, Progress: new(pin.Progress), Slot: roomtest.FreeSlot{},
		})
		if err != nil {
			return err
		}
		if _, _, err := s.requestRecords.Complete(ctx, r.DAG(), a, totals); err != nil && !errors.Is(err, pin.ErrSuperseded) {
			return err
		}
	}
	// Only what is pinned: under others a walk writes.
	page, err := s.requestRecords.List(ctx, roomtest.Account, pin.Query{Statuses: []pin.Status{pin.Pinned}, Limit: 20})
	if err != nil || len(page.Requests) < 5 {
		return err
	}
	old := page.Requests[rng.IntN(len(page.Requests))]
	remove := s.requestRecords.Remove
	if rng.IntN(2) == 0 {
		remove = s.requestRecords.Linger
	}
	_, released, err := remove(ctx, roomtest.Account, old.ID)
	if err != nil {
		return nil // another was faster
	}
	if rng.IntN(3) == 0 {
		e, err := s.requestRecords.EndOldest(ctx, 0, 1)
		if err != nil {
			return err
		}
		released = append(released, e.Released...)
	}
	for _, a := range released {
		if err := s.held.Drop(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

// uploadAndDrop uploads a DAG, or a part of it, in some order. If all of it came, it is pinned
// without a network.
func uploadAndDrop(ctx context.Context, s *Store, f *family, root cid.Cid, share *intake.Share, rng *rand.Rand) error {
	in, err := intake.Begin(ctx, intake.Config{Store: s, Share: share}, pin.Limits{})
	if err != nil {
		return err
	}
	defer in.Close()
	all := f.blocksOf(root)
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	if rng.IntN(3) == 0 {
		all = all[:rng.IntN(len(all))]
	}
	for _, b := range all {
		if _, err := in.Put(ctx, b.Cid(), b.RawData()); err != nil {
			return err
		}
	}
	if err := in.Flush(ctx); err != nil {
		return err
	}
	missing, err := in.Lacks(ctx, root)
	if err != nil {
		return err
	}
	if !missing.Defined() {
		if err := pinAndRemove(ctx, s, root, walktest.NewNetwork(), rng); err != nil {
			return err
		}
	}
	if rng.IntN(3) == 0 {
		if err := s.held.KeepUpload(ctx, roomtest.Account, in.Attempt(), pin.Totals{Blocks: 1, Bytes: 1}); err != nil {
			return err
		}
	}
	if err := in.Close(); err != nil {
		return err
	}
	e, err := s.held.EndOldestUploads(ctx, 0, uint64(rng.IntN(3)))
	if err != nil {
		return err
	}
	for _, a := range append(e.Released, in.Attempt()) { // one that is kept is left alone
		if err := s.held.Drop(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

// wantPinned fails if a block is missing of a DAG that a request says is pinned.
func wantPinned(t *testing.T, s *Store, f *family) (pins int) {
	t.Helper()
	page, err := s.requestRecords.List(t.Context(), roomtest.Account, pin.Query{Limit: 1000})
	must(t, err)
	for _, r := range page.Requests {
		for h := range f.below[r.Root] {
			if _, ok := roomtest.Read(t, s.kv, roomtest.BlockKey(multihash.Multihash(h))); !ok {
				t.Errorf("%s is pinned, and %x of it is missing", r.Root, h)
			}
		}
	}
	return len(page.Requests)
}

// wantGraces fails if a block is missing of a complete DAG that lingers, or of what an upload holds
// that is kept. It gives how many of these there are.
func wantGraces(t *testing.T, s *Store, f *family) (graces int) {
	t.Helper()
	for _, d := range roomtest.LingeringDAGs(t, s.kv) {
		graces++
		for h := range f.below[rootOf(f, d)] {
			if _, ok := roomtest.Read(t, s.kv, roomtest.BlockKey(multihash.Multihash(h))); !ok {
				t.Errorf("%s lingers, and %x of it is missing", d, h)
			}
		}
	}
	kept := map[graph.Holder]bool{}
	for _, key := range roomtest.KeysOf(t, s.kv, roomtest.KKept) {
		kept[holding.TailHolder(key)] = true
	}
	must(t, s.kv.View(t.Context(), func(r *kv.Reader) error {
		var up holding.Climb
		return holding.WantedBlocks(r, func(h multihash.Multihash) error {
			tops, err := up.Above(r, h)
			for _, top := range tops {
				if kept[top] {
					t.Errorf("upload %d is kept, and %x of it is missing", top, h)
				}
			}
			return err
		})
	}))
	return graces + len(kept)
}

// rootOf gives the root of a DAG of the family.
func rootOf(f *family, d pin.DAG) cid.Cid {
	for _, root := range f.roots {
		if pin.DAGOf(root) == d {
			return root
		}
	}
	return cid.Undef
}

// wantNoOthers fails if a block is there that nothing refers to.
func wantNoOthers(t *testing.T, s *Store) {
	t.Helper()
	keys, err := s.held.Blockstore().AllKeysChan(t.Context())
	must(t, err)
	var all []graph.Ref
	for c := range keys {
		all = append(all, graph.Ref{Hash: c.Hash()})
	}
	others, err := s.held.Unclaimed(all)
	must(t, err)
	if len(others) > 0 {
		t.Errorf("%d blocks of %d are there that nothing refers to", len(others), len(all))
	}
}

// A process that is killed while Badger makes a log leaves it empty.
func TestOpenWithUnmadeLogs(t *testing.T) {
	dir := t.TempDir()
	s, lock := openSmall(t, dir)
	b := roomtest.SomeBlocks(42, 1, 3000)[0]
	must(t, roomtest.PutTo(s, t.Context(), 1, []blocks.Block{b}))
	must(t, s.Close())
	must(t, lock.Close())
	for _, name := range []string{"00099.mem", "000099.vlog"} {
		must(t, os.WriteFile(filepath.Join(dir, dbName, name), nil, 0o600))
	}
	s, lock = openSmall(t, dir)
	if !roomtest.Has(t, s, b) {
		t.Error("a block is lost")
	}
	must(t, s.Close())
	must(t, lock.Close())
}
