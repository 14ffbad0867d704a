package space

import (
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// What is begun to be written is whole pieces of what is copied, each once, also in a new file. Nobody
// looks for long at what does not change.
func TestEarlyPieces(t *testing.T) {
	dir := t.TempDir()
	for _, id := range []uint32{1, 2} {
		must(t, os.WriteFile(filepath.Join(dir, logName(id)), nil, 0o600))
	}
	type part struct {
		file    string
		from, n int64
	}
	synctest.Test(t, func(t *testing.T) {
		var (
			mu    sync.Mutex
			file  = uint32(1)
			end   = int64(3*earlyPiece + 5) // as a batch before left it
			began []part
		)
		e := newEarly(dir, func() (uint32, int64) {
			mu.Lock()
			defer mu.Unlock()
			return file, end
		})
		defer e.stop()
		e.start = func(f *os.File, from, n int64) {
			mu.Lock()
			defer mu.Unlock()
			began = append(began, part{filepath.Base(f.Name()), from, n})
		}
		// at moves the end, and gives time for two looks at it.
		at := func(in uint32, to int64, want ...part) {
			t.Helper()
			mu.Lock()
			file, end, began = in, to, nil
			mu.Unlock()
			time.Sleep(2 * earlyLook)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(began, want) {
				t.Errorf("at %d of file %d it began %v, want %v", to, in, began, want)
			}
		}
		e.look()
		at(1, 3*earlyPiece+5)
		at(1, 6*earlyPiece+7) // an entry is copied to there, from where the end was before
		at(1, 8*earlyPiece, part{logName(1), 3 * earlyPiece, 3 * earlyPiece})
		at(2, earlyPiece+1)
		at(2, earlyPiece+11, part{logName(2), 0, earlyPiece})
		for range earlyStill {
			at(2, earlyPiece+11)
		}
		at(2, 5*earlyPiece) // nobody looks
		at(2, 9*earlyPiece)
		e.look()
		at(2, 9*earlyPiece)
		at(2, 12*earlyPiece)
		at(2, 12*earlyPiece+1, part{logName(2), 9 * earlyPiece, 3 * earlyPiece})
	})
}
