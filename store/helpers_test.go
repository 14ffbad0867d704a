package store

import (
	"flag"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

var (
	modelSeed = flag.Uint64("model-seed", 0, "`number` to repeat the choices of the model test with; 0 is a new one")
	killSeed  = flag.Uint64("kill-seed", 0, "`number` to repeat the choices of TestKilledDuringReclaim with; 0 is a new one")
)

// seedOf gives the seed that a flag asks for, or a new one.
func seedOf(asked uint64) uint64 {
	if asked != 0 {
		return asked
	}
	return uint64(time.Now().UnixNano())
}

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
