package backup_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/backup"
	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/node/walk"
	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store"
)

var account = uuid.NewString()

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// opened is a store that was opened, and its directory.
type opened struct {
	*store.Store
	dir   string
	close func()
}

func open(tb testing.TB, dir string) *opened {
	tb.Helper()
	lock, err := store.Lock(dir)
	must(tb, err)
	s, err := store.Open(tb.Context(), lock, store.Config{Logger: slog.New(slog.DiscardHandler), FreeSpace: roomy})
	must(tb, err)
	o := &opened{Store: s, dir: dir, close: sync.OnceFunc(func() {
		must(tb, s.Close())
		must(tb, lock.Close())
	})}
	tb.Cleanup(o.close)
	return o
}

// roomy is a disk that is never full.
func roomy(string) (uint64, error) { return 1 << 40, nil }

// freeSlot is a worker that is always free.
type freeSlot struct{}

func (freeSlot) Acquire(ctx context.Context) error { return ctx.Err() }
func (freeSlot) Release()                          {}

// pinDAG pins a DAG, whose root is the last block, as a client and a walk do.
func (o *opened) pinDAG(ctx context.Context, net *walktest.Network, root cid.Cid, name string) (pin.Request, error) {
	r, err := o.Add(ctx, account, pin.Spec{CID: root.String(), Root: root, Name: name})
	if err != nil {
		return r, err
	}
	a, complete, err := o.Begin(ctx, r.DAG())
	if err != nil || complete {
		return r, err
	}
	asker := net.Asker(16, 1)
	defer asker.Close()
	totals, err := walk.Run(ctx, walk.Config{Store: o.Store, Asker: asker}, pin.Job{
		DAG: r.DAG(), Attempt: a, Progress: new(pin.Progress), Slot: freeSlot{},
	})
	if err != nil {
		return r, err
	}
	_, err = o.Store.Complete(ctx, r.DAG(), a, totals)
	return r, err
}

