package store

import (
	"testing"

	"github.com/dgraph-io/badger/v4"
	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
	"github.com/holdfast-ipfs/holdfast/store/internal/space"
)

// openTest opens a store on a directory, until the test ends, with little memory.
func openTest(t testing.TB, dir string, cfg Config) *Store {
	t.Helper()
	return openWithOptions(t, dir, cfg, roomtest.SmallMemory())
}

// openServed opens a store as a server does, until the test ends.
func openServed(t testing.TB, dir string, cfg Config) *Store {
	t.Helper()
	return openWithOptions(t, dir, cfg, space.BadgerOptions())
}

func openWithOptions(t testing.TB, dir string, cfg Config, opts *badger.Options) *Store {
	t.Helper()
	lock, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := openWith(t.Context(), dir, cfg.withDefaults(), opts, migrations())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := lock.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
