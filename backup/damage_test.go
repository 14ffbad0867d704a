package backup_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/backup"
	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"
	"github.com/holdfast-ipfs/holdfast/store"
)

const placeFile = "holdfast-backup.json"

// twice is a place with two backups, each with a file of every kind of its own.
type twice struct {
	backup.Place
	key           *backup.Key
	dir           string
	first, second *backup.Manifest
	rng           *rand.Rand
}

func newTwice(t *testing.T, key *backup.Key) *twice {
	t.Helper()
	o, p, dir, roots, net := filled(t, 3)
	w := &twice{Place: p, key: key, dir: dir, rng: rand.New(rand.NewPCG(1, 2))}
	one := func(what string) *backup.Manifest {
		cfg := config(t, p, key)
		cfg.Keys = map[string][]byte{"node.key": []byte("a key, " + what)}
		cfg.Denylists = []string{filepath.Join(t.TempDir(), "bad.deny")}
		must(t, os.WriteFile(cfg.Denylists[0], []byte("/ipfs/"+what+"\n"), 0o600))
		m, err := backup.Run(t.Context(), cfg, o.take(t))
		must(t, err)
		return m
	}
	w.first = one("first")
	more := dagtest.Tree(dagtest.Leaves(30, 3000), 5)
	net.Add(more...)
	net.Add(dagtest.Leaves(30, 3000)...)
	_, err := o.pinDAG(t.Context(), net, dagtest.Last(more), "")
	must(t, err)
	must(t, o.unpin(t.Context(), requestFor(t, o, roots[0])))
	w.second = one("second")
	return w
}

func requestFor(t *testing.T, o *opened, root cid.Cid) (id string) {
	t.Helper()
	for _, line := range o.pins(t) {
		if strings.Contains(line, root.String()) {
			id, _, _ = strings.Cut(line, " ")
		}
	}
	return id
}

// kinds gives a file of every kind of a backup, in the same order for each.
func (w *twice) kinds(m *backup.Manifest) (names []string) {
	suffix := ""
	if w.key != nil {
		suffix = ".age"
	}
	for _, name := range []string{"begun.json", "records", "blocks", m.ID + "-000001.car", "keys/node.key", "denylists/000001", "manifest.json"} {
		names = append(names, m.ID+"/"+name+suffix)
	}
	return names
}

// damage does something to a file while check runs. other is the file of the same kind of another
// backup, sealed with the same key.
func (w *twice) damage(t *testing.T, name, how, other string, check func()) {
	t.Helper()
	path := filepath.Join(w.dir, filepath.FromSlash(name))
	whole, err := os.ReadFile(path)
	must(t, err)
	bad := slices.Clone(whole)
	switch how {
	case "flipped":
		bad[w.rng.IntN(len(bad))] ^= 1 << w.rng.IntN(8)
	case "cut":
		bad = bad[:w.rng.IntN(len(bad))]
	case "swapped":
		bad, err = os.ReadFile(filepath.Join(w.dir, filepath.FromSlash(other)))
		must(t, err)
	case "sealed for another":
		bad = sealed(t, whole)
	}
	must(t, os.WriteFile(path, bad, 0o600))
	if how == "missing" {
		must(t, os.Remove(path))
	}
	check()
	must(t, os.WriteFile(path, whole, 0o600))
}

func sealed(t *testing.T, text []byte) []byte {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	must(t, err)
	var b strings.Builder
	z, err := age.Encrypt(&b, id.Recipient())
	must(t, err)
	_, err = z.Write(text)
	must(t, errors.Join(err, z.Close()))
	return []byte(b.String())
}

// forms are backups that can be read by all, and encrypted ones.
func forms(t *testing.T) map[string]*backup.Key {
	return map[string]*backup.Key{"plain": nil, "sealed": newKey(t)}
}

// Whatever file is not as it was written, a check names it and the backups that need it.
func TestCheck(t *testing.T) {
	for form, key := range forms(t) {
		t.Run(form, func(t *testing.T) {
			w := newTwice(t, key)
			check := func() (faults []backup.Fault, err error) {
				_, err = backup.Check(t.Context(), w, key, "", func(backup.Progress) {}, func(f backup.Fault) error {
					faults = append(faults, f)
					return nil
				})
				return faults, err
			}
			if faults, err := check(); err != nil || len(faults) > 0 {
				t.Fatalf("of what is whole: %v: %v", faults, err)
			}
			hows := []string{"flipped", "flipped", "flipped", "flipped", "cut", "missing", "swapped", "sealed for another"}
			for i, name := range w.kinds(w.second) {
				for _, how := range hows {
					w.damage(t, name, how, w.kinds(w.first)[i], func() {
						faults, err := check()
						if how == "missing" && strings.Contains(name, "manifest.json") {
							if err != nil || len(faults) > 0 { // then there is one backup
								t.Errorf("%s %s: faults %v, error %v", name, how, faults, err)
							}
							return
						}
						if err != nil || len(faults) != 1 || faults[0].File != name || !slices.Equal(faults[0].Backups, []string{w.second.ID}) {
							t.Errorf("%s %s: faults %v, error %v", name, how, faults, err)
						}
					})
				}
			}
			for _, how := range []string{"flipped", "flipped", "flipped", "flipped", "flipped", "flipped", "cut", "missing", "sealed for another"} {
				w.damage(t, placeFile, how, "", func() {
					faults, err := check()
					if err == nil && (len(faults) != 1 || faults[0].File != placeFile) || err != nil && !strings.Contains(err.Error(), placeFile) && !errors.Is(err, backup.ErrNoPlace) {
						t.Errorf("%s %s: faults %v, error %v", placeFile, how, faults, err)
					}
				})
			}
		})
	}
}