func (o *opened) unpin(ctx context.Context, id string) error {
	_, released, err := o.Remove(ctx, account, id)
	if err != nil {
		return err
	}
	for _, a := range released {
		if err := o.Drop(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

// snapshot is a store's, in the words of a backup.
type snapshot struct{ *store.Snapshot }

func (s snapshot) Block(ctx context.Context, h multihash.Multihash) ([]byte, error) {
	data, err := s.Snapshot.Block(ctx, h)
	switch {
	case errors.Is(err, store.ErrNoBlock):
		return nil, backup.ErrNoBlock
	case errors.Is(err, pin.ErrUnreadable):
		return nil, backup.ErrUnreadable
	}
	return data, err
}

func run(tb testing.TB, o *opened, p backup.Place, k *backup.Key) *backup.Manifest {
	tb.Helper()
	m, err := backup.Run(tb.Context(), config(tb, p, k), o.take(tb))
	must(tb, err)
	return m
}

func config(tb testing.TB, p backup.Place, k *backup.Key) backup.Config {
	return backup.Config{
		Place: p, Key: k, Store: "test", Version: "test", Temp: tb.TempDir(), Now: time.Now,
		Logger: slog.New(slog.NewTextHandler(tb.Output(), nil)),
	}
}

func (o *opened) take(tb testing.TB) func() (backup.Snapshot, error) {
	return func() (backup.Snapshot, error) {
		sn, err := o.Snapshot(tb.Context())
		if err != nil {
			return nil, err
		}
		tb.Cleanup(sn.Close)
		return snapshot{sn}, nil
	}
}

// restore restores a backup into a directory.
func restore(tb testing.TB, dir string, p backup.Place, k *backup.Key, id string) backup.Restored {
	tb.Helper()
	m, err := backup.Find(tb.Context(), p, k, id)
	must(tb, err)
	lock, err := store.Lock(dir)
	must(tb, err)
	t, err := store.Restore(tb.Context(), lock, m.ID, m.Layout, store.Config{FreeSpace: roomy})
	must(tb, err)
	done, err := backup.Restore(tb.Context(), p, k, m, t, nil)
	must(tb, err)
	must(tb, t.Finish())
	must(tb, t.Close())
	must(tb, lock.Close())
	return done
}

// pins lists all requests, as text.
func (o *opened) pins(tb testing.TB) (all []string) {
	tb.Helper()
	page, err := o.Store.List(tb.Context(), account, pin.Query{Limit: 1000})
	must(tb, err)
	for _, r := range page.Requests {
		all = append(all, fmt.Sprint(r.ID, " ", r.Status, " ", r.Root, " ", r.Name))
	}
	slices.Sort(all)
	return all
}

// verify hashes all that is pinned, and looks for links that do not fit.
func (o *opened) verify(tb testing.TB) {
	tb.Helper()
	report, err := o.Store.Verify(tb.Context(), func(d store.Damage) error {
		tb.Errorf("block %s is %s", d.CID(), d.Kind)
		return nil
	}, func(store.VerifyProgress) {})
	must(tb, err)
	if report.BadRecords > 0 || report.Strays > 0 {
		tb.Errorf("verify found %d bad records and %d strays", report.BadRecords, report.Strays)
	}
}

// dags makes trees that share leaves, and a network that has them.
func dags(n int) (roots []cid.Cid, net *walktest.Network) {
	leaves := dagtest.Leaves(60, 2000)
	net = walktest.NewNetwork(leaves...)
	for i := range n {
		some := append([]blocks.Block{dagtest.Raw(fmt.Sprint("own ", i))}, leaves[i%40:i%40+20]...)
		tree := dagtest.Tree(some, 5)
		net.Add(tree...)
		net.Add(some...)
		roots = append(roots, dagtest.Last(tree))
	}
	return roots, net
}

func place(tb testing.TB) backup.Place {
	p, err := backup.OpenPlace(tb.TempDir())
	must(tb, err)
	return p
}

// What is backed up is what is restored, and the next backup writes what is new.
func TestRestore(t *testing.T) {
	for name, key := range map[string]*backup.Key{"plain": nil, "sealed": newKey(t)} {
		t.Run(name, func(t *testing.T) {
			o, p := open(t, t.TempDir()), place(t)
			roots, net := dags(12)
			var first pin.Request
			for i, root := range roots[:10] {
				r, err := o.pinDAG(t.Context(), net, root, fmt.Sprint("pin ", i))
				must(t, err)
				if i == 0 {
					first = r
				}
			}
			_, err := o.Add(t.Context(), account, pin.Spec{CID: roots[11].String(), Root: roots[11]})
			must(t, err) // it stays queued
			before := o.pins(t)
			m := run(t, o, p, key)
			if m.NewBlocks != m.Blocks || m.Blocks < 60 || m.DamagedBlocks > 0 {
				t.Errorf("the first backup: %+v", m)
			}
			must(t, o.unpin(t.Context(), first.ID))
			_, err = o.pinDAG(t.Context(), net, roots[10], "later")
			must(t, err)
			after := o.pins(t)
			m2 := run(t, o, p, key)
			if m2.NewBlocks == 0 || m2.NewBlocks > 8 {
				t.Errorf("the second backup wrote %d blocks of %d", m2.NewBlocks, m2.Blocks)
			}
			if m3 := run(t, o, p, key); m3.NewBlocks != 0 || m3.Blocks != m2.Blocks {
				t.Errorf("the third backup wrote %d blocks, and has %d of %d", m3.NewBlocks, m3.Blocks, m2.Blocks)
			}
			for id, want := range map[string][]string{m.ID: before, m2.ID: after} {
				dir := t.TempDir()
				if done := restore(t, dir, p, key, id); len(done.Damaged) > 0 || done.Missing > 0 {
					t.Errorf("restored with damage: %+v", done)
				}
				back := open(t, dir)
				if got := back.pins(t); !slices.Equal(got, want) {
					t.Errorf("restored %s, want %s", strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
				back.verify(t)
				// What was unpinned is given back there as anywhere.
				page, err := back.Store.List(t.Context(), account, pin.Query{Limit: 1000})
				must(t, err)
				for _, r := range page.Requests {
					must(t, back.unpin(t.Context(), r.ID))
				}
				_, err = back.Reclaim(t.Context(), nil)
				must(t, err)
				if st, err := back.Stats(t.Context()); err != nil || st.Live.Blocks+st.Dead.Blocks > 0 {
					t.Errorf("after all was unpinned there are %+v %+v: %v", st.Live, st.Dead, err)
				}
				back.close()
			}
			checked, err := backup.Check(t.Context(), p, key, func(backup.Progress) {}, func(f backup.Fault) error {
				t.Errorf("fault %+v", f)
				return nil
			})
			if err != nil || checked.Backups != 3 || checked.Blocks < m.Blocks {
				t.Errorf("checked %+v: %v", checked, err)
			}
		})
	}
}

// A backup under load has one instant, and all that is pinned in it.
func TestBackupUnderLoad(t *testing.T) {
	o, p := open(t, t.TempDir()), place(t)
	roots, net := dags(40)
	ctx, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	defer load.Wait()
	defer stop()
	for w := range 3 {
		load.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 11))
			var mine []string
			for n := 0; ctx.Err() == nil; n++ {
				// Each DAG has one worker, since it is fetched once at a time.
				root := roots[w+3*rng.IntN(len(roots)/3)]
				r, err := o.pinDAG(ctx, net, root, fmt.Sprint(w, " ", n))
				if ctx.Err() != nil {
					return
				}
				if err != nil {
					t.Errorf("pin: %v", err)
					return
				}
				if mine = append(mine, r.ID); len(mine) > 4 {
					i := rng.IntN(len(mine))
					if err := o.unpin(ctx, mine[i]); err != nil && ctx.Err() == nil {
						t.Errorf("unpin: %v", err)
						return
					}
					mine = slices.Delete(mine, i, i+1)
				}
			}
		})
	}
	load.Go(func() {
		for ctx.Err() == nil {
			if _, err := o.Reclaim(ctx, nil); err != nil && ctx.Err() == nil {
				t.Errorf("reclaim: %v", err)
			}
		}
	})
	for range rounds(t) {
		m := run(t, o, p, nil)
		dir := t.TempDir()
		if done := restore(t, dir, p, nil, m.ID); len(done.Damaged) > 0 {
			t.Errorf("restored %+v", done)
		}
		back := open(t, dir)
		back.verify(t)
		back.close()
		must(t, os.RemoveAll(dir))
		_, err := backup.Prune(t.Context(), p, nil, backup.Keep{Last: 2}, time.Now())
		must(t, err)
	}
}

// A restore that is cut off goes on, and nobody opens what it left meanwhile.
func TestRestoreCutOff(t *testing.T) {
	o, p := open(t, t.TempDir()), place(t)
	roots, net := dags(10)
	for _, root := range roots {
		_, err := o.pinDAG(t.Context(), net, root, "")
		must(t, err)
	}
	want := o.pins(t)
	m := run(t, o, p, nil)
	dir := t.TempDir()
	for cut := 1; ; cut++ {
		lock, err := store.Lock(dir)
		must(t, err)
		r, err := store.Restore(t.Context(), lock, m.ID, m.Layout, store.Config{FreeSpace: roomy})
		must(t, err)
		_, err = backup.Restore(t.Context(), p, nil, m, &cutOff{r, cut * cut}, nil)
		if err == nil {
			must(t, r.Finish())
			must(t, r.Close())
			must(t, lock.Close())
			break
		}
		if !errors.Is(err, errCut) {
			t.Fatal(err)
		}
		must(t, r.Close())
		if _, err := store.Open(t.Context(), lock, store.Config{}); !errors.Is(err, store.ErrRestoring) {
			t.Errorf("opened what is being restored: %v", err)
		}
		if _, err := store.Restore(t.Context(), lock, "another", m.Layout, store.Config{}); !errors.Is(err, store.ErrNotEmpty) {
			t.Errorf("began to restore another: %v", err)
		}
		must(t, lock.Close())
	}
	back := open(t, dir)
	if got := back.pins(t); !slices.Equal(got, want) {
		t.Errorf("restored %v, want %v", got, want)
	}
	back.verify(t)
	back.close()
	lock, err := store.Lock(dir)
	must(t, err)
	defer lock.Close()
	if _, err := store.Restore(t.Context(), lock, m.ID, m.Layout, store.Config{}); !errors.Is(err, store.ErrNotEmpty) {
		t.Errorf("restored over a store: %v", err)
	}
}

var errCut = errors.New("cut off")

// cutOff fails after so many calls.
type cutOff struct {
	*store.Restoring
	left int
}

func (c *cutOff) Record(key, value []byte) error {
	if c.left--; c.left < 0 {
		return errCut
	}
	return c.Restoring.Record(key, value)
}

func (c *cutOff) Block(h multihash.Multihash, data []byte) error {
	if c.left--; c.left < 0 {
		return errCut
	}
	return c.Restoring.Block(h, data)
}

// A backup that is cut off leaves the one before as it was, and the next removes what is
// left of it.
func TestBackupCutOff(t *testing.T) {
	o, dir := open(t, t.TempDir()), t.TempDir()
	p, err := backup.OpenPlace(dir)
	must(t, err)
	roots, net := dags(20)
	_, err = o.pinDAG(t.Context(), net, roots[0], "")
	must(t, err)
	good := run(t, o, p, nil)
	for _, root := range roots[1:] {
		_, err := o.pinDAG(t.Context(), net, root, "")
		must(t, err)
	}
	for cut := range 5 {
		_, err := backup.Run(t.Context(), config(t, &failing{p, cut}, nil), o.take(t))
		if !errors.Is(err, errCut) {
			t.Fatalf("cut off after %d files: %v", cut, err)
		}
		all, err := backup.List(t.Context(), p, nil)
		if err != nil || len(all) != 1 || all[0].ID != good.ID {
			t.Fatalf("after a backup that was cut off there are %v: %v", all, err)
		}
		if done := restore(t, t.TempDir(), p, nil, ""); len(done.Damaged) > 0 {
			t.Errorf("restored %+v", done)
		}
	}
	last := run(t, o, p, nil)
	runs, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range runs {
		if e.IsDir() && e.Name() != good.ID && e.Name() != last.ID {
			t.Errorf("%s is left of a backup that was cut off", e.Name())
		}
	}
}

// failing fails once so many files were put.
type failing struct {
	backup.Place
	left int
}

func (f *failing) Put(ctx context.Context, name string, size int64, r io.Reader) error {
	if f.left--; f.left < 0 {
		return errCut
	}
	return f.Place.Put(ctx, name, size, r)
}

// Whatever byte is another one, a check names the file.
func TestCheck(t *testing.T) {
	o, dir := open(t, t.TempDir()), t.TempDir()
	p, err := backup.OpenPlace(dir)
	must(t, err)
	roots, net := dags(3)
	for _, root := range roots {
		_, err := o.pinDAG(t.Context(), net, root, "")
		must(t, err)
	}
	cfg := config(t, p, nil)
	cfg.Keys = map[string][]byte{"node.key": []byte("a key")}
	m, err := backup.Run(t.Context(), cfg, o.take(t))
	must(t, err)
	rng := rand.New(rand.NewPCG(1, 2))
	for _, name := range []string{"records", "blocks", "000001.car", "keys/node.key", "manifest.json"} {
		path := filepath.Join(dir, m.ID, name)
		whole, err := os.ReadFile(path)
		must(t, err)
		for _, damage := range []string{"flipped", "cut", "missing"} {
			bad := slices.Clone(whole)
			switch damage {
			case "flipped":
				bad[rng.IntN(len(bad))] ^= 0x10
			case "cut":
				bad = bad[:rng.IntN(len(bad))]
			}
			must(t, os.WriteFile(path, bad, 0o600))
			if damage == "missing" {
				must(t, os.Remove(path))
			}
			var faults []backup.Fault
			c, err := backup.Check(t.Context(), p, nil, func(backup.Progress) {}, func(f backup.Fault) error {
				faults = append(faults, f)
				return nil
			})
			if name == "manifest.json" {
				if err == nil && damage != "missing" && !strings.Contains(fmt.Sprint(faults), m.ID) {
					t.Errorf("%s %s: %v", name, damage, faults)
				}
			} else if err != nil || len(faults) != 1 || c.Faults != 1 || faults[0].File != m.ID+"/"+name {
				t.Errorf("%s %s: faults %v, error %v", name, damage, faults, err)
			}
		}
		must(t, os.WriteFile(path, whole, 0o600))
	}
}

// What a damaged pack still has is restored, and what is missing is named.
func TestRestoreDamaged(t *testing.T) {
	o, dir := open(t, t.TempDir()), t.TempDir()
	p, err := backup.OpenPlace(dir)
	must(t, err)
	roots, net := dags(3)
	for _, root := range roots {
		_, err := o.pinDAG(t.Context(), net, root, "")
		must(t, err)
	}
	m := run(t, o, p, nil)
	path := filepath.Join(dir, m.Packs[0].Name)
	b, err := os.ReadFile(path)
	must(t, err)
	at := slices.Index(b[len(b)/3:], 0) // within some block
	b[len(b)/3+at] ^= 1
	must(t, os.WriteFile(path, b, 0o600))
	back := t.TempDir()
	done := restore(t, back, p, nil, "")
	if done.Missing == 0 || done.Missing > 2 || len(done.MissingNamed) != int(done.Missing) || len(done.Damaged) == 0 {
		t.Errorf("restored %+v", done)
	}
	// The next backup does not go on from what is damaged only if a list is; a check
	// tells of a pack. What was lost is written anew once the pack is gone.
	must(t, os.Remove(path))
	again := run(t, o, p, nil)
	if again.NewBlocks != m.Blocks {
		t.Errorf("with the pack gone %d blocks were written of %d", again.NewBlocks, m.Blocks)
	}
	if done := restore(t, t.TempDir(), p, nil, again.ID); done.Missing > 0 {
		t.Errorf("restored %+v", done)
	}
}

// Backups that need not stay are removed, and files with the last backup that needs them.
func TestPrune(t *testing.T) {
	o, dir := open(t, t.TempDir()), t.TempDir()
	p, err := backup.OpenPlace(dir)
	must(t, err)
	roots, net := dags(40)
	var requests []pin.Request
	for round := range 5 {
		for _, root := range roots[round*8 : round*8+8] {
			r, err := o.pinDAG(t.Context(), net, root, "")
			must(t, err)
			requests = append(requests, r)
		}
		run(t, o, p, nil)
	}
	for _, r := range requests[:32] {
		must(t, o.unpin(t.Context(), r.ID))
	}
	last := run(t, o, p, nil)
	pruned, err := backup.Prune(t.Context(), p, nil, backup.Keep{Last: 2}, time.Now())
	if err != nil || len(pruned.Backups) != 4 || pruned.Files == 0 {
		t.Errorf("pruned %+v: %v", pruned, err)
	}
	_, err = backup.Prune(t.Context(), p, nil, backup.Keep{}, time.Now())
	must(t, err)
	all, err := backup.List(t.Context(), p, nil)
	if err != nil || len(all) != 1 || all[0].ID != last.ID {
		t.Fatalf("left are %v: %v", all, err)
	}
	needed := map[string]bool{}
	for _, pk := range last.Packs {
		needed[pk.Name] = true
	}
	must(t, filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		rel, _ := filepath.Rel(dir, path)
		if err == nil && strings.HasSuffix(path, ".car") && !needed[filepath.ToSlash(rel)] {
			t.Errorf("%s is left", rel)
		}
		return err
	}))
	if done := restore(t, t.TempDir(), p, nil, ""); done.Missing > 0 || len(done.Damaged) > 0 {
		t.Errorf("restored %+v", done)
	}
	if keep, err := backup.Prune(t.Context(), p, nil, backup.Keep{Within: time.Hour}, time.Now()); err != nil || len(keep.Backups) > 0 {
		t.Errorf("pruned what is young: %+v: %v", keep, err)
	}
}

