package backup_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/backup"
	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/store"
)

// meanwhile is a place at which something is done when the first file with such a name is read.
type meanwhile struct {
	backup.Place
	suffix string
	do     func()
	once   sync.Once
}

func (m *meanwhile) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	if strings.HasSuffix(name, m.suffix) {
		m.once.Do(m.do)
	}
	return m.Place.Get(ctx, name)
}

// A check goes on while backups are made and pruned, and what it says is of those that were there all the time.
func TestCheckBesideBackups(t *testing.T) {
	for _, when := range []string{"/records", ".car", "/blocks"} {
		t.Run(when, func(t *testing.T) {
			o, p, _, roots, net := filled(t, 3)
			first := run(t, o, p, nil)
			must(t, o.unpin(t.Context(), requestFor(t, o, roots[0])))
			run(t, o, p, nil)
			var faults []backup.Fault
			beside := &meanwhile{Place: p, suffix: when, do: func() {
				more := dagtest.Raw("more, made " + when)
				net.Add(more)
				_, err := o.pinDAG(t.Context(), net, more.Cid(), "")
				must(t, err)
				newest := run(t, o, p, nil)
				pruned, err := backup.Prune(t.Context(), p, nil, backup.Keep{Last: 1}, time.Now())
				if err != nil || !slices.Contains(pruned.Backups, first.ID) || newest.NewBlocks == 0 {
					t.Errorf("pruned %v: %v; the newest backup is %+v", pruned, err, newest)
				}
			}}
			_, err := backup.Check(t.Context(), beside, nil, t.TempDir(), func(backup.Progress) {}, func(f backup.Fault) error {
				faults = append(faults, f)
				return nil
			})
			if err != nil || len(faults) > 0 {
				t.Errorf("found %+v: %v", faults, err)
			}
		})
	}
}

// A backup that is pruned while it is restored is not taken for a damaged one.
func TestRestoreBesidePrune(t *testing.T) {
	o, p, _, roots, _ := filled(t, 3)
	m := run(t, o, p, nil)
	for _, root := range roots {
		must(t, o.unpin(t.Context(), requestFor(t, o, root)))
	}
	run(t, o, p, nil)
	beside := &meanwhile{Place: p, suffix: ".car", do: func() {
		pruned, err := backup.Prune(t.Context(), p, nil, backup.Keep{Last: 1}, time.Now())
		if err != nil || len(pruned.Backups) != 1 {
			t.Errorf("pruned %v: %v", pruned, err)
		}
	}}
	target, _, end := beginRestore(t, t.TempDir(), m)
	defer end()
	if done, err := backup.Restore(t.Context(), beside, nil, m, target, nil); !errors.Is(err, backup.ErrNoPlace) {
		t.Errorf("restored %+v: %v", done, err)
	}
}

// The newest backup that lacks nothing stays as well as the newest.
func TestPruneKeepsAWholeOne(t *testing.T) {
	o, p, _, _, net := filled(t, 2)
	run(t, o, p, nil)
	whole := run(t, o, p, nil)
	more := dagtest.Raw("more")
	net.Add(more)
	_, err := o.pinDAG(t.Context(), net, more.Cid(), "")
	must(t, err)
	var last *backup.Manifest
	for range 2 {
		last, err = backup.Run(t.Context(), config(t, p, nil), func() (backup.Snapshot, error) {
			s, err := o.take(t)()
			return lossy{s}, err
		})
		if err != nil || !last.Lacks() {
			t.Fatalf("the backup is %+v: %v", last, err)
		}
	}
	_, err = backup.Prune(t.Context(), p, nil, backup.Keep{Last: 1}, time.Now())
	must(t, err)
	left, err := backup.List(t.Context(), p, nil)
	if err != nil || len(left) != 2 || left[0].ID != whole.ID || left[1].ID != last.ID {
		t.Errorf("left are %v: %v", left, err)
	}
}

// What removes the old backups of one server leaves runs of others alone, however long they take.
func TestPruneLeavesRunsOfOthers(t *testing.T) {
	o, p, _, _, _ := filled(t, 2)
	cfg := config(t, p, nil)
	cfg.Store = "slow"
	later := time.Now().Add(365 * 24 * time.Hour)
	m, err := backup.Run(t.Context(), cfg, func() (backup.Snapshot, error) {
		run(t, o, p, nil)
		_, err := backup.Prune(t.Context(), p, nil, backup.Keep{Store: "test", Last: 1}, later)
		must(t, err)
		return o.take(t)()
	})
	must(t, err)
	if done := restore(t, t.TempDir(), p, nil, m.ID); done.Missing > 0 || len(done.Damaged) > 0 {
		t.Errorf("restored %+v", done)
	}
}

// A place may be a link to a directory.
func TestLinkedPlace(t *testing.T) {
	o, _, dir, _, _ := filled(t, 2)
	link := filepath.Join(t.TempDir(), "link")
	must(t, os.Symlink(dir, link))
	p, err := backup.OpenPlace(link)
	must(t, err)
	m := run(t, o, p, nil)
	if done := restore(t, t.TempDir(), p, nil, m.ID); done.Missing > 0 || len(done.Damaged) > 0 {
		t.Errorf("restored %+v", done)
	}
}

// lateLister does not list what was put last.
type lateLister struct {
	backup.Place
	mu   sync.Mutex
	last string
}

func (l *lateLister) Put(ctx context.Context, name string, size int64, r io.Reader) error {
	l.mu.Lock()
	l.last = name
	l.mu.Unlock()
	return l.Place.Put(ctx, name, size, r)
}

