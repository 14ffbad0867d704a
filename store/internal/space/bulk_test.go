package space

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/holdfast-ipfs/holdfast/store/internal/space/reading"
)

// openBulk opens a database whose files are small.
func openBulk(t *testing.T, cfg Config) *Space {
	t.Helper()
	opts := BadgerOptions()
	opts.ValueLogFileSize = 1 << 20
	opts.MemTableSize = 16 << 10
	s, err := Open(t.Context(), cfg, opts)
	must(t, err)
	return s
}

func closeBulk(t *testing.T, s *Space) {
	t.Helper()
	s.DB().Shut()
	must(t, s.Close())
}

// bulkValues are keys and values of many lengths: one is longer than a piece, all of them are longer than
// several files, and their keys take several of Badger's memories.
func bulkValues(seed byte) map[string][]byte {
	random := rand.NewChaCha8([32]byte{seed})
	lengths := rand.New(random)
	all := map[string][]byte{}
	for i := range 150 {
		size := 1 + lengths.IntN(50<<10)
		if i == 20 {
			size = bulkPiece + 12345
		}
		value := make([]byte, size)
		_, _ = random.Read(value)
		all[fmt.Sprintf("/blocks/%x", sha256.Sum256(value))] = value
	}
	return all
}

func addAll(t *testing.T, b *Bulk, all map[string][]byte) {
	t.Helper()
	for key, value := range all {
		must(t, b.Add([]byte(key), value))
	}
}

// hasAll fails unless a database has all values, in files that are whole.
func hasAll(t *testing.T, s *Space, all map[string][]byte) {
	t.Helper()
	must(t, s.db.View(func(txn *badger.Txn) error {
		for key, want := range all {
			got, err := reading.Fetch(txn, []byte(key), nil)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s has %d bytes of %d: %v", key, len(got), len(want), err)
			}
		}
		return nil
	}))
	files, err := filepath.Glob(filepath.Join(s.dbDir, "*.vlog"))
	must(t, err)
	for _, path := range files {
		if err := checkLog(t.Context(), path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// noneLeft fails if a file is left that Badger does not know.
func noneLeft(t *testing.T, dir string) {
	t.Helper()
	for _, pattern := range []string{"*" + bulkFile, "*" + bulkReady} {
		if left, err := filepath.Glob(filepath.Join(dir, pattern)); err != nil || len(left) > 0 {
			t.Errorf("there are still %v: %v", left, err)
		}
	}
}

// Values that went past Badger are as those that did not: they are read, deleted, and their space is
// given back.
func TestBulk(t *testing.T) {
	cfg := config(t)
	s := openBulk(t, cfg)
	old := bytes.Repeat([]byte{7}, 5000)
	must(t, s.db.Update(func(txn *badger.Txn) error { return txn.Set([]byte("/blocks/old"), old) }))
	all := map[string][]byte{"/blocks/old": old}
	for seed := range byte(2) {
		b, err := s.NewBulk()
		must(t, err)
		more := bulkValues(seed)
		addAll(t, b, more)
		closeBulk(t, s)
		must(t, b.Seal())
		b.Cancel()
		noneLeft(t, cfg.Dir)
		s = openBulk(t, cfg)
		for key, value := range more {
			all[key] = value
		}
		hasAll(t, s, all)
	}
	full, err := DiskUse(cfg.Dir)
	must(t, err)
	wb := s.DB().NewBatch()
	for key := range all {
		must(t, wb.Delete([]byte(key)))
	}
	must(t, wb.Flush())
	closeBulk(t, s)
	s = openBulk(t, cfg)
	must(t, s.GiveBack(t.Context(), GiveBackWork{
		Compacting: func() {}, Collecting: func(uint64) {},
		Pause: func(context.Context, time.Duration) error { return nil },
	}))
	left, err := DiskUse(cfg.Dir)
	must(t, err)
	if left > full/4 {
		t.Errorf("of %d bytes on disk %d are left after all was deleted", full, left)
	}
	closeBulk(t, s)
}

// Wherever it is cut off, the database gets all values or none, and no file stays that it does not know.
func TestBulkCutOff(t *testing.T) {
	for cut := 0; ; cut++ {
		cfg := config(t)
		s := openBulk(t, cfg)
		b, err := s.NewBulk()
		must(t, err)
		all := bulkValues(byte(cut))
		addAll(t, b, all)
		closeBulk(t, s)
		if cut == 0 { // before all was written
			must(t, b.stop())
			all = nil
		} else {
			must(t, b.seal())
		}
		// What a crash leaves of the names.
		logs, err := filepath.Glob(filepath.Join(cfg.Dir, "*.*"+bulkFile))
		must(t, err)
		slices.Sort(logs)
		done := cut > len(logs)
		if mems, err := filepath.Glob(filepath.Join(cfg.Dir, "*.mem"+bulkFile)); cut > 0 && (err != nil || len(mems) == 0 || len(logs) < 5) {
			t.Errorf("there are only %v, and the logs of memory %v: %v", logs, mems, err)
		}
		for _, log := range logs[:min(max(cut-1, 0), len(logs))] {
			must(t, os.Rename(log, log[:len(log)-len(bulkFile)]))
		}
		s = openBulk(t, cfg)
		noneLeft(t, cfg.Dir)
		hasAll(t, s, all)
		if cut == 0 {
			if n := len(bulkValues(0)); n == 0 {
				t.Error("nothing was tried")
			}
			must(t, s.db.View(func(txn *badger.Txn) error {
				for key := range bulkValues(0) {
					if _, err := txn.Get([]byte(key)); err != badger.ErrKeyNotFound {
						t.Errorf("%s is there: %v", key, err)
					}
				}
				return nil
			}))
		}
		closeBulk(t, s)
		b.Cancel()
		if done && cut > 0 {
			return
		}
	}
}

// A disk that fails is an error before all is read, and leaves nothing.
func TestBulkUnwritable(t *testing.T) {
	cfg := config(t)
	s := openBulk(t, cfg)
	b, err := s.NewBulk()
	must(t, err)
	must(t, b.Add([]byte("/blocks/first"), make([]byte, 1000)))
	must(t, b.file.Close())
	for i := 0; err == nil; i++ {
		if i == 1000 {
			t.Fatal("all was taken")
		}
		err = b.Add(fmt.Appendf(nil, "/blocks/%d", i), make([]byte, 1<<20))
	}
	if err := b.stop(); err == nil {
		t.Error("a disk that fails is no error")
	}
	b.Cancel()
	closeBulk(t, s)
	noneLeft(t, cfg.Dir)
}

// A value of which a part was written when the disk became full is in no file, also if there is room again when
// the others are sealed.
func TestBulkDiskFull(t *testing.T) {
	cfg := config(t)
	var full atomic.Bool
	cfg.FreeSpace = func(string) (uint64, error) {
		if full.Load() {
			return 0, nil
		}
		return 1 << 40, nil
	}
	s := openBulk(t, cfg)
	b, err := s.NewBulk()
	must(t, err)
	all := bulkValues(1)
	addAll(t, b, all)
	full.Store(true)
	value := make([]byte, bulkPiece)
	for i := 0; err == nil; i++ {
		if i == 10 {
			t.Fatal("all was taken")
		}
		err = b.Add(fmt.Appendf(nil, "/blocks/%d", i), value)
	}
	full.Store(false)
	closeBulk(t, s)
	if b.Seal() != nil {
		all = nil
	}
	b.Cancel()
	s = openBulk(t, cfg)
	noneLeft(t, cfg.Dir)
	hasAll(t, s, all)
	closeBulk(t, s)
}