// A reclaim leaves what a snapshot has, until that is closed or the disk needs the room.
func TestSnapshotKeepsBlocks(t *testing.T) {
	dir := t.TempDir()
	lock, err := store.Lock(dir)
	must(t, err)
	defer lock.Close()
	free := uint64(1 << 40)
	s, err := store.Open(t.Context(), lock, store.Config{
		Logger: slog.New(slog.DiscardHandler), FreeSpace: func(string) (uint64, error) { return free, nil },
	})
	must(t, err)
	defer s.Close()
	o := &opened{Store: s}
	roots, net := dags(2)
	r, err := o.pinDAG(t.Context(), net, roots[0], "")
	must(t, err)
	sn, err := s.Snapshot(t.Context())
	must(t, err)
	defer sn.Close()
	var hashes []multihash.Multihash
	_, err = sn.Records(t.Context(), func(_, _ []byte) error { return nil }, func(h multihash.Multihash, _ uint64) error {
		hashes = append(hashes, slices.Clone(h))
		return nil
	})
	must(t, err)
	must(t, o.unpin(t.Context(), r.ID))
	report, err := s.Reclaim(t.Context(), nil)
	if err != nil || report.Blocks > 0 {
		t.Errorf("a reclaim deleted %d blocks: %v", report.Blocks, err)
	}
	for _, h := range hashes {
		if _, err := sn.Block(t.Context(), h); err != nil {
			t.Errorf("block %s: %v", h, err)
		}
	}
	free = 300 << 20 // under the floor for new blocks
	report, err = s.Reclaim(t.Context(), nil)
	if err != nil || report.Blocks != uint64(len(hashes)) {
		t.Errorf("on a full disk a reclaim deleted %d blocks of %d: %v", report.Blocks, len(hashes), err)
	}
	if _, err := sn.Block(t.Context(), hashes[0]); !errors.Is(err, store.ErrSnapshotLost) {
		t.Errorf("a block of a snapshot that was given up: %v", err)
	}
}

