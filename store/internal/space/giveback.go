package space

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
	"github.com/holdfast-ipfs/holdfast/store/internal/space/reading"
)

// Badger learns what is dead in a file of the value log when a compaction drops the keys. It
// deletes the file once it has written elsewhere what is alive in it. Three things keep that from
// happening by itself:
//
//   - Keys in memory are not compacted, and a tree of keys as small as ours seldom is. So we push
//     the memory out to a table, and compact the tree to one level.
//   - The file that is being written is never collected. So we fill it up first.
//   - A file is collected only if a large part of it is dead. So we lower that part step by step.
//
// Blocks are not deleted while files are collected: Badger writes what is alive in a file some
// time after it looked, which could undo a deletion in between.

const (
	// fillerKey is the length of the keys that fill the memory, and fillerKeys how many of
	// them are written together, with one sync.
	fillerKey, fillerKeys = 1 << 10, 1024
	// fillerValue is the length of the values that fill a file.
	fillerValue = 4 << 20
	// pollInterval is how often we look how far Badger is.
	pollInterval = 10 * time.Millisecond
)

// GiveBackWork is the caller's side of GiveBack. All of it is needed.
type GiveBackWork struct {
	Before     uint64             // bytes that the database took on disk at first
	Compacting func()             // called before the tree of keys is compacted
	Collecting func(freed uint64) // called before each file, with by how many bytes less it takes now
	// Pause is called after each file, with the time that the file took.
	Pause func(ctx context.Context, took time.Duration) error
}

// GiveBack gives the space of what was deleted back to the system.
func (s *Space) GiveBack(ctx context.Context, w GiveBackWork) error {
	w.Compacting()
	c := s.newCollector(w)
	if s.roomForReclaim() != nil {
		// The last one was cut off. Files that it found to be dead make room.
		if err := c.collect(ctx); err != nil {
			return err
		}
		if err := s.roomForReclaim(); err != nil {
			return err
		}
	}
	if err := s.leaveCanary(); err != nil {
		return err
	}
	if err := s.rollValueLog(ctx); err != nil {
		return err
	}
	if err := s.compact(ctx); err != nil {
		return err
	}
	kept, err := s.canaryIsKept()
	if err != nil {
		return err
	}
	if err := c.collect(ctx); err != nil || kept {
		return err // a reader keeps what was deleted: the next reclaim tries again
	}
	return s.kv.SetMeta(kv.MetaDead, nil)
}

// A read transaction keeps what was deleted since it began. To find out whether there is one, a
// key, the canary, is written and deleted after all that is to be given back. If the compaction
// kept the canary, it may have kept more.

func (s *Space) leaveCanary() error {
	if err := s.kv.SetMeta(kv.MetaCanary, []byte{0}); err != nil {
		return err
	}
	return s.kv.SetMeta(kv.MetaCanary, nil)
}

func (s *Space) canaryIsKept() (kept bool, err error) {
	err = s.db.View(func(txn *badger.Txn) error {
		opt := badger.DefaultIteratorOptions
		opt.AllVersions, opt.Prefix = true, kv.MetaKey(kv.MetaCanary)
		it := reading.Iterate(txn, opt)
		defer it.Close()
		it.Seek(opt.Prefix)
		_, kept = it.At(opt.Prefix)
		return it.Failed()
	})
	return kept, err
}

// compact moves all that was written until now to the lowest level of the tree.
func (s *Space) compact(ctx context.Context) error {
	// While the lower levels are empty, Badger leaves a few tables in the top level. Each
	// round adds one.
	for range s.db.Opts().NumLevelZeroTables + 1 {
		if err := s.pushOutMemory(ctx); err != nil {
			return err
		}
		// One worker, which leaves the other core to the pins.
		if err := s.db.Flatten(1); err != nil {
			return fmt.Errorf("compact the tree of keys: %w", err)
		}
		if s.db.Levels()[0].NumTables == 0 {
			return nil
		}
	}
	return nil // others wrote that much meanwhile
}

