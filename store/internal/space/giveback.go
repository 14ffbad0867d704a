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

// Badger's value log learns what is dead in its files when compaction drops the
// keys, and gives a file up once what is alive in it was written anew. Three
// things keep the end of that from coming by itself:
//
//   - what is in memory is not compacted, and a tree of keys as small as ours
//     seldom is: so the memory is pushed out, and the tree compacted to one level;
//   - the file that is written now is never collected: so it is filled up first;
//   - a file is collected from a ratio of dead bytes on: so the ratio goes down.
//
// Blocks are never deleted while files are collected: Badger writes what is alive
// in a file anew some time after it looked, and a deletion in between might not
// outlast that.

const (
	// fillerKey is the length of keys that fill the memory, fillerKeys how many
	// of them are written, and synced, at a time.
	fillerKey, fillerKeys = 1 << 10, 1024
	// fillerValue is the length of values that fill a file.
	fillerValue = 4 << 20
	// pollInterval is how often Badger is asked how far it is, as it does not tell.
	pollInterval = 10 * time.Millisecond
)

// GiveBackWork is who gives space back: it hears how far that is, and makes it give way.
type GiveBackWork struct {
	Before     uint64 // bytes that the database took on disk when it began
	Compacting func()
	Collecting func(freed uint64) // by how many bytes that is less now
	Pause      func(ctx context.Context, took time.Duration) error
}

// GiveBack makes Badger give up the space of what was deleted.
func (s *Space) GiveBack(ctx context.Context, w GiveBackWork) error {
	w.Compacting()
	c := s.newCollector(w)
	if s.roomForReclaim() != nil {
		// The last one was cut off. What was known to be dead then makes room.
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
		return err // somebody reads what was deleted: the next one tries again
	}
	return s.kv.SetMeta(kv.MetaDead, nil)
}

// A read transaction keeps what was deleted since it began. Whether there is one is told
// by a key that was written and deleted after all that is to be given back: where
// compaction left it, it may have left that, too.

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

// compact brings all that was written until now to the lowest level of the tree.
func (s *Space) compact(ctx context.Context) error {
	// While nothing is below the top level, Badger leaves alone a few tables
	// there; one is added each time.
	for range s.db.Opts().NumLevelZeroTables + 1 {
		if err := s.pushOutMemory(ctx); err != nil {
			return err
		}
		// one worker: the other core is for the pins.
		if err := s.db.Flatten(1); err != nil {
			return fmt.Errorf("compact the tree of keys: %w", err)
		}
		if s.db.Levels()[0].NumTables == 0 {
			return nil
		}
	}
	return nil // others write that much meanwhile
}

// rollValueLog makes Badger begin a new file of the value log, if the present
// one holds enough that it matters. The only way is to fill it.
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

// fillUp writes until Badger begins a new file of a kind, each of which holds
// size bytes.
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

// newestFile gives the name of the file of a kind that is written now, and what it
// takes on disk.
func (s *Space) newestFile(kind string) (name string, used uint64, err error) {
	entries, err := os.ReadDir(s.dbDir)
	if err != nil {
		return "", 0, fmt.Errorf("look for %s files: %w", kind, err)
	}
	for _, e := range entries {
		// Names are numbers with leading zeros; there may be longer ones.
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

// pushOutMemory brings all that was written until now from memory to tables, so
// that compaction sees it. Deletions of keys that are not there do that, as they
// fill the memory and leave nothing behind.
func (s *Space) pushOutMemory(ctx context.Context) error {
	if err := s.kv.SetMeta(kv.MetaMark, binary.BigEndian.AppendUint64(nil, uint64(s.cfg.Now().UnixMilli()))); err != nil {
		return err
	}
	// Reading also tells Badger that older versions are of no use any more.
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

// inTables reports whether tables have what was written up to a version: they
// are written in order.
func (s *Space) inTables(version uint64) bool {
	for _, t := range s.db.Tables() {
		if t.MaxVersion >= version {
			return true
		}
	}
	return false
}