// Backups of several servers at one place go by their own rules, and none is taken for
// another.
func TestServersShareAPlace(t *testing.T) {
	p := place(t)
	roots, net := dags(2)
	for i, name := range []string{"one", "two", "one", "two"} {
		o := open(t, t.TempDir())
		_, err := o.pinDAG(t.Context(), net, roots[i%2], "")
		must(t, err)
		cfg := config(t, p, nil)
		cfg.Store, cfg.Host = name, "host "+name
		_, err = backup.Run(t.Context(), cfg, o.take(t))
		must(t, err)
	}
	if _, err := backup.Find(t.Context(), p, nil, ""); err == nil || !strings.Contains(err.Error(), "of host one") || !strings.Contains(err.Error(), "of host two") {
		t.Errorf("the newest of two servers: %v", err)
	}
	pruned, err := backup.Prune(t.Context(), p, nil, backup.Keep{Store: "one", Last: 1}, time.Now())
	if err != nil || len(pruned.Backups) != 1 {
		t.Errorf("pruned %+v: %v", pruned, err)
	}
	all, err := backup.List(t.Context(), p, nil)
	must(t, err)
	var left []string
	for _, m := range all {
		left = append(left, m.Store)
		restore(t, t.TempDir(), p, nil, m.ID)
	}
	if !slices.Equal(left, []string{"two", "one", "two"}) {
		t.Errorf("left are %v", left)
	}
}

