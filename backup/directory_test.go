package backup_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast-ipfs/holdfast/backup"
)

// TestPut: what comes out of a directory is what was put there, whatever its length, and wherever it was
// in memory: long pieces from the start of a page take another way to the disk than others.
func TestPut(t *testing.T) {
	p, err := backup.OpenPlace(t.TempDir())
	must(t, err)
	random := make([]byte, 3<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(random)
	for _, n := range []int{0, 1, 4095, 4096, 1<<20 - 1, 1 << 20, 1<<20 + 1, 2<<20 + 4096, 3<<20 - 1} {
		for _, from := range []int{0, 1, 512} {
			b := random[from:min(from+n, len(random))]
			must(t, p.Put(t.Context(), "file", int64(len(b)), bytes.NewReader(b)))
			if got := get(t, p, "file"); !bytes.Equal(got, b) {
				t.Errorf("%d bytes from %d on came back as %d others", len(b), from, len(got))
			}
			pieces := io.MultiReader(bytes.NewReader(b[:len(b)/3]), bytes.NewReader(b[len(b)/3:]))
			must(t, p.Put(t.Context(), "file", int64(len(b)), pieces))
			if got := get(t, p, "file"); !bytes.Equal(got, b) {
				t.Errorf("%d bytes in two pieces came back as %d others", len(b), len(got))
			}
			err := p.Put(t.Context(), "longer", int64(len(b)+1), bytes.NewReader(b))
			if names, e := p.List(t.Context(), ""); e != nil || err == nil || len(names) != 1 {
				t.Errorf("%d bytes of %d: %v; there are %v, %v", len(b), len(b)+1, err, names, e)
			}
		}
	}
}

func get(t *testing.T, p backup.Place, name string) []byte {
	t.Helper()
	r, err := p.Get(t.Context(), name)
	must(t, err)
	b, err := io.ReadAll(r)
	must(t, err)
	must(t, r.Close())
	return b
}

// Nobody waits for what is no file.
func TestPipeInAPlace(t *testing.T) {
	dir := t.TempDir()
	p, err := backup.OpenPlace(dir)
	must(t, err)
	must(t, unix.Mkfifo(filepath.Join(dir, placeFile), 0o600))
	must(t, os.Mkdir(filepath.Join(dir, "directory"), 0o700))
	for _, name := range []string{placeFile, "directory"} {
		if _, err := p.Get(t.Context(), name); !errors.Is(err, backup.ErrDamaged) {
			t.Errorf("%s was read: %v", name, err)
		}
	}
}
