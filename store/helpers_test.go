package store

import (
	"testing"

	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// testKey is a key that no record has.
func testKey(s string) []byte { return append([]byte{0x7f}, s...) }

func read(t *testing.T, s *Store, key []byte) (value string, found bool) {
	t.Helper()
	must(t, s.kv.View(t.Context(), func(r *kv.Reader) error {
		b, ok, err := r.Get(key)
		value, found = string(b), ok
		return err
	}))
	return value, found
}