func (l *lateLister) List(ctx context.Context, prefix string) ([]string, error) {
	names, err := l.Place.List(ctx, prefix)
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(names, func(name string) bool { return name == l.last }), err
}

// A place that lists late gets backups all the same.
func TestPlaceThatListsLate(t *testing.T) {
	o, p, _, _, _ := filled(t, 2)
	run(t, o, &lateLister{Place: p}, nil)
}

// A place that lost the file that says what it is still has its backups, and the next backup writes it anew.
func TestPlaceThatLostWhatItIs(t *testing.T) {
	for form, key := range forms(t) {
		t.Run(form, func(t *testing.T) {
			o, p, dir, _, _ := filled(t, 2)
			m := run(t, o, p, key)
			must(t, os.Remove(filepath.Join(dir, placeFile)))
			other := newKey(t)
			if key != nil {
				other = nil
			}
			if _, err := backup.Run(t.Context(), config(t, p, other), o.take(t)); !errors.Is(err, backup.ErrKey) {
				t.Errorf("with another key: %v", err)
			}
			var faults []backup.Fault
			_, err := backup.Check(t.Context(), p, key, "", func(backup.Progress) {}, func(f backup.Fault) error {
				faults = append(faults, f)
				return nil
			})
			if err != nil || len(faults) != 1 || faults[0].File != placeFile {
				t.Errorf("found %+v: %v", faults, err)
			}
			if done := restore(t, t.TempDir(), p, key, ""); done.Backup != m.ID || done.Missing > 0 {
				t.Errorf("restored %+v", done)
			}
			if next := run(t, o, p, key); next.NewBlocks > 0 {
				t.Errorf("the next backup wrote %d blocks", next.NewBlocks)
			}
			if _, err := os.Stat(filepath.Join(dir, placeFile)); err != nil {
				t.Errorf("the next backup did not write it: %v", err)
			}
		})
	}
}

// Where backups were, and are no more, none is begun anew unless that is wanted.
func TestBackupToAnEmptiedPlace(t *testing.T) {
	o, p, dir, _, _ := filled(t, 1)
	cfg := config(t, p, nil)
	cfg.Again = true
	if _, err := backup.Run(t.Context(), cfg, o.take(t)); !errors.Is(err, backup.ErrNoPlace) {
		t.Errorf("backed up to an empty place: %v", err)
	}
	if left := filesIn(t, dir); len(left) > 0 {
		t.Errorf("there are %v", left)
	}
	run(t, o, p, nil)
	_, err := backup.Run(t.Context(), cfg, o.take(t))
	must(t, err)
}

// What somebody made very long is not read into memory.
func TestLongSmallFile(t *testing.T) {
	o, p, dir, _, _ := filled(t, 1)
	cfg := config(t, p, nil)
	cfg.Keys = map[string][]byte{"node.key": make([]byte, 2<<20)}
	m, err := backup.Run(t.Context(), cfg, o.take(t))
	must(t, err)
	if _, err := backup.Keys(t.Context(), p, nil, m); !errors.Is(err, backup.ErrDamaged) {
		t.Errorf("a key of 2 MiB was read: %v", err)
	}
	must(t, os.Truncate(filepath.Join(dir, placeFile), 2<<20))
	if _, err := backup.List(t.Context(), p, nil); !errors.Is(err, backup.ErrDamaged) {
		t.Errorf("%s of 2 MiB was read: %v", placeFile, err)
	}
}

// A restore of which no block came yet gives way to one of another backup: its records may be damaged. One whose
// database somebody removed begins anew.
func TestRestoreBeginsAnew(t *testing.T) {
	o, p, _, _, net := filled(t, 2)
	first := run(t, o, p, nil)
	more := dagtest.Raw("more")
	net.Add(more)
	_, err := o.pinDAG(t.Context(), net, more.Cid(), "")
	must(t, err)
	want := o.pins(t)
	m, dir := run(t, o, p, nil), t.TempDir()
	target, _, end := beginRestore(t, dir, first)
	if _, err := backup.Restore(t.Context(), p, nil, first, &cutOff{target, 3}, nil); !errors.Is(err, errCut) || target.HasRecords() {
		t.Fatalf("cut off: %v; there are all records: %v", err, target.HasRecords())
	}
	end()
	target, _, end = beginRestore(t, dir, m)
	if _, err := backup.Restore(t.Context(), p, nil, m, noBlocks{target}, nil); !errors.Is(err, errCut) || !target.HasRecords() {
		t.Fatalf("cut off: %v; there are all records: %v", err, target.HasRecords())
	}
	end()
	if id, err := store.BeingRestored(dir); id != m.ID || err != nil {
		t.Errorf("being restored is %q: %v", id, err)
	}
	must(t, os.RemoveAll(filepath.Join(dir, "db")))
	if id, err := store.BeingRestored(dir); id != "" || err != nil {
		t.Errorf("without a database being restored is %q: %v", id, err)
	}
	if done := restore(t, dir, p, nil, m.ID); done.Missing > 0 || done.Blocks != m.Blocks {
		t.Errorf("restored %+v", done)
	}
	back := open(t, dir)
	if got := back.pins(t); !slices.Equal(got, want) {
		t.Errorf("restored %v, want %v", got, want)
	}
	back.verify(t)
}

// noBlocks takes records alone.
type noBlocks struct{ *store.Restoring }

func (noBlocks) Block(multihash.Multihash, []byte) error { return errCut }