// What the store lost since the last backup is still in the next one, also if little else of
// its pack is.
func TestLostSinceTheLastBackup(t *testing.T) {
	o, p := open(t, t.TempDir()), place(t)
	roots, net := dags(30)
	var requests []pin.Request
	for _, root := range roots {
		r, err := o.pinDAG(t.Context(), net, root, "")
		must(t, err)
		requests = append(requests, r)
	}
	first := run(t, o, p, nil)
	for _, r := range requests[1:] {
		must(t, o.unpin(t.Context(), r.ID)) // so that the pack is not used any more
	}
	lost := func() (backup.Snapshot, error) {
		s, err := o.take(t)()
		return lossy{s}, err
	}
	m, err := backup.Run(t.Context(), config(t, p, nil), lost)
	must(t, err)
	if m.DamagedBlocks > 0 || m.Blocks == 0 || len(m.Packs) != 1 || m.Packs[0].Name != first.Packs[0].Name {
		t.Errorf("the backup is %+v", m)
	}
	dir := t.TempDir()
	if done := restore(t, dir, p, nil, m.ID); done.Missing > 0 || done.Blocks != m.Blocks {
		t.Errorf("restored %+v", done)
	}
	open(t, dir).verify(t)
	// Without the earlier backup it is damage, and the new one says so to all who use it.
	other := place(t)
	m, err = backup.Run(t.Context(), config(t, other, nil), lost)
	must(t, err)
	if m.DamagedBlocks == 0 || m.Blocks > 0 {
		t.Errorf("the backup is %+v", m)
	}
	c, err := backup.Check(t.Context(), other, nil, func(backup.Progress) {}, func(backup.Fault) error { return nil })
	if err != nil || c.Faults != 1 {
		t.Errorf("checked %+v: %v", c, err)
	}
	if done := restore(t, t.TempDir(), other, nil, ""); done.Missing != m.DamagedBlocks || len(done.MissingNamed) == 0 {
		t.Errorf("restored %+v", done)
	}
}

