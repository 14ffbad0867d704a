package space

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/dgraph-io/badger/v4"

	"github.com/holdfast-ipfs/holdfast/store/internal/space/reading"
)

// Zeros are written to a hole and to nothing else, and a file does not become longer by them.
func TestZerosAreWrittenToHolesAlone(t *testing.T) {
	const size, second = 4<<20 + 100, 2<<20 + 300
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	must(t, err)
	defer f.Close()
	must(t, f.Truncate(size))
	want := make([]byte, size)
	for _, at := range []int{0, second} {
		copy(want[at:], bytes.Repeat([]byte("x"), 5000))
		_, err := f.WriteAt(want[at:at+5000], int64(at))
		must(t, err)
	}
	before, err := fileUse(f.Name())
	must(t, err)
	for range 2 { // the second time there is no hole there
		writeZeros(f, 5000, second+10)
		got, err := os.ReadFile(f.Name())
		must(t, err)
		if !bytes.Equal(got, want) {
			t.Fatal("the file is another one")
		}
		must(t, f.Sync())
		used, err := fileUse(f.Name())
		must(t, err)
		if more := used - before; more < 2<<20-8<<10 || more > 2<<20 {
			t.Errorf("%d bytes were written", more)
		}
	}
	writeZeros(f, second+5000, 100<<20)
	got, err := os.ReadFile(f.Name())
	must(t, err)
	if !bytes.Equal(got, want) {
		t.Error("up to its end, the file is another one")
	}
}

// Badger says that it writes before it does, and not while it writes. Room is made then: no more than is
// asked for, and behind all that was written.
func TestRoomIsMadeBeforeAWrite(t *testing.T) {
	s, err := Open(t.Context(), config(t), BadgerOptions())
	must(t, err)
	defer func() {
		s.DB().Shut()
		must(t, s.Close())
	}()
	value := bytes.Repeat([]byte("v"), 100_000)
	must(t, s.DB().SetAlone([]byte("a"), value))
	file, before := s.inside.endOfLog()
	path := filepath.Join(s.dbDir, logName(file))
	s.early.stop() // it asks for the end as well
	var ends []int64
	end := s.early.end
	s.early.end = func() (uint32, int64) {
		id, at := end()
		ends = append(ends, at)
		return id, at
	}
	const room = 16 << 20
	s.early.bytes.Add(room)
	must(t, s.DB().SetAlone([]byte("b"), value))
	s.early.bytes.Add(-room)
	if len(ends) != 1 || ends[0] != before {
		t.Errorf("asked for room at %d, and the write began at %d", ends, before)
	}
	used, err := fileUse(path)
	must(t, err)
	if used < room || used > room+1<<20 {
		t.Errorf("the file takes %d bytes", used)
	}
	for _, key := range []string{"a", "b"} {
		must(t, s.db.View(func(txn *badger.Txn) error {
			got, err := reading.Fetch(txn, []byte(key), nil)
			if !bytes.Equal(got, value) {
				t.Errorf("%s is another value", key)
			}
			return err
		}))
	}
}
