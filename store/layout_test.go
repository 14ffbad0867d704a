package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-ipfs/holdfast/internal/hint"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
	"github.com/holdfast-ipfs/holdfast/store/internal/requests"
	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
	"github.com/holdfast-ipfs/holdfast/store/internal/space"
)

// contents gives what is in a directory, and when and how it was last changed.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			found[path] = fmt.Sprint(info.Mode(), info.Size(), info.ModTime())
		}
		return err
	}))
	return found
}

// refused checks that the directory cannot be locked, for that reason, and that
// trying changes nothing.
func refused(t *testing.T, dir string, want error) {
	t.Helper()
	before := contents(t, dir)
	lock, err := Lock(dir)
	if err == nil {
		must(t, lock.Close())
	}
	if !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	} else if !strings.Contains(err.Error(), dir) {
		t.Errorf("error %q does not name %s", err, dir)
	}
	if after := contents(t, dir); !maps.Equal(before, after) {
		t.Errorf("touched:\n%v\n%v", before, after)
	}
}

func writeFile(t *testing.T, text string, path ...string) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(path...), []byte(text), 0o600))
}

func TestForeignDirectories(t *testing.T) {
	for name, files := range map[string][]string{
		"somebody's files": {"thesis.odt"},
		"a bare database":  {"MANIFEST", "000001.vlog", "KEYREGISTRY"},
		"hidden files":     {".ssh"},
		"our names":        {"db", "config.toml"},
		"ours beside more": {"denylists", "thesis.odt"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, f := range files {
				writeFile(t, "x", dir, f)
			}
			refused(t, dir, errForeign)
		})
	}
	t.Run("a marker that is not ours", func(t *testing.T) {
		dir := t.TempDir()
		writeFile(t, "layout 1\n", dir, markerName)
		refused(t, dir, errForeign)
		writeFile(t, markerText+"one\n", dir, markerName)
		refused(t, dir, errForeign)
	})
}

// Beside a database a marker that is damaged or missing is refused with what to do, and
// that helps.
func TestDamagedMarker(t *testing.T) {
	dir := t.TempDir()
	s, lock := openSmall(t, dir)
	r, err := s.Add(t.Context(), roomtest.Account, pintest.DAGSpec(1))
	must(t, err)
	must(t, s.Close())
	must(t, lock.Close())
	path := filepath.Join(dir, markerName)
	whole, err := os.ReadFile(path)
	must(t, err)
	for name, damage := range map[string]func(){
		"flipped":   func() { writeFile(t, "u"+string(whole[1:]), path) },
		"no number": func() { writeFile(t, string(whole[:len(whole)-2]), path) },
		"empty":     func() { writeFile(t, "", path) },
		"missing":   func() { must(t, os.Remove(path)) },
	} {
		must(t, os.WriteFile(path, whole, 0o600))
		damage()
		_, err := Lock(dir)
		hinted, ok := errors.AsType[*hint.Error](err)
		if !errors.Is(err, errForeign) || !ok {
			t.Fatalf("%s: %v", name, err)
		}
		_, command, found := strings.Cut(hinted.Hint, "write it again: ")
		if !found || !strings.Contains(hinted.Hint, "restore "+markerName+" from a backup") {
			t.Fatalf("%s: the hint is %q", name, hinted.Hint)
		}
		if out, err := exec.CommandContext(t.Context(), "sh", "-c", command).CombinedOutput(); err != nil {
			t.Fatalf("%s: %s: %v: %s", name, command, err, out)
		}
		if again, err := os.ReadFile(path); err != nil || !bytes.Equal(again, whole) {
			t.Errorf("%s: by the hint it has %q, %v", name, again, err)
		}
	}
	s, lock = openSmall(t, dir)
	if _, err := s.Get(t.Context(), roomtest.Account, r.ID); err != nil {
		t.Error(err)
	}
	must(t, s.Close())
	must(t, lock.Close())
}

func TestDirectoriesAsGoodAsEmpty(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, "", dir, "config.toml")
	writeFile(t, "123\n", dir, pidName)
	must(t, os.Mkdir(filepath.Join(dir, "lost+found"), 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "swarm.key"), nil, 0o600))
	for _, name := range []string{"denylists", "acme"} {
		must(t, os.Mkdir(filepath.Join(dir, name), 0o700))
		writeFile(t, "x", dir, name, "what.deny")
	}
	openTest(t, dir, Config{})
}

func TestOtherLayouts(t *testing.T) {
	for layout, want := range map[int]error{layoutVersion + 1: errNewerLayout, firstLayout - 1: errOlderLayout} {
		dir := t.TempDir()
		lock, err := Lock(dir)
		must(t, err)
		must(t, lock.Close())
		writeFile(t, fmt.Sprint(markerText, layout, "\n"), dir, markerName)
		refused(t, dir, want)
	}
}

// Records from before the first release are refused by what they say themselves, too.
func TestOlderRecords(t *testing.T) {
	dir := t.TempDir()
	lock, err := Lock(dir)
	must(t, err)
	s, err := Open(t.Context(), lock, Config{})
	must(t, err)
	must(t, s.setLayout(t.Context(), firstLayout-1))
	must(t, s.Close())
	if _, err := Open(t.Context(), lock, Config{}); !errors.Is(err, errOlderLayout) {
		t.Errorf("error %v, want %v", err, errOlderLayout)
	}
	must(t, lock.Close())
}

func TestMissingDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "missing")
	if _, err := Lock(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	writeFile(t, "", dir)
	if _, err := Lock(dir); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("a file: %v", err)
	}
}