// lossy has lost every block.
type lossy struct{ backup.Snapshot }

func (lossy) Block(context.Context, multihash.Multihash) ([]byte, error) {
	return nil, backup.ErrUnreadable
}

// A connection that breaks ends a restore, which then goes on; it is not taken for damage.
func TestRestoreFromABrokenConnection(t *testing.T) {
	o, p := open(t, t.TempDir()), place(t)
	roots, net := dags(5)
	for _, root := range roots {
		_, err := o.pinDAG(t.Context(), net, root, "")
		must(t, err)
	}
	m, dir := run(t, o, p, nil), t.TempDir()
	lock, err := store.Lock(dir)
	must(t, err)
	target, err := store.Restore(t.Context(), lock, m.ID, m.Layout, store.Config{FreeSpace: roomy})
	must(t, err)
	if _, err := backup.Restore(t.Context(), breaking{p}, nil, m, target, nil); !errors.Is(err, errCut) {
		t.Errorf("restored from a connection that broke: %v", err)
	}
	must(t, target.Close())
	must(t, lock.Close())
	if done := restore(t, dir, p, nil, m.ID); done.Missing > 0 || len(done.Damaged) > 0 {
		t.Errorf("restored %+v", done)
	}
	open(t, dir).verify(t)
}

// breaking breaks in the middle of each pack.
type breaking struct{ backup.Place }

