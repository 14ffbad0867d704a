package daemon

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/backup"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
	"github.com/holdfast-ipfs/holdfast/internal/hint"
	"github.com/holdfast-ipfs/holdfast/store"
)

// restorable is a place with backups of a server, keys and denylist included.
type restorable struct {
	t     *testing.T
	p     *Program
	place string
}

func newRestorable(t *testing.T) *restorable {
	t.Helper()
	d := testDataDir(t)
	if err := os.Mkdir(d.File(denylistsName), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.File(denylistsName), "bad.deny"), []byte("/ipfs/bafkqablimvwgy3yk\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, _ := testProgram(t, d)
	p.Config.Denylist.Dirs = []string{config.AutoDenylists}
	if err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := &restorable{t, p, t.TempDir()}
	r.backup()
	return r
}

func (r *restorable) backup() (id string) {
	r.t.Helper()
	made, err := command(r.t, r.p).Backup(r.t.Context(), admin.NewBackup{To: r.place, ServerKeys: true}, func(admin.StoreProgress) {})
	if err != nil {
		r.t.Fatal(err)
	}
	return made.ID
}

// spoil flips a bit in a file of the place.
func (r *restorable) spoil(pattern string) {
	r.t.Helper()
	files, err := filepath.Glob(filepath.Join(r.place, pattern))
	if err != nil || len(files) != 1 {
		r.t.Fatalf("there are %v: %v", files, err)
	}
	b, err := os.ReadFile(files[0])
	if err == nil {
		b[len(b)/2] ^= 1
		err = os.WriteFile(files[0], b, 0o600)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *restorable) restore(d *datadir.Dir, id string, keys bool) (admin.Restored, error) {
	in := Restoration{NewRestore: admin.NewRestore{From: r.place, ID: id}, Open: OpenPlace, ServerKeys: keys}
	return Restore(r.t.Context(), d, in, testConfig(), slog.New(slog.DiscardHandler), func(admin.StoreProgress) {})
}

func hinted(t *testing.T, err error, text string) {
	t.Helper()
	h, ok := errors.AsType[*hint.Error](err)
	if !ok || !strings.Contains(h.Hint, text) {
		t.Errorf("it ends with %v, and the hint %+v lacks %q", err, h, text)
	}
}

// A denylist that is damaged does not keep the rest from being restored, and is named. Damaged keys are found before
// anything is written, and the rest can be had without them.
func TestRestoreOfSmallThingsThatAreDamaged(t *testing.T) {
	r := newRestorable(t)
	r.spoil("*/denylists/000001")
	r.spoil("*/keys/" + datadir.NodeKeyFile)
	d := testDataDir(t)
	_, err := r.restore(d, "", true)
	if !errors.Is(err, backup.ErrDamaged) {
		t.Errorf("with damaged keys: %v", err)
	}
	hinted(t, err, "without --server-keys")
	if _, err := os.Stat(d.File("db")); err == nil {
		t.Error("blocks were restored before the keys were read")
	}
	done, err := r.restore(d, "", false)
	if err != nil || len(done.Damaged) != 1 || !strings.HasSuffix(done.Damaged[0].File, "/denylists/000001") || !strings.Contains(done.Damaged[0].Reason, "bad.deny") {
		t.Errorf("restored %+v: %v", done, err)
	}
	if left, err := filepath.Glob(filepath.Join(d.File(denylistsName), "*")); err != nil || len(left) > 0 {
		t.Errorf("of the damaged denylist there is %v: %v", left, err)
	}
}

// A restore that was cut off goes on with its backup, also when there is a newer one. When its records are damaged,
// another backup can be restored in its place.
func TestRestoreThatWasCutOff(t *testing.T) {
	r := newRestorable(t)
	first := r.backup()
	d := testDataDir(t)
	lock, err := store.Lock(d.Open)
	if err != nil {
		t.Fatal(err)
	}
	place, key, err := OpenPlace(r.place, "")
	if err != nil {
		t.Fatal(err)
	}
	m, err := backup.Find(t.Context(), place, key, first)
	if err != nil {
		t.Fatal(err)
	}
	begun, err := store.Restore(t.Context(), lock, m.ID, m.Layout, store.Choice{}, store.Config{Logger: slog.New(slog.DiscardHandler)})
	if err == nil {
		err = errors.Join(begun.RecordsDone(t.Context()), begun.Close(), lock.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	newer := r.backup()
	_, err = r.restore(d, newer, false)
	if !errors.Is(err, ErrNotEmpty) {
		t.Errorf("restored another one: %v", err)
	}
	hinted(t, err, "--backup "+first+" goes on with it")
	if done, err := r.restore(d, "", false); err != nil || done.Backup != first {
		t.Errorf("restored %+v: %v", done, err)
	}

	r.spoil(newer + "/records")
	d = testDataDir(t)
	_, err = r.restore(d, "", false)
	if !errors.Is(err, backup.ErrDamaged) {
		t.Errorf("of damaged records: %v", err)
	}
	hinted(t, err, "--backup names one")
	if done, err := r.restore(d, first, false); err != nil || done.Backup != first {
		t.Errorf("restored %+v: %v", done, err)
	}

	// When it is gone from the place, that is what the error says.
	d = testDataDir(t)
	if _, err = r.restore(d, newer, false); !errors.Is(err, backup.ErrDamaged) {
		t.Errorf("of damaged records: %v", err)
	}
	if err := os.RemoveAll(filepath.Join(r.place, newer)); err != nil {
		t.Fatal(err)
	}
	_, err = r.restore(d, "", false)
	if !errors.Is(err, backup.ErrNoPlace) {
		t.Errorf("of a backup that is gone: %v", err)
	}
	hinted(t, err, "it is being restored in ")
}
