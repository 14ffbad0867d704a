package space

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/dgraph-io/badger/v4"

	"github.com/holdfast-ipfs/holdfast/internal/diskerr"
	"github.com/holdfast-ipfs/holdfast/internal/durable"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
	"github.com/holdfast-ipfs/holdfast/store/internal/space/reading"
)

// Badger must not collect a damaged file of the value log. We write again what is alive in it and
// can be read; the rest is left to a repair. Once nothing is left in the file it is marked, and
// removed before Badger opens the next time. Until then Badger may hold a lock of the file, from a
// read that failed.

// A mark of a file of the value log is an empty file with the same name and one of these endings.
// Marks are files because they are needed while Badger is not open, too.
const (
	damagedLog = ".damaged" // Badger must not collect it
	deadLog    = ".dead"    // and nothing is left in it
)

// rescueBatch is how many bytes are moved together.
const rescueBatch = 8 << 20

// rewriter writes the blocks again that are under some keys of the go-datastore, and returns how
// many those are. It knows the locks of blocks.
type rewriter func(keys [][]byte) (n int, err error)

// RescueDamaged rescues what it can from all files that are known to be damaged. It looks at each of
// them every time, since what was left in one may have been repaired meanwhile. A file for which
// there is no room is left for the next time.
func (s *Space) RescueDamaged(ctx context.Context, rewrite rewriter) error {
	all, err := logFiles(s.dbDir)
	if err != nil || len(all) == 0 {
		return err
	}
	for _, f := range all[:len(all)-1] { // the newest is being written
		path := filepath.Join(s.dbDir, f.name)
		if !marked(path, damagedLog) || marked(path, deadLog) {
			continue
		}
		err := s.rescue(ctx, f, rewrite)
		if errors.Is(err, diskerr.ErrDiskFull) {
			s.log.Warn("what can be read of a damaged file of the value log was not moved", "file", path, "err", err)
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// rescue moves what it can out of a damaged file. If nothing that is alive is left, it marks the
// file as dead.
func (s *Space) rescue(ctx context.Context, f logFile, rewrite rewriter) error {
	p, d := s.inside.places, s.inside.discards
	path := filepath.Join(s.dbDir, f.name)
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("rescue what is in %s: %w", f.name, err)
	}
	defer file.Close()
	room := uint64(f.size) - min(d.dead()[f.id], uint64(f.size))
	moved, left := 0, 0
	for from := []byte{}; from != nil; {
		if err := ctx.Err(); err != nil {
			return err
		}
		var some []valuePlace
		if some, from, err = s.placesFrom(p, f.id, from); err != nil {
			return err
		}
		if len(some) > 0 && moved == 0 {
			if err := s.roomToMove(room); err != nil {
				return err
			}
		}
		n, err := s.moveSome(ctx, file, some, rewrite)
		if err != nil {
			return fmt.Errorf("move values out of %s: %w", f.name, err)
		}
		moved += n
		left += len(some) - n
	}
	if left == 0 {
		if err := mark(path, deadLog); err != nil {
			return err
		}
	}
	s.log.Warn("what can be read of a damaged file of the value log was moved; once nothing is left in it, the next start removes it",
		"file", path, "moved", moved, "left", left)
	return nil
}

// placesFrom goes through some keys, from one on, and lists those with values in a file. It gives the
// key to go on at; nil at the end.
func (s *Space) placesFrom(p valuePlaces, file uint32, from []byte) (some []valuePlace, next []byte, err error) {
	txn := s.db.NewTransaction(false)
	defer txn.Discard()
	it := reading.Iterate(txn, badger.DefaultIteratorOptions)
	defer it.Close()
	size := int64(0)
	it.Seek(from)
	for n := 1; ; n++ {
		item, ok := it.At(nil)
		if !ok {
			return some, nil, it.Failed()
		}
		if n > kv.WalkPage || size > rescueBatch {
			return some, item.KeyCopy(nil), nil
		}
		if at, ok := p.in(file, item); ok {
			some = append(some, at)
			size += at.length
		}
		it.Next()
	}
}

// moveSome writes those values again that can be read, and gives how many those are. Values of the
// go-datastore, which others may write, it leaves to rewrite.
func (s *Space) moveSome(ctx context.Context, file *os.File, some []valuePlace, rewrite rewriter) (moved int, err error) {
	var others [][]byte
	for _, at := range some {
		if err := ctx.Err(); err != nil {
			return moved, err
		}
		r := bufio.NewReader(io.NewSectionReader(file, at.off, at.length))
		if n, err := reading.ReadEntry(r, at.length); err != nil || n != at.length {
			continue // Badger must not read it either: see [Space.Close]
		}
		if bytes.HasPrefix(at.key, []byte("/")) {
			others = append(others, at.key)
			continue
		}
		err := s.kv.Update(ctx, func(t *kv.Tx) error {
			value, found, err := t.Get(at.key)
			if found {
				t.Set(at.key, value)
			}
			return err
		})
		if err != nil {
			return moved, err
		}
		moved++
	}
	n, err := rewrite(others)
	return moved + n, err
}

// mark puts a mark on a file of the value log.
func mark(path, as string) error {
	f, err := os.OpenFile(path+as, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(path))
}

// marked reports whether a file of the value log has a mark.
func marked(path, as string) bool {
	_, err := os.Lstat(path + as)
	return err == nil
}

// removeDead removes the files in which nothing is left, and the marks of files that are gone: Badger
// may give their numbers to other files. The database must not be open.
func removeDead(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	remove := func(name string) error {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return durable.SyncDir(dir)
	}
	for _, e := range entries {
		log, is := strings.CutSuffix(e.Name(), deadLog)
		if !is || filepath.Ext(log) != ".vlog" {
			continue
		}
		// The mark goes last: otherwise Badger would take the damaged file for a good one.
		if err := errors.Join(remove(log), remove(log+damagedLog)); err != nil {
			return err
		}
		if err := remove(e.Name()); err != nil {
			return err
		}
	}
	for _, e := range entries {
		log, is := strings.CutSuffix(e.Name(), damagedLog)
		if !is || filepath.Ext(log) != ".vlog" {
			continue
		}
		_, err := os.Lstat(filepath.Join(dir, log))
		if errors.Is(err, os.ErrNotExist) {
			err = remove(e.Name())
		}
		if err != nil {
			return err
		}
	}
	return nil
}
