package store

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/holdfast-ipfs/holdfast/pin/pintest"
	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
	"github.com/holdfast-ipfs/holdfast/store/internal/space"
)

// A database that is damaged is told so, and what is there of it stays.
func TestDamagedDatabase(t *testing.T) {
	for name, damage := range map[string]struct {
		file string
		do   func([]byte) []byte // nil removes it
	}{
		"not a manifest":           {"MANIFEST", func(b []byte) []byte { b[0] ^= 1; return b }},
		"a manifest that is empty": {"MANIFEST", func([]byte) []byte { return nil }},
		"a bit of the manifest":    {"MANIFEST", func(b []byte) []byte { b[len(b)/2] ^= 1; return b }},
		"garbage after it":         {"MANIFEST", func(b []byte) []byte { return append(b, bytes.Repeat([]byte("garbage"), 10)...) }},
		"no manifest":              {"MANIFEST", nil},
		"no key registry":          {"KEYREGISTRY", func([]byte) []byte { return nil }},
		"no table":                 {"000001.sst", nil},
		"an empty table":           {"000001.sst", func([]byte) []byte { return nil }},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			lock, err := Lock(dir)
			must(t, err)
			defer lock.Close()
			s, err := Open(t.Context(), lock, Config{})
			must(t, err)
			_, err = s.requestRecords.Add(t.Context(), roomtest.Account, pintest.DAGSpec(1))
			must(t, err)
			must(t, s.Close())
			path := filepath.Join(dir, dbName, damage.file)
			whole, err := os.ReadFile(path)
			must(t, err)
			must(t, os.Remove(path))
			if damage.do != nil {
				must(t, os.WriteFile(path, damage.do(bytes.Clone(whole)), 0o600))
			}
			before := files(t, filepath.Join(dir, dbName))
			for range 2 {
				if s, err := Open(t.Context(), lock, Config{}); !errors.Is(err, space.ErrDamaged) {
					t.Fatalf("it opens as %v, %v", s, err)
				}
				after := files(t, filepath.Join(dir, dbName))
				for name, size := range before {
					if now, there := after[name]; !there || now != size {
						t.Fatalf("%s had %d bytes, and has %d: %v", name, size, now, there)
					}
				}
			}
			// Mended, it is whole.
			must(t, os.WriteFile(path, whole, 0o600))
			s, err = Open(t.Context(), lock, Config{})
			must(t, err)
			u, err := s.requestRecords.Usage(t.Context(), roomtest.Account)
			must(t, err)
			if u.Pins != 1 {
				t.Errorf("%d pins, want 1", u.Pins)
			}
			must(t, s.Close())
		})
	}
}

// files gives the files of a directory with their sizes.
func files(t *testing.T, dir string) map[string]int64 {
	t.Helper()
	found := map[string]int64{}
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		info, err := e.Info()
		must(t, err)
		found[e.Name()] = info.Size()
	}
	return found
}
