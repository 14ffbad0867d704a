package backup_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/backup"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store"
)

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
				givesAllBack(t, back)
				back.close()
			}
			checked, err := backup.Check(t.Context(), p, key, "", func(backup.Progress) {}, func(f backup.Fault) error {
				t.Errorf("fault %+v", f)
				return nil
			})
			if err != nil || checked.Backups != 3 || checked.Blocks < m.Blocks {
				t.Errorf("checked %+v: %v", checked, err)
			}
		})
	}
}

// A restore that is cut off goes on, and nobody opens what it left meanwhile.
func TestRestoreCutOff(t *testing.T) {
	t.Run("short blocks", func(t *testing.T) { cutRestoreOff(t, 2000) })
	t.Run("long blocks", func(t *testing.T) { cutRestoreOff(t, 100_000) })
}

func cutRestoreOff(t *testing.T, size int) {
	o, p := open(t, t.TempDir()), place(t)
	roots, net := dagsOf(10, size)
	for _, root := range roots {
		_, err := o.pinDAG(t.Context(), net, root, "")
		must(t, err)
	}
	want := o.pins(t)
	m := run(t, o, p, nil)
	dir := t.TempDir()
	for cut := 1; ; cut++ {
		r, lock, end := beginRestore(t, dir, m)
		if cut%3 == 0 { // what came until then is kept
			_, err := backup.Restore(t.Context(), p, nil, m, &cutOff{r, cut * cut / 2}, nil)
			if !errors.Is(err, errCut) && err != nil {
				t.Fatal(err)
			}
			must(t, r.Flush())
		}
		_, err := backup.Restore(t.Context(), p, nil, m, &cutOff{r, cut * cut}, nil)
		if err == nil {
			_, err := r.Finish(t.Context())
			must(t, err)
			end()
			break
		}
		if !errors.Is(err, errCut) {
			t.Fatal(err)
		}
		must(t, r.Close())
		if _, err := store.Open(t.Context(), lock, store.Config{}); !errors.Is(err, store.ErrRestoring) {
			t.Errorf("opened what is being restored: %v", err)
		}
		if r.HasRecords() {
			if _, err := store.Restore(t.Context(), lock, "another", m.Layout, store.Choice{}, store.Config{}); !errors.Is(err, store.ErrNotEmpty) {
				t.Errorf("began to restore another: %v", err)
			}
		}
		must(t, lock.Close())
	}
	back := open(t, dir)
	if got := back.pins(t); !slices.Equal(got, want) {
		t.Errorf("restored %v, want %v", got, want)
	}
	back.verify(t)
	givesAllBack(t, back)
	back.close()
	lock, err := store.Lock(dir)
	must(t, err)
	defer lock.Close()
	if _, err := store.Restore(t.Context(), lock, m.ID, m.Layout, store.Choice{}, store.Config{}); !errors.Is(err, store.ErrNotEmpty) {
		t.Errorf("restored over a store: %v", err)
	}
}

// What came until a restore is interrupted is not written again.
func TestRestoreInterrupted(t *testing.T) {
	o, p := open(t, t.TempDir()), place(t)
	roots, net := dagsOf(4, 100_000)
	for _, root := range roots {
		_, err := o.pinDAG(t.Context(), net, root, "")
		must(t, err)
	}
	m := run(t, o, p, nil)
	dir := t.TempDir()
	came := map[string]int{}
	tries := 0
	for cut := true; cut; tries++ {
		if tries == 20 {
			t.Fatal("it does not get on")
		}
		r, _, end := beginRestore(t, dir, m)
		_, err := backup.Restore(t.Context(), p, nil, m, &interrupted{r, 10, came}, nil)
		if cut = errors.Is(err, errCut); !cut {
			must(t, err)
			_, err = r.Finish(t.Context())
			must(t, err)
		}
		end()
	}
	if tries < 2 || len(came) < 20 {
		t.Errorf("%d long blocks came in %d tries", len(came), tries)
	}
	for h, n := range came {
		if n > 1 {
			t.Errorf("block %x was written %d times", h, n)
		}
	}
	back := open(t, dir)
	back.verify(t)
}

// interrupted fails after so many long blocks, and counts how often each came.
type interrupted struct {
	*store.Restoring
	left int
	came map[string]int
}

func (i *interrupted) Block(h multihash.Multihash, data []byte) error {
	if len(data) > 10_000 {
		if i.left--; i.left < 0 {
			return errCut
		}
		i.came[string(h)]++
	}
	return i.Restoring.Block(h, data)
}

// givesAllBack fails unless all that is pinned can be unpinned, and its space is given back.
func givesAllBack(t *testing.T, o *opened) {
	t.Helper()
	page, err := o.Store.List(t.Context(), account, pin.Query{Limit: 1000})
	must(t, err)
	for _, r := range page.Requests {
		must(t, o.unpin(t.Context(), r.ID))
	}
	_, err = o.Reclaim(t.Context(), nil)
	must(t, err)
	if st, err := o.Stats(t.Context()); err != nil || st.Live.Blocks+st.Dead.Blocks > 0 {
		t.Errorf("after all was unpinned there are %+v %+v: %v", st.Live, st.Dead, err)
	}
}

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

