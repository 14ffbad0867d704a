package store

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	blocks "github.com/ipfs/go-block-format"

	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
	"github.com/holdfast-ipfs/holdfast/store/internal/space"
)

// rotten is a store of which 70 % is about to be unpinned, over many files of the
// value log.
type rotten struct {
	dir                    string
	gone, kept             *roomtest.Pinned
	goneBlocks, keptBlocks []blocks.Block
}

func makeRotten(t *testing.T) *rotten {
	t.Helper()
	r := &rotten{dir: t.TempDir()}
	s, lock := openSmall(t, r.dir)
	r.gone, r.kept = roomtest.BeginPin(t, s, 1), roomtest.BeginPin(t, s, 2)
	for i := range 20 {
		g, k := roomtest.SomeBlocks(uint64(3000+i), 12, 50_000), roomtest.SomeBlocks(uint64(4000+i), 5, 50_000)
		r.goneBlocks, r.keptBlocks = append(r.goneBlocks, g...), append(r.keptBlocks, k...)
		r.gone.Put(t, s, g)
		r.kept.Put(t, s, k)
	}
	r.gone.Complete(t, s, len(r.goneBlocks))
	r.kept.Complete(t, s, len(r.keptBlocks))
	must(t, s.Close())
	must(t, lock.Close())
	return r
}

// flip changes a bit of a file.
func flip(t *testing.T, path string, at int) {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	data[at] ^= 1
	must(t, os.WriteFile(path, data, 0o600))
}

// openLogged is openSmall with a log.
func openLogged(t *testing.T, dir string, change ...func(*Config)) (*Store, *bytes.Buffer) {
	t.Helper()
	log := new(bytes.Buffer)
	s, lock := openSmall(t, dir, append(change, func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(log, nil)) })...)
	t.Cleanup(func() { must(t, s.Close()); must(t, lock.Close()) })
	return s, log
}

// A bit that flipped in one block, even in one that nobody needs, costs none of the
// others: its file is not collected, and the others are.
func TestReclaimKeepsWhatIsBehindAFlippedBit(t *testing.T) {
	r := makeRotten(t)
	flipped := ""
	for _, path := range roomtest.ValueLog(t, filepath.Join(r.dir, dbName)) {
		data, err := os.ReadFile(path)
		must(t, err)
		first, _ := roomtest.Entries(data, r.goneBlocks)
		if _, last := roomtest.Entries(data, r.keptBlocks); first < last {
			flip(t, path, first+1000)
			flipped = path
			break
		}
	}
	if flipped == "" {
		t.Fatal("no file has both")
	}
	s, log := openLogged(t, r.dir)
	r.gone.Remove(t, s)
	if found, _ := verify(t, s); len(found) > 0 {
		t.Fatalf("before the reclaim %d pinned blocks are damaged", len(found))
	}
	for range 2 {
		report, err := s.Reclaim(t.Context(), nil)
		must(t, err)
		if report.Damaged != 1 {
			t.Errorf("%d files are damaged, want 1", report.Damaged)
		}
	}
	if found, report := verify(t, s); len(found) > 0 {
		t.Errorf("after the reclaim %d pinned blocks are damaged: %d corrupt, %d missing", len(found), report.Corrupt, report.Missing)
	}
	if used, err := space.DiskUse(s.dbDir); err != nil || used > uint64(r.kept.Bytes)*13/10+8<<20 {
		t.Errorf("%d KiB stay taken for %d KiB alive, %v", used>>10, r.kept.Bytes>>10, err)
	}
	if n := strings.Count(log.String(), "is damaged"); n != 1 || !strings.Contains(log.String(), filepath.Base(flipped)) {
		t.Errorf("it is told %d times:\n%s", n, log)
	}
	if st, err := s.Stats(t.Context()); err != nil || st.Damaged != 1 {
		t.Errorf("stats say %d damaged files, %v", st.Damaged, err)
	}
	if _, err := os.Lstat(flipped + ".dead"); err != nil {
		t.Errorf("what is alive in the file was not moved: %v", err)
	}
}

