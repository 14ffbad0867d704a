package backup_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/zstd"

	"github.com/holdfast-ipfs/holdfast/backup"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// A list that does not fit the packs is a fault, although every file is as it was written.
func TestCheckComparesListsWithPacks(t *testing.T) {
	o, dir := open(t, t.TempDir()), t.TempDir()
	p, err := backup.OpenPlace(dir)
	must(t, err)
	roots, net := dags(3)
	for _, root := range roots {
		_, err := o.pinDAG(t.Context(), net, root, "")
		must(t, err)
		run(t, o, p, nil)
	}
	m := run(t, o, p, nil)
	spoil := func(spoil func(*backup.Manifest)) []backup.Fault {
		t.Helper()
		bad := *m
		bad.Format = 1 // in which a manifest has no hash of its own
		bad.Packs = slices.Clone(m.Packs)
		spoil(&bad)
		b, err := json.Marshal(&bad)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, m.ID, "manifest.json"), b, 0o600))
		var faults []backup.Fault
		_, err = backup.Check(t.Context(), p, nil, t.TempDir(), func(backup.Progress) {}, func(f backup.Fault) error {
			faults = append(faults, f)
			return nil
		})
		must(t, err)
		return faults
	}
	if faults := spoil(func(*backup.Manifest) {}); len(faults) > 0 {
		t.Errorf("faults %v", faults)
	}
	for name, change := range map[string]func(*backup.Manifest){
		"packs in another order": func(m *backup.Manifest) { slices.Reverse(m.Packs) },
		"a pack too few":         func(m *backup.Manifest) { m.Packs = m.Packs[:1] },
		"another number":         func(m *backup.Manifest) { m.Blocks++ },
	} {
		faults := spoil(change)
		if len(faults) != 1 || faults[0].File != m.ID+"/blocks" || !slices.Equal(faults[0].Backups, []string{m.ID}) {
			t.Errorf("%s: faults %v", name, faults)
		}
	}
}