// What a damaged pack still has is restored, and what is missing is named.
func TestRestoreDamaged(t *testing.T) {
	o, p, dir, _, net := filled(t, 3)
	m := run(t, o, p, nil)
	path := filepath.Join(dir, m.Packs[0].Name)
	b, err := os.ReadFile(path)
	must(t, err)
	at := slices.Index(b[len(b)/3:], 0) // within some block
	b[len(b)/3+at] ^= 1
	must(t, os.WriteFile(path, b, 0o600))
	dir2 := t.TempDir()
	done, waiting := restoreChoice(t, dir2, p, nil, "", store.Choice{})
	if done.Missing == 0 || done.Missing > 2 || len(done.MissingNamed) != int(done.Missing) || len(done.Damaged) == 0 || waiting == 0 {
		t.Errorf("restored %+v, %d wait", done, waiting)
	}
	// What needs it is fetched again.
	back := open(t, dir2)
	pinning, err := back.Store.List(t.Context(), account, pin.Query{Statuses: []pin.Status{pin.Pinning}, Limit: 10})
	if err != nil || pinning.Count != int(waiting) {
		t.Errorf("%d wait, and pinning are %d: %v", waiting, pinning.Count, err)
	}
	for _, r := range pinning.Requests {
		must(t, back.fetch(t.Context(), net, r))
	}
	back.verify(t)
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

// A connection that breaks ends a restore, which then goes on; it is not taken for damage.
func TestRestoreFromABrokenConnection(t *testing.T) {
	o, p := open(t, t.TempDir()), place(t)
	roots, net := dags(5)
	for _, root := range roots {
		_, err := o.pinDAG(t.Context(), net, root, "")
		must(t, err)
	}
	m, dir := run(t, o, p, nil), t.TempDir()
	target, _, end := beginRestore(t, dir, m)
	if _, err := backup.Restore(t.Context(), breaking{p}, nil, m, target, nil); !errors.Is(err, errCut) {
		t.Errorf("restored from a connection that broke: %v", err)
	}
	end()
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

// A place that drops off half-way ends a restore, which then goes on: what cannot be read since is
// not taken for damage.
func TestRestoreFromAPlaceThatDropsOff(t *testing.T) {
	o, p, _, _, _ := filled(t, 3)
	m := run(t, o, p, nil)
	for name, gone := range map[string]error{"the disk does not answer": syscall.EIO, "nothing is mounted": fs.ErrNotExist} {
		t.Run(name, func(t *testing.T) {
			to := t.TempDir()
			target, _, end := beginRestore(t, to, m)
			done, err := backup.Restore(t.Context(), &droppingOff{Place: p, err: gone}, nil, m, target, nil)
			if !errors.Is(err, gone) {
				t.Errorf("restored %+v: %v", done, err)
			}
			end()
			if done := restore(t, to, p, nil, m.ID); done.Missing > 0 || len(done.Damaged) > 0 {
				t.Errorf("restored %+v", done)
			}
			open(t, to).verify(t)
		})
	}
}

// droppingOff drops off in the middle of the first pack.
type droppingOff struct {
	backup.Place
	err  error
	gone bool
}

func (d *droppingOff) List(ctx context.Context, prefix string) ([]string, error) {
	if d.gone {
		return nil, nil
	}
	return d.Place.List(ctx, prefix)
}

func (d *droppingOff) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	if d.gone {
		return nil, d.err
	}
	r, err := d.Place.Get(ctx, name)
	if err != nil || !strings.HasSuffix(name, ".car") {
		return r, err
	}
	d.gone = true
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(io.LimitReader(r, 10_000), iotest.ErrReader(syscall.EIO)), r}, nil
}

// What is missing is found also if the backup's list of blocks is damaged, too.
func TestRestoreDamagedPackAndList(t *testing.T) {
	o, p, dir, _, _ := filled(t, 3)
	m := run(t, o, p, nil)
	for _, name := range []string{m.Packs[0].Name, m.List.Name} {
		must(t, os.Truncate(filepath.Join(dir, name), 100))
	}
	to := t.TempDir()
	done, waiting := restoreChoice(t, to, p, nil, "", store.Choice{})
	if done.Missing != m.Blocks || uint64(len(done.MissingNamed)) != m.Blocks || len(done.Damaged) != 2 || waiting != 3 {
		t.Errorf("restored %+v of %d blocks, %d wait", done, m.Blocks, waiting)
	}
	back := open(t, to)
	pinned, err := back.Store.List(t.Context(), account, pin.Query{Statuses: []pin.Status{pin.Pinned}, Limit: 10})
	if err != nil || pinned.Count > 0 {
		t.Errorf("%d pins that have no blocks are pinned: %v", pinned.Count, err)
	}
}

// What a backup could not read is fetched again, also if the manifest does not name all of it.
func TestRestoreMoreDamagedThanNamed(t *testing.T) {
	o, p := open(t, t.TempDir()), place(t)
	roots, net := dags(3)
	for _, root := range roots {
		_, err := o.pinDAG(t.Context(), net, root, "")
		must(t, err)
	}
	_, err := backup.Run(t.Context(), config(t, p, nil), func() (backup.Snapshot, error) {
		s, err := o.take(t)()
		return lossy{s}, err
	})
	must(t, err)
	m, err := backup.Find(t.Context(), p, nil, "")
	must(t, err)
	m.Damaged = nil
	to := t.TempDir()
	target, _, end := beginRestore(t, to, m)
	done, err := backup.Restore(t.Context(), p, nil, m, target, nil)
	must(t, err)
	waiting, err := target.Finish(t.Context())
	must(t, err)
	end()
	if done.Missing != m.DamagedBlocks || uint64(len(done.MissingNamed)) != m.DamagedBlocks || waiting != 3 {
		t.Errorf("restored %+v of %d damaged blocks, %d wait", done, m.DamagedBlocks, waiting)
	}
}