// What is alive in a damaged file is moved, but for what is damaged itself. The file is
// known over restarts. Once that was mended the next reclaim sees it, though nothing else
// is dead, and the start after that removes the file.
func TestDamagedFileGoes(t *testing.T) {
	r := makeRotten(t)
	var flipped string
	var bad blocks.Block
	for _, path := range roomtest.ValueLog(t, filepath.Join(r.dir, dbName)) {
		data, err := os.ReadFile(path)
		must(t, err)
		for _, b := range r.keptBlocks {
			if at := bytes.Index(data, roomtest.BlockKey(b.Cid().Hash())); at >= 0 && flipped == "" {
				flip(t, path, at+1000)
				flipped, bad = path, b
			}
		}
	}
	whole := func(s *Store, mended bool) {
		t.Helper()
		for i, b := range r.keptBlocks {
			if good := mended || b.Cid() != bad.Cid(); s.holds(t, roomtest.RefOf(b)) != good {
				t.Errorf("block %d can be read: %v", i, !good)
			}
		}
	}
	counted := func(s *Store, damaged, emptied int) {
		t.Helper()
		if st, err := s.Stats(t.Context()); err != nil || st.Damaged != damaged {
			t.Errorf("stats count %d damaged files, want %d, %v", st.Damaged, damaged, err)
		}
		report, err := s.Reclaim(t.Context(), nil)
		must(t, err)
		if report.Damaged != damaged || report.Emptied != emptied {
			t.Errorf("a reclaim counts %d damaged files, of which %d are empty, want %d and %d",
				report.Damaged, report.Emptied, damaged, emptied)
		}
	}
	t.Run("damaged", func(t *testing.T) {
		s, log := openLogged(t, r.dir)
		r.gone.Remove(t, s)
		reclaimAll(t, s)
		counted(s, 1, 0)
		whole(s, false)
		if _, err := os.Lstat(flipped + ".dead"); err == nil || !strings.Contains(log.String(), "left=1") {
			t.Errorf("it goes with a block in it that is to be mended, %v:\n%s", err, log)
		}
	})
	t.Run("mended", func(t *testing.T) {
		s, _ := openLogged(t, r.dir)
		counted(s, 1, 0)
		if found, _ := verify(t, s); len(found) != 1 {
			t.Errorf("%d blocks are damaged", len(found))
		}
		must(t, roomtest.PutTo(s, t.Context(), r.kept.Attempt, []blocks.Block{bad})) // as a repair does
		counted(s, 1, 1)
		whole(s, true)
		if _, err := os.Lstat(flipped + ".dead"); err != nil {
			t.Error(err)
		}
	})
	s, log := openLogged(t, r.dir)
	for _, name := range []string{flipped, flipped + ".damaged", flipped + ".dead"} {
		if _, err := os.Lstat(name); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is there: %v", name, err)
		}
	}
	whole(s, true)
	if found, _ := verify(t, s); len(found) > 0 {
		t.Errorf("%d blocks are damaged", len(found))
	}
	counted(s, 0, 0)
	if log.Len() > 0 {
		t.Errorf("the log says\n%s", log)
	}
}

// Where there is no room to move what is alive in a damaged file, it waits, and the
// reclaim goes on.
func TestDamagedFileWaitsForRoom(t *testing.T) {
	r := makeRotten(t)
	path := roomtest.ValueLog(t, filepath.Join(r.dir, dbName))[0]
	data, err := os.ReadFile(path)
	must(t, err)
	first, _ := roomtest.Entries(data, r.goneBlocks)
	flip(t, path, first+1000)
	must(t, os.WriteFile(path+".damaged", nil, 0o600))
	full := false
	s, log := openLogged(t, r.dir, func(c *Config) {
		c.FreeSpace = func(dir string) (uint64, error) {
			if full {
				return roomtest.DefaultReserve/4 + 1<<10, nil
			}
			return space.FreeSpace(dir)
		}
	})
	full = true
	report, err := s.Reclaim(t.Context(), nil)
	if err != nil || report.Damaged != 1 || report.Emptied != 0 {
		t.Errorf("without room: %+v, %v", report, err)
	}
	if !strings.Contains(log.String(), "was not moved") {
		t.Errorf("the log says\n%s", log)
	}
	full = false
	report, err = s.Reclaim(t.Context(), nil)
	if err != nil || report.Damaged != 1 || report.Emptied != 0 {
		t.Errorf("with room, and the block still there: %+v, %v", report, err)
	}
	r.gone.Remove(t, s)
	report, err = s.Reclaim(t.Context(), nil)
	if err != nil || report.Damaged != 1 || report.Emptied != 1 {
		t.Errorf("with room, and without the block: %+v, %v", report, err)
	}
}