// Denylists are in backups, and only new ones are written.
func TestDenylists(t *testing.T) {
	o, p, dir := open(t, t.TempDir()), place(t), t.TempDir()
	lists := []string{filepath.Join(dir, "b.deny"), filepath.Join(dir, "a..deny"), filepath.Join(dir, "none.deny")}
	must(t, os.WriteFile(lists[0], []byte("/ipfs/one\n"), 0o600))
	must(t, os.WriteFile(lists[1], nil, 0o600))
	make := func() *backup.Manifest {
		cfg := config(t, p, nil)
		cfg.Denylists = lists
		m, err := backup.Run(t.Context(), cfg, o.take(t))
		must(t, err)
		return m
	}
	read := func(m *backup.Manifest) (got []string) {
		faults, err := backup.RestoreDenylists(t.Context(), p, nil, m, func(path string, r io.Reader) error {
			b, err := io.ReadAll(r)
			got = append(got, filepath.Base(path)+": "+string(b))
			return err
		})
		must(t, err)
		if len(faults) > 0 {
			t.Errorf("faults %v", faults)
		}
		return got
	}
	first := make()
	must(t, os.WriteFile(lists[1], []byte("/ipfs/two\n"), 0o600))
	second := make()
	_, err := backup.Prune(t.Context(), p, nil, backup.Keep{Last: 1}, time.Now())
	must(t, err)
	if got := read(second); !slices.Equal(got, []string{"b.deny: /ipfs/one\n", "a..deny: /ipfs/two\n"}) {
		t.Errorf("the denylists are %q", got)
	}
	if first.Denylists[0].Name != second.Denylists[0].Name || first.Denylists[1].Name == second.Denylists[1].Name {
		t.Errorf("the denylists are %v, and before %v", second.Denylists, first.Denylists)
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

// Packs have names that no other pack has, so that all can be given to a tool at once, whatever
// places they are of.
func TestNamesOfPacks(t *testing.T) {
	o := open(t, t.TempDir())
	roots, net := dags(4)
	names := map[string]string{}
	for _, p := range []backup.Place{place(t), place(t)} {
		for range 2 {
			_, err := o.pinDAG(t.Context(), net, roots[0], "")
			must(t, err)
			roots = roots[1:]
			for _, pk := range run(t, o, p, nil).Packs {
				name := filepath.Base(pk.Name)
				if was, there := names[name]; there && was != p.String()+pk.Name {
					t.Errorf("%s and %s have the same name", was, p.String()+pk.Name)
				}
				names[name] = p.String() + pk.Name
			}
		}
	}
	if len(names) != 4 {
		t.Errorf("the packs are %v", names)
	}
}

// asForm makes a backup in a directory one of an earlier form: its lists are compressed as a whole and have a SHA-256,
// packs are summed up from the beginning, and in the first form they are called alike.
func asForm(t *testing.T, dir string, m *backup.Manifest, form int) {
	t.Helper()
	old := *m
	old.Format, old.Packs = form, slices.Clone(m.Packs)
	for _, f := range []*backup.File{&old.Records, &old.List} {
		path := filepath.Join(dir, f.Name)
		file, err := os.Open(path)
		must(t, err)
		r, err := zstd.NewReader(file)
		must(t, err)
		var list bytes.Buffer
		z, err := zstd.NewWriter(&list)
		must(t, err)
		_, err = io.Copy(z, r)
		must(t, errors.Join(err, z.Close(), file.Close()))
		r.Close()
		must(t, os.WriteFile(path, list.Bytes(), 0o600))
		f.Size, f.XXH64, f.SHA256 = int64(list.Len()), "", fmt.Sprintf("%x", sha256.Sum256(list.Bytes()))
	}
	for i := range old.Packs {
		pk := &old.Packs[i]
		b, err := os.ReadFile(filepath.Join(dir, pk.Name))
		must(t, err)
		pk.XXH64, pk.XXH64From = fmt.Sprintf("%016x", xxhash.Sum64(b)), 0
		if form == 1 {
			name := m.ID + "/000001.car"
			must(t, os.Rename(filepath.Join(dir, pk.Name), filepath.Join(dir, name)))
			pk.Name, pk.Order, pk.XXH64, pk.SHA256 = name, "", "", fmt.Sprintf("%x", sha256.Sum256(b))
		}
	}
	if form == 1 {
		old.Run = backup.File{}
	}
	b, err := json.Marshal(&old)
	must(t, err)
	if form > 1 {
		b = b[:len(b)-1]
		b = fmt.Appendf(b, `,"sha256":"%x"}`, sha256.Sum256(b))
	}
	must(t, os.WriteFile(filepath.Join(dir, m.ID, "manifest.json"), b, 0o600))
}

// Backups of earlier forms are read, checked, gone on from and pruned.
func TestEarlierForms(t *testing.T) {
	for form := 1; form <= 2; form++ {
		o, p, dir, _, _ := filled(t, 3)
		m := run(t, o, p, nil)
		asForm(t, dir, m, form)
		next := run(t, o, p, nil)
		if next.NewBlocks != 0 || next.Blocks != m.Blocks {
			t.Errorf("form %d: the next backup has %d blocks, of which it wrote %d", form, next.Blocks, next.NewBlocks)
		}
		checkAll := func(backups int) {
			c, err := backup.Check(t.Context(), p, nil, "", func(backup.Progress) {}, func(f backup.Fault) error {
				t.Errorf("form %d: fault %+v", form, f)
				return nil
			})
			if err != nil || c.Backups != backups {
				t.Errorf("form %d: checked %+v: %v", form, c, err)
			}
		}
		checkAll(2)
		for _, id := range []string{m.ID, next.ID} {
			to := t.TempDir()
			if done := restore(t, to, p, nil, id); done.Missing > 0 || len(done.Damaged) > 0 || done.Blocks != m.Blocks {
				t.Errorf("form %d: restored %+v", form, done)
			}
			open(t, to).verify(t)
		}
		pruned, err := backup.Prune(t.Context(), p, nil, backup.Keep{}, time.Now())
		if err != nil || len(pruned.Backups) != 1 {
			t.Errorf("form %d: pruned %+v: %v", form, pruned, err)
		}
		checkAll(1)
	}
}

// A list that takes more memory to read than any that was written is refused.
func TestListWithALargeWindow(t *testing.T) {
	o, p, dir, _, _ := filled(t, 1)
	cfg := config(t, p, nil)
	cfg.Denylists = []string{filepath.Join(t.TempDir(), "x.deny")}
	must(t, os.WriteFile(cfg.Denylists[0], []byte("/ipfs/one\n"), 0o600))
	m, err := backup.Run(t.Context(), cfg, o.take(t))
	must(t, err)
	var list bytes.Buffer
	z, err := zstd.NewWriter(&list, zstd.WithWindowSize(16<<20))
	must(t, err)
	_, err = z.Write(make([]byte, 17<<20))
	must(t, errors.Join(err, z.Close()))
	must(t, os.WriteFile(filepath.Join(dir, m.Denylists[0].Name), list.Bytes(), 0o600))
	m.Denylists[0].Size, m.Denylists[0].SHA256 = int64(list.Len()), fmt.Sprintf("%x", sha256.Sum256(list.Bytes()))
	_, err = backup.RestoreDenylists(t.Context(), p, nil, m, func(_ string, r io.Reader) error {
		_, err := io.Copy(io.Discard, r)
		return err
	})
	if !errors.Is(err, zstd.ErrWindowSizeExceeded) {
		t.Errorf("it was read: %v", err)
	}
}
