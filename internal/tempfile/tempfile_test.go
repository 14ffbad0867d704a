package tempfile_test

import (
	"errors"
	"io"
	"os"
	"testing"

	"github.com/holdfast-ipfs/holdfast/internal/tempfile"
)

// A file takes what there is room for, has no name, and keeps what it took.
func TestRoom(t *testing.T) {
	full := errors.New("full")
	dir, left := t.TempDir(), uint64(10)
	f, err := tempfile.Create(dir, "some-*", func(bytes uint64) error {
		if bytes > left {
			return full
		}
		left -= bytes
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if names, err := os.ReadDir(dir); err != nil || len(names) > 0 {
		t.Errorf("the directory has %v, %v", names, err)
	}
	if _, err := f.Write([]byte("12345678")); err != nil {
		t.Error(err)
	}
	if n, err := f.Write([]byte("123")); n != 0 || !errors.Is(err, full) {
		t.Errorf("%d bytes were written without room, %v", n, err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(f); err != nil || string(b) != "12345678" {
		t.Errorf("it has %q, %v", b, err)
	}
}