// rollValueLog makes Badger begin a new file of the value log, unless there is little in the
// present one. The only way is to fill that.
func (s *Space) rollValueLog(ctx context.Context) error {
	size := s.db.Opts().ValueLogFileSize
	_, used, err := s.newestFile(".vlog")
	if err != nil || int64(used) < size/10 {
		return err
	}
	value := make([]byte, min(fillerValue, size/4))
	err = s.fillUp(ctx, ".vlog", size, func() (int, error) {
		return len(value), s.kv.SetMeta(kv.MetaFiller, value)
	})
	if err != nil {
		return fmt.Errorf("begin a new value log: %w", err)
	}
	return s.kv.SetMeta(kv.MetaFiller, nil)
}

// fillUp writes until Badger begins a new file of a kind. Such files hold size bytes.
func (s *Space) fillUp(ctx context.Context, kind string, size int64, write func() (int, error)) error {
	file, _, err := s.newestFile(kind)
	if err != nil {
		return err
	}
	for written := int64(0); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.roomForReclaim(); err != nil {
			return err
		}
		n, err := write()
		if err != nil {
			return err
		}
		now, _, err := s.newestFile(kind)
		if err != nil || now != file {
			return err
		}
		if written += int64(n); written > 4*size {
			return fmt.Errorf("%s does not end after %d bytes", file, written)
		}
	}
}

// newestFile gives the name of the file of a kind that is being written, and what it takes on disk.
func (s *Space) newestFile(kind string) (name string, used uint64, err error) {
	entries, err := os.ReadDir(s.dbDir)
	if err != nil {
		return "", 0, fmt.Errorf("look for %s files: %w", kind, err)
	}
	for _, e := range entries {
		// Names are numbers with leading zeros, and may have different lengths.
		n := e.Name()
		if strings.HasSuffix(n, kind) && (len(n) > len(name) || len(n) == len(name) && n > name) {
			name = n
		}
	}
	if name == "" {
		return "", 0, fmt.Errorf("there is no %s file", kind)
	}
	used, err = fileUse(filepath.Join(s.dbDir, name))
	return name, used, err
}

// pushOutMemory moves all that was written until now from memory to tables, where compaction sees
// it. For that it deletes keys that are not there: deletions fill the memory and leave nothing
// behind.
func (s *Space) pushOutMemory(ctx context.Context) error {
	if err := s.kv.SetMeta(kv.MetaMark, binary.BigEndian.AppendUint64(nil, uint64(s.cfg.Now().UnixMilli()))); err != nil {
		return err
	}
	// A read also lets Badger drop older versions.
	var mark uint64
	err := s.db.View(func(txn *badger.Txn) error {
		item, err := reading.Find(txn, kv.MetaKey(kv.MetaMark))
		if err == nil {
			mark = item.Version()
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("find the mark of a reclaim: %w", err)
	}
	key := append(kv.MetaKey(kv.MetaFiller), make([]byte, fillerKey)...)
	number := uint64(0)
	err = s.fillUp(ctx, ".mem", s.db.Opts().MemTableSize, func() (int, error) {
		wb := s.kv.NewBatch()
		defer wb.Cancel()
		for range fillerKeys {
			number++
			binary.BigEndian.PutUint64(key[len(key)-8:], number)
			if err := wb.Delete(bytes.Clone(key)); err != nil {
				return 0, err
			}
		}
		return fillerKeys * fillerKey, wb.Flush()
	})
	if err != nil {
		return fmt.Errorf("push out memory: %w", err)
	}
	for !s.inTables(mark) {
		if err := kv.Sleep(ctx, pollInterval); err != nil {
			return err
		}
	}
	return nil
}

// inTables reports whether tables have all that was written up to a version. Memory is written to
// tables in order.
func (s *Space) inTables(version uint64) bool {
	for _, t := range s.db.Tables() {
		if t.MaxVersion >= version {
			return true
		}
	}
	return false
}