func (b breaking) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	r, err := b.Place.Get(ctx, name)
	if err != nil || !strings.HasSuffix(name, ".car") {
		return r, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(io.LimitReader(r, 10_000), broken{}), r}, nil
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errCut }

// A backup that finds no room is given up, and leaves nothing.
func TestNoRoom(t *testing.T) {
	o, dir := open(t, t.TempDir()), t.TempDir()
	p, err := backup.OpenPlace(dir)
	must(t, err)
	roots, net := dags(5)
	for _, root := range roots {
		_, err := o.pinDAG(t.Context(), net, root, "")
		must(t, err)
	}
	cfg := config(t, p, nil)
	left := int64(60_000)
	cfg.Room = func(size int64) error {
		if left -= size; left < 0 {
			return pin.ErrDiskFull
		}
		return nil
	}
	if _, err := backup.Run(t.Context(), cfg, o.take(t)); !errors.Is(err, pin.ErrDiskFull) {
		t.Errorf("a backup without room: %v", err)
	}
	names, err := p.List(t.Context(), "")
	if err != nil || !slices.Equal(names, []string{"holdfast-backup.json"}) {
		t.Errorf("left are %v: %v", names, err)
	}
	// A directory that is not the server's own, as at the top of a file system, is no obstacle.
	must(t, os.Mkdir(filepath.Join(dir, "lost+found"), 0o000))
	run(t, o, p, nil)
}

// A manifest that came to the place although writing it failed is removed before what it
// names.
func TestManifestThatFailedGoesFirst(t *testing.T) {
	o, p := open(t, t.TempDir()), place(t)
	roots, net := dags(2)
	_, err := o.pinDAG(t.Context(), net, roots[0], "")
	must(t, err)
	var removed []string
	_, err = backup.Run(t.Context(), config(t, unanswered{p, &removed}, nil), o.take(t))
	if !errors.Is(err, errCut) {
		t.Fatal(err)
	}
	if len(removed) < 4 || !strings.HasSuffix(removed[0], "/manifest.json") {
		t.Errorf("removed were %v", removed)
	}
	if all, err := backup.List(t.Context(), p, nil); err != nil || len(all) > 0 {
		t.Errorf("there are %v: %v", all, err)
	}
}

// unanswered writes manifests, and says that it did not.
type unanswered struct {
	backup.Place
	removed *[]string
}

func (u unanswered) Put(ctx context.Context, name string, size int64, r io.Reader) error {
	err := u.Place.Put(ctx, name, size, r)
	if err == nil && strings.HasSuffix(name, "/manifest.json") {
		err = errCut
	}
	return err
}

func (u unanswered) Remove(ctx context.Context, name string) error {
	*u.removed = append(*u.removed, name)
	return u.Place.Remove(ctx, name)
}
