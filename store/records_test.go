package store

import (
	"testing"
)

// openTest opens a store on a directory, until the test ends.
func openTest(t testing.TB, dir string, cfg Config) *Store {
	t.Helper()
	lock, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), lock, cfg)
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
