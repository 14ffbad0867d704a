package backup

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// TestGrowing: a file that grows is there once it is kept, as it was written, whatever its length.
func TestGrowing(t *testing.T) {
	p, err := OpenPlace(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	random := make([]byte, 9<<20)
	_, _ = rand.NewChaCha8([32]byte{2}).Read(random)
	for _, size := range []int{0, 1, 4096, growLittle - 1, growLittle, growLittle + 1, 5*growLittle + 77, len(random)} {
		g, err := p.(grower).grow("run/file", nil, growLittle)
		if err != nil {
			t.Fatal(err)
		}
		for b := random[:size]; len(b) > 0; {
			n := min(len(b), 300_001)
			if _, err := g.Write(b[:n]); err != nil {
				t.Fatal(err)
			}
			b = b[n:]
		}
		if at, err := g.Seek(0, io.SeekEnd); at != int64(size) || err != nil {
			t.Errorf("of %d bytes the end is at %d, %v", size, at, err)
		}
		if err := g.keep(); err != nil {
			t.Fatal(err)
		}
		if err := g.Close(); err != nil { // which does nothing
			t.Error(err)
		}
		b, err := readAll(t.Context(), p, "run/file", 1<<30)
		if err != nil || !bytes.Equal(b, random[:size]) {
			t.Errorf("%d bytes came back of %d, %v", len(b), size, err)
		}
	}
}

// TestGrowingWithoutRoom: a file that finds no room fails, and leaves nothing, not even an empty directory.
func TestGrowingWithoutRoom(t *testing.T) {
	dir := t.TempDir()
	p, err := OpenPlace(dir)
	if err != nil {
		t.Fatal(err)
	}
	full, left := errors.New("full"), int64(3<<20)
	g, err := roomy{p, func(size int64) error {
		if left -= size; left < 0 {
			return full
		}
		return nil
	}}.grow("run/file", nil, growLittle)
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; err == nil; n++ {
		if n > 100 {
			t.Fatal("it does not fail")
		}
		_, err = g.Write(make([]byte, growLittle))
	}
	if !errors.Is(err, full) {
		t.Error(err)
	}
	if err := g.keep(); !errors.Is(err, full) {
		t.Errorf("it is kept: %v", err)
	}
	if left, err := os.ReadDir(filepath.Clean(dir)); err != nil || len(left) > 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}
