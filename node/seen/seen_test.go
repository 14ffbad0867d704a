package seen

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/multiformats/go-multihash"
)

func hashOf(t testing.TB, n uint64) multihash.Multihash {
	t.Helper()
	h, err := multihash.Sum(binary.BigEndian.AppendUint64(nil, n), multihash.SHA2_256, -1)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func atMost(n int) func() int { return func() int { return n } }

// The set is a map, whatever of it is on disk.
func TestSetAgainstAMap(t *testing.T) {
	for _, most := range []int{1, 7, 100, 1 << 20} {
		dir := t.TempDir()
		s := New(dir, atMost(most))
		spills := 0
		s.onSpill = func() { spills++ }
		want := map[uint64]uint64{}
		rng := rand.New(rand.NewPCG(1, uint64(most)))
		for range 3000 {
			n := rng.Uint64N(900)
			got, err := s.Get(hashOf(t, n))
			if err != nil {
				t.Fatal(err)
			}
			if got != want[n] {
				t.Fatalf("most %d: %d has %d, want %d", most, n, got, want[n])
			}
			if rng.IntN(2) == 0 {
				v := rng.Uint64()
				want[n] = v
				if err := s.Put(hashOf(t, n), v); err != nil {
					t.Fatal(err)
				}
			}
			if s.Len() != len(want) {
				t.Fatalf("most %d: %d entries, want %d", most, s.Len(), len(want))
			}
		}
		for n := range uint64(1000) {
			if got, err := s.Get(hashOf(t, n)); err != nil || got != want[n] {
				t.Fatalf("most %d: %d has %d, want %d; %v", most, n, got, want[n], err)
			}
		}
		if (spills > 0) != (most < 900) {
			t.Errorf("most %d: %d spills", most, spills)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("files are left: %v, %v", left, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Keys that crowd are found all the same: it does not rely on how they spread.
func TestRunOfCrowdedKeys(t *testing.T) {
	s := New(t.TempDir(), atMost(1<<20))
	for n := range uint64(5000) {
		var k key
		k[1] = byte(n % 3) // nearly all at the beginning
		binary.BigEndian.PutUint64(k[8:], n)
		s.fresh[k] = uint64(n)
	}
	if err := s.spill(); err != nil {
		t.Fatal(err)
	}
	for n := range uint64(5000) {
		var k key
		k[1] = byte(n % 3)
		binary.BigEndian.PutUint64(k[8:], n)
		if v, found, err := s.get(k); err != nil || !found || v != uint64(n) {
			t.Fatalf("%d: %d, %v, %v", n, v, found, err)
		}
		k[15]++
		k[0] = 0xff
		if _, found, err := s.get(k); err != nil || found {
			t.Fatalf("%x is found: %v", k, err)
		}
	}
}

func TestFilterIsWorthItsBits(t *testing.T) {
	b := newBloom(10_000)
	rng := rand.NewChaCha8([32]byte{})
	next := func() (k key) {
		rng.Read(k[:])
		return k
	}
	for range 10_000 {
		k := next()
		b.add(k)
		if !b.has(k) {
			t.Fatal("a key is lost")
		}
	}
	wrong := 0
	for range 10_000 {
		if b.has(next()) {
			wrong++
		}
	}
	if wrong > 200 {
		t.Errorf("%d of 10,000 looks would be in vain", wrong)
	}
}

// The disk may be read-only, or full.
func TestSpillThatFails(t *testing.T) {
	s := New("/nonexistent", atMost(1))
	if err := s.Put(hashOf(t, 1), 1); err == nil {
		t.Error("no error")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func BenchmarkPut(b *testing.B) {
	s := New(b.TempDir(), atMost(256<<10))
	defer s.Close()
	n := uint64(0)
	for b.Loop() {
		if err := s.Put(hashOf(b, n), 1); err != nil {
			b.Fatal(err)
		}
		n++
	}
}

// A set in files grows only while the disk has room for them.
func TestFilesWithinRoom(t *testing.T) {
	full, left := errors.New("full"), uint64(100*entrySize)
	s := New(t.TempDir(), atMost(10)).Within(func(bytes uint64) error {
		if bytes > left {
			return full
		}
		left -= bytes
		return nil
	})
	defer s.Close()
	var err error
	n := uint64(0)
	for ; err == nil && n < 1000; n++ {
		err = s.Put(hashOf(t, n), n)
	}
	if !errors.Is(err, full) {
		t.Errorf("after %d entries: %v", n, err)
	}
}