const lockChild = "HOLDFAST_TEST_LOCK_CHILD"

func TestLocked(t *testing.T) {
	if dir := os.Getenv(lockChild); dir != "" { // the second process
		_, err := Lock(dir)
		var locked *lockedError
		if !errors.As(err, &locked) || !errors.Is(err, ErrLocked) || locked.PID != os.Getppid() {
			t.Errorf("error %v, the lock's holder is %d", err, os.Getppid())
		}
		return
	}
	dir := t.TempDir()
	lock, err := Lock(dir)
	must(t, err)
	refused(t, dir, ErrLocked)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestLocked$")
	cmd.Env = append(os.Environ(), lockChild+"="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	must(t, lock.Close())
	must(t, lock.Close())
	again, err := Lock(dir)
	must(t, err)
	must(t, again.Close())
}

func TestLayoutVersionMatchesMigrations(t *testing.T) {
	if layoutVersion != firstLayout+len(migrations()) {
		t.Errorf("layout %d, %d migrations", layoutVersion, len(migrations()))
	}
}

func TestMigration(t *testing.T) {
	dir := t.TempDir()
	openWithSteps := func(steps ...migration) (*Store, error) {
		return openWith(t.Context(), dir, Config{}.withDefaults(), space.BadgerOptions(), append(migrations(), steps...))
	}
	lock, err := Lock(dir)
	must(t, err)
	s, err := openWithSteps()
	must(t, err)
	kept, err := s.requestRecords.Add(t.Context(), roomtest.Account, pintest.DAGSpec(1))
	must(t, err)
	must(t, s.Close())

	// A step that changes one record, deletes another and makes two.
	a, _ := kv.AccountOf(roomtest.Account)
	changed, gone := append([]byte{requests.KAccount}, a[:]...), roomtest.RowKey(a, 0)
	var during func(*Store) error // what happens in the middle
	runs := 0
	step := func(ctx context.Context, s *Store) error {
		runs++
		for i, half := range []string{"first half", "second half"} {
			if i == 1 && during != nil {
				if err := during(s); err != nil {
					return err
				}
			}
			err := s.step(ctx, func(t *kv.Tx) error {
				t.Set(changed, []byte(half))
				t.Delete(gone)
				t.Set(noRecord(half), []byte("done"))
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	}
	// It fails in the middle: the program that has not that step goes on as if nothing had
	// been.
	errStep := errors.New("a record that it cannot make sense of")
	during = func(*Store) error { return errStep }
	if _, err := openWithSteps(step); !errors.Is(err, errStep) {
		t.Fatalf("half a migration: %v", err)
	}
	must(t, lock.Close())
	lock, err = Lock(dir)
	must(t, err)
	s, err = openWithSteps()
	must(t, err)
	roomtest.CheckInvariants(t, s.kv)
	for _, key := range [][]byte{noRecord("first half"), keptKey(changed), keptKey(gone), keptKey(noRecord("first half"))} {
		if value, found := roomtest.Read(t, s.kv, key); found {
			t.Errorf("key %x is left, with %x", key, value)
		}
	}
	more, err := s.requestRecords.Add(t.Context(), roomtest.Account, pintest.DAGSpec(2))
	must(t, err)
	_, _, err = s.requestRecords.Remove(t.Context(), roomtest.Account, more.ID)
	must(t, err)
	must(t, s.Close())

	// It is cut off in the middle, by a store that closes under it. Programs that know
	// nothing of that refuse the records by their layout; others put them back.
	cutOff := func() {
		t.Helper()
		during = func(s *Store) error {
			layout, err := s.layout(t.Context())
			must(t, err)
			if layout != layoutVersion+1 {
				t.Errorf("in the middle the records are of layout %d", layout)
			}
			return s.Close()
		}
		if _, err := openWithSteps(step); !errors.Is(err, pin.ErrClosed) {
			t.Fatalf("a migration that is cut off: %v", err)
		}
	}
	cutOff()
	must(t, lock.Close())
	lock, err = Lock(dir) // the marker comes last
	must(t, err)
	must(t, lock.Close())
	s, err = openWithSteps()
	must(t, err)
	roomtest.CheckInvariants(t, s.kv)
	must(t, s.Close())
	cutOff()
	during = func(s *Store) error { // after it was put back
		if value, _ := roomtest.Read(t, s.kv, keptKey(changed)); value[1:] == "first half" {
			return fmt.Errorf("what a try keeps is what another wrote: %q", value)
		}
		return nil
	}
	s, err = openWithSteps(step)
	must(t, err)
	during = nil
	refused(t, dir, errNewerLayout) // to this program, which has not that step
	for _, half := range []string{"first half", "second half"} {
		if _, found := roomtest.Read(t, s.kv, noRecord(half)); !found {
			t.Errorf("the %s is missing", half)
		}
	}
	got, err := s.requestRecords.Get(t.Context(), roomtest.Account, kept.ID)
	must(t, err)
	if got.CID != kept.CID {
		t.Errorf("read back %+v", got)
	}
	if value, found := roomtest.Read(t, s.kv, keptKey(changed)); found {
		t.Errorf("what was kept is left: %x", value)
	}
	must(t, s.Close())
	s, err = openWithSteps(step)
	must(t, err)
	must(t, s.Close())
	if runs != 4 {
		t.Errorf("the step ran %d times, want three halves and a whole one", runs)
	}
	if _, err := openWithSteps(); !errors.Is(err, errNewerLayout) {
		t.Errorf("records of a newer layout: %v", err)
	}
}

// noRecord is a key that no record has.
func noRecord(s string) []byte { return append([]byte{0x7f}, s...) }
