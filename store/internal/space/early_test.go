package space

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// What is begun to be written is whole pieces of what is copied, each once, also in a new file.
func TestEarlyPieces(t *testing.T) {
	dir := t.TempDir()
	for _, id := range []uint32{1, 2} {
		must(t, os.WriteFile(filepath.Join(dir, logName(id)), nil, 0o600))
	}
	synctest.Test(t, func(t *testing.T) {
		type part struct {
			file    string
			from, n int64
		}
		var began []part
		file, end := uint32(1), int64(3*earlyPiece+5) // as a batch before left it
		e := newEarly(dir, func() (uint32, int64) { return file, end })
		defer e.stop()
		e.start = func(f *os.File, from, n int64) { began = append(began, part{filepath.Base(f.Name()), from, n}) }
		done := e.begin(1, 10)
		look := func(want ...part) {
			t.Helper()
			synctest.Wait()
			began = nil
			time.Sleep(3 * earlyLook)
			synctest.Wait()
			if !slices.Equal(began, want) {
				t.Errorf("at %d of file %d it began %v, want %v", end, file, began, want)
			}
		}
		look()
		end = 6*earlyPiece + 7 // an entry is copied to there, from what the end was before
		look()
		end = 8 * earlyPiece
		look(part{logName(1), 3 * earlyPiece, 3 * earlyPiece})
		file, end = 2, earlyPiece+1
		look()
		end += 10
		look(part{logName(2), 0, earlyPiece})
		end += 10 * earlyPiece
		done()
		look()
		end += 10 * earlyPiece
		look()
	})
}
