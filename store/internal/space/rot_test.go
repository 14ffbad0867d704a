package space_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
	"github.com/holdfast-ipfs/holdfast/store/internal/space"
	"github.com/holdfast-ipfs/holdfast/store/internal/space/reading"
)

// The mark of a file that is gone goes with a start: another may get its number.
func TestMarksOfDamagedFilesGo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "000042.vlog")
	for _, as := range [][]string{{space.DamagedLog}, {space.DamagedLog, space.DeadLog}} {
		for _, m := range as {
			must(t, space.Mark(path, m))
		}
		must(t, space.RemoveDead(filepath.Dir(path)))
		if space.Marked(path, space.DamagedLog) || space.Marked(path, space.DeadLog) {
			t.Errorf("of %q something is left", as)
		}
	}
}

// All of a file that was written can be read; what cannot be is found.
func TestCheckLog(t *testing.T) {
	dir := t.TempDir()
	s := roomtest.OpenSmall(t, dir, roomtest.Config{})
	bs := roomtest.SomeBlocks(3000, 80, 50_000)
	roomtest.BeginPin(t, s, 1).Put(t, s, bs)
	must(t, s.Close())
	path := roomtest.ValueLog(t, dir)[0]
	whole, err := os.ReadFile(path)
	must(t, err)
	first, last := roomtest.Entries(whole, bs)
	zeroed := bytes.Clone(whole)
	clear(zeroed[first+4096 : first+8192])
	for name, c := range map[string]struct {
		data []byte
		good bool
	}{
		"whole":           {whole, true},
		"empty":           {whole[:reading.LogHeader], true},
		"zeros behind it": {append(bytes.Clone(whole), make([]byte, 5000)...), true},
		"cut off":         {whole[:last+100], false},
		"garbage behind":  {append(bytes.Clone(whole), "garbage"...), false},
		"zeros in it":     {zeroed, false},
	} {
		t.Run(name, func(t *testing.T) {
			copied := filepath.Join(t.TempDir(), "000001.vlog")
			must(t, os.WriteFile(copied, c.data, 0o600))
			if err := space.CheckLog(t.Context(), copied); (err == nil) != c.good {
				t.Errorf("error %v", err)
			}
		})
	}
	for at := reading.LogHeader; at < len(whole); at += 9973 {
		data := bytes.Clone(whole)
		data[at] ^= 1 << (at % 8)
		must(t, os.WriteFile(path, data, 0o600))
		if err := space.CheckLog(t.Context(), path); err == nil {
			t.Errorf("a bit at %d is not noticed", at)
		}
	}
}