// Nor is the newest file cut off at such a block when the store is opened, in whatever
// part of the entry it is.
func TestOpenKeepsWhatIsBehindAFlippedBit(t *testing.T) {
	for name, offset := range map[string]int{
		"in the block":             1000,
		"in its length":            -3,
		"in the length of its key": -4,
		"in its key":               20,
	} {
		t.Run(name, func(t *testing.T) {
			r := makeRotten(t)
			logs := roomtest.ValueLog(t, filepath.Join(r.dir, dbName))
			newest := logs[len(logs)-1]
			data, err := os.ReadFile(newest)
			must(t, err)
			first, _ := roomtest.Entries(data, r.goneBlocks)
			if _, last := roomtest.Entries(data, r.keptBlocks); first > last {
				t.Fatal("there is no block behind")
			}
			flip(t, newest, first+offset)
			for _, newestStill := range []bool{true, false} {
				t.Run("", func(t *testing.T) {
					s, log := openLogged(t, r.dir)
					if st, err := s.Stats(t.Context()); err != nil || st.Damaged != 1 {
						t.Errorf("stats count %d damaged files, %v", st.Damaged, err)
					}
					for i, b := range r.keptBlocks {
						if !s.holds(t, roomtest.RefOf(b)) {
							t.Errorf("block %d cannot be read", i)
						}
					}
					told := strings.Contains(log.String(), "is damaged") && strings.Contains(log.String(), filepath.Base(newest))
					if told != newestStill {
						t.Errorf("the log says\n%s", log)
					}
				})
			}
		})
	}
}

// What a crash leaves at the end of the newest file is cut off, as ever.
func TestOpenAfterACrash(t *testing.T) {
	r := makeRotten(t)
	logs := roomtest.ValueLog(t, filepath.Join(r.dir, dbName))
	newest := logs[len(logs)-1]
	data, err := os.ReadFile(newest)
	must(t, err)
	_, last := roomtest.Entries(data, append(r.goneBlocks, r.keptBlocks...))
	must(t, os.WriteFile(newest, append(data[:last+300:last+300], make([]byte, 100_000)...), 0o600))
	s, log := openLogged(t, r.dir)
	if log.Len() > 0 {
		t.Errorf("the log says\n%s", log)
	}
	info, err := os.Stat(newest)
	must(t, err)
	if info.Size() >= int64(last) {
		t.Errorf("it has %d bytes, and was torn at %d", info.Size(), last)
	}
	if n, _, err := s.space.DamagedLogs(); err != nil || n > 0 {
		t.Errorf("%d files are damaged, %v", n, err)
	}
}

// A value whose length is damaged leaves a lock behind in Badger; the store closes all
// the same, and says what happened.
func TestCloseAfterADamagedLength(t *testing.T) {
	r := makeRotten(t)
	path := roomtest.ValueLog(t, filepath.Join(r.dir, dbName))[0]
	data, err := os.ReadFile(path)
	must(t, err)
	first, _ := roomtest.Entries(data, r.keptBlocks)
	flip(t, path, first-3)
	s, lock := openSmall(t, r.dir, func(c *Config) { c.closeWait = 10 * time.Millisecond }) // it never ends
	if found, _ := verify(t, s); len(found) != 1 {
		t.Errorf("%d blocks are damaged", len(found))
	}
	if err := s.Close(); err == nil || !strings.Contains(err.Error(), unclosed) {
		t.Errorf("error %v", err)
	}
	must(t, lock.Close())
}