// What a restore reads and is not as it was written is named, and nothing else comes in its place.
func TestRestoreNamesDamage(t *testing.T) {
	for form, key := range forms(t) {
		t.Run(form, func(t *testing.T) {
			w := newTwice(t, key)
			// use does what a restore does, and gives the files that it names.
			use := func() (named string) {
				m, err := backup.Find(t.Context(), w, key, w.second.ID)
				if err != nil {
					return err.Error()
				}
				if _, err := backup.Keys(t.Context(), w, key, m); err != nil {
					named += err.Error()
				}
				faults, err := backup.RestoreDenylists(t.Context(), w, key, m, func(_ string, r io.Reader) error {
					_, err := io.Copy(io.Discard, r)
					return err
				})
				must(t, err)
				for _, f := range faults {
					named += f.File
				}
				if named != "" {
					return named
				}
				dir := t.TempDir()
				target, _, end := beginRestore(t, dir, m)
				defer end()
				done, err := backup.Restore(t.Context(), w, key, m, target, nil)
				if err != nil {
					return err.Error()
				}
				if waiting, err := target.Finish(t.Context()); err != nil || (waiting > 0) != (done.Missing > 0) || (done.Missing > 0) != (len(done.Damaged) > 0) {
					t.Errorf("%d wait, restored %+v: %v", waiting, done, err)
				}
				return fmt.Sprint(done.Damaged)
			}
			for i, name := range w.kinds(w.second) {
				if strings.Contains(name, "/begun.json") || strings.Contains(name, "/blocks") {
					continue // a restore that finds nothing damaged does not read them
				}
				for _, how := range []string{"flipped", "cut", "missing", "swapped", "sealed for another"} {
					w.damage(t, name, how, w.kinds(w.first)[i], func() {
						if got := use(); !strings.Contains(got, name) && (how != "missing" || !strings.Contains(got, w.second.ID)) {
							t.Errorf("%s %s: named are %s", name, how, got)
						}
					})
				}
			}
			if got := use(); got != "[]" {
				t.Errorf("of what is whole: %s", got)
			}
		})
	}
}

// A pack that stands in the place of one with as many blocks is found.
func TestRestoreSwappedPack(t *testing.T) {
	for form, key := range forms(t) {
		t.Run(form, func(t *testing.T) {
			o, dir := open(t, t.TempDir()), t.TempDir()
			p, err := backup.OpenPlace(dir)
			must(t, err)
			var all []*backup.Manifest
			for _, text := range []string{"one", "two"} {
				b := dagtest.Raw(text)
				_, err := o.pinDAG(t.Context(), walktest.NewNetwork(b), b.Cid(), text)
				must(t, err)
				all = append(all, run(t, o, p, key))
			}
			m := all[1]
			one, err := os.ReadFile(filepath.Join(dir, m.Packs[0].Name))
			must(t, err)
			must(t, os.WriteFile(filepath.Join(dir, m.Packs[1].Name), one, 0o600))
			done, waiting := restoreChoice(t, t.TempDir(), p, key, m.ID, store.Choice{})
			if done.Missing != 1 || waiting != 1 || len(done.Damaged) != 1 || done.Damaged[0].File != m.Packs[1].Name {
				t.Errorf("restored %+v, %d wait", done, waiting)
			}
		})
	}
}

// With another key, or without one, nothing is read, written or removed.
func TestWrongKey(t *testing.T) {
	o, p, dir, _, _ := filled(t, 2)
	right := newKey(t)
	m := run(t, o, p, right)
	run(t, o, p, right)
	before := filesIn(t, dir)
	for name, key := range map[string]*backup.Key{"another key": newKey(t), "no key": nil} {
		_, findErr := backup.Find(t.Context(), p, key, "")
		_, oneErr := backup.Find(t.Context(), p, key, m.ID)
		_, checkErr := backup.Check(t.Context(), p, key, "", func(backup.Progress) {}, func(backup.Fault) error { return nil })
		_, pruneErr := backup.Prune(t.Context(), p, key, backup.Keep{Last: 1}, time.Now())
		_, runErr := backup.Run(t.Context(), config(t, p, key), o.take(t))
		for what, err := range map[string]error{"find": findErr, "find one": oneErr, "check": checkErr, "prune": pruneErr, "run": runErr} {
			if !errors.Is(err, backup.ErrKey) {
				t.Errorf("%s with %s: %v", what, name, err)
			}
		}
	}
	if after := filesIn(t, dir); !slices.Equal(before, after) {
		t.Errorf("there are %v, and before %v", after, before)
	}
}

func filesIn(t *testing.T, dir string) (all []string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			all = append(all, path)
		}
		return err
	}))
	return all
}

// Of very many damaged blocks the first are named.
func TestCheckOfManyDamagedBlocks(t *testing.T) {
	o, p, dir, _, _ := filled(t, 60)
	m := run(t, o, p, nil)
	path := filepath.Join(dir, m.Packs[0].Name)
	b, err := os.ReadFile(path)
	must(t, err)
	must(t, os.WriteFile(path, bytes.ReplaceAll(b, []byte("own "), []byte("pwn ")), 0o600))
	var faults []backup.Fault
	_, err = backup.Check(t.Context(), p, nil, "", func(backup.Progress) {}, func(f backup.Fault) error {
		faults = append(faults, f)
		return nil
	})
	if err != nil || len(faults) != 1 || strings.Count(faults[0].Reason, "another hash") != 20 || !strings.Contains(faults[0].Reason, "so have 40 more") {
		t.Errorf("found %+v: %v", faults, err)
	}
}
