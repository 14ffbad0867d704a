package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// Values that are long enough are in the value log alone, and pushing memory out to a
// table does not write them again. After a sync of the value log that failed they are
// read from memory, and may not be on disk. A second sync says nothing of them. So the
// bytes are written again, the same to the same places, and synced: Linux then writes
// the pages again. That is right only if what is read back is what was written, which
// the checksums of the entries tell, up to the last one that was written.

// unsyncedLog is the mark of a file of the value log of which a sync failed. It need not
// come to disk: it is for a start that follows while Linux has the file in memory, which
// would take it for what is on disk.
const unsyncedLog = ".unsynced"

// errLostValues: of what was written and not synced not all can be read any more.
var errLostValues = errors.New("values that the disk did not take are lost: restart the server, which then looks through all that it had not finished")

// unsynced is what is in doubt in the value log.
type unsynced struct {
	from  uint32 // the first of its files that is
	cause error
	// held lets go of files that Badger has moved values out of, one function each.
	held []func()
}

// noteUnsynced is told by Badger's one goroutine that writes, before it answers.
func (s *Store) noteUnsynced(cause error) {
	var newest logFile // the first, and so all of them, if that is not known
	all, err := logFiles(s.dbDir)
	if len(all) > 0 && err == nil {
		newest = all[len(all)-1]
	}
	cause = fmt.Errorf("sync the value log: %w", cause)
	s.health.mu.Lock()
	s.health.unsyncs++
	if u := s.health.unsynced; u == nil {
		s.health.unsynced = &unsynced{from: newest.id, cause: cause}
	} else {
		u.from = min(u.from, newest.id)
	}
	s.fails(cause)
	s.health.mu.Unlock()
	if err == nil && newest.name != "" {
		err = mark(filepath.Join(s.dbDir, newest.name), unsyncedLog)
	}
	if err != nil {
		s.log.Debug("a file of the value log is not marked as not synced, or that is not on disk", "err", err)
	}
	s.holdUp(filepath.Join(s.dbDir, newest.name))
}

// holdUp holds Badger up, and all who write, while it moves values that may have been
// acknowledged long ago: where they are now is not written before they are on disk. It
// gives up when the store closes, or when values are lost.
func (s *Store) holdUp(newest string) {
	for {
		s.health.mu.Lock()
		collecting := s.health.collecting
		s.health.mu.Unlock()
		if !collecting || s.ctx.Err() != nil {
			return
		}
		err := writeLogAgain(s.ctx, newest, s.endOfLog())
		if err == nil || errors.Is(err, errLostValues) {
			return
		}
		_ = sleep(s.ctx, s.mendEvery)
	}
}

// collect has Badger move what is alive out of the file of which most is dead. Errors:
// Badger's; pin.ErrInDoubt, after which the file is there until that is no doubt.
func (s *Store) collect(ratio float64) error {
	collecting := func(is bool) {
		s.health.mu.Lock()
		defer s.health.mu.Unlock()
		s.health.collecting = is
	}
	release := s.holdLogs()
	collecting(true)
	err := s.db.RunValueLogGC(ratio)
	collecting(false)
	return errors.Join(err, s.releaseLogs(release))
}

// endOfLog finds where Badger has how far the newest file of the value log is written. An
// error means that this is not the Badger that we know.
func endOfLog(db *badger.DB) (func() int64, error) {
	unknown := errors.New("how far Badger's value log is written is not where it was in v4.9")
	log := reflect.ValueOf(db).Elem().FieldByName("vlog")
	if !log.IsValid() || log.Kind() != reflect.Struct {
		return nil, unknown
	}
	end := log.FieldByName("writableLogOffset")
	if !end.IsValid() || end.Type() != reflect.TypeFor[atomic.Uint32]() {
		return nil, unknown
	}
	at := (*atomic.Uint32)(end.Addr().UnsafePointer())
	return func() int64 { return int64(at.Load()) }, nil
}

// inDoubt gives the error of a write that Badger calls made: nil unless the value log is
// in doubt. health.mu must be held.
func (h *health) inDoubt() error {
	if h.unsynced == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", pin.ErrInDoubt, h.unsynced.cause)
}

// writeValuesAgain brings to disk what is in doubt in the value log. Errors:
// errLostValues, after which it need not be tried again; whatever the disk says.
func (s *Store) writeValuesAgain(ctx context.Context) error {
	s.health.mu.Lock()
	u, before := s.health.unsynced, s.health.unsyncs
	if u == nil {
		s.health.mu.Unlock()
		return nil
	}
	from := u.from
	s.health.mu.Unlock()

	last, end, err := s.endOfValues()
	if err != nil {
		return err
	}
	if err := s.unsyncedSince(before); err != nil { // it is not worth while yet
		return err
	}
	all, err := logFiles(s.dbDir)
	if err != nil {
		return err
	}
	for _, f := range all {
		if f.id < from || f.id > last {
			continue
		}
		size := f.size // of one that is not written any more
		if f.id == last {
			size = end
		}
		if err := writeLogAgain(ctx, filepath.Join(s.dbDir, f.name), size); err != nil {
			return fmt.Errorf("write %s again: %w", f.name, err)
		}
	}

	s.health.mu.Lock()
	if s.health.unsyncs != before {
		s.health.mu.Unlock()
		return s.unsyncedSince(before)
	}
	held := s.health.unsynced.held
	s.health.unsynced = nil
	s.health.mu.Unlock()
	for _, release := range held {
		release()
	}
	for _, f := range all { // one that stays costs the next start a little
		_ = os.Remove(filepath.Join(s.dbDir, f.name+unsyncedLog))
	}
	return nil
}

// unsyncedSince fails if a sync of the value log failed after unsyncs was before.
func (s *Store) unsyncedSince(before int) error {
	s.health.mu.Lock()
	defer s.health.mu.Unlock()
	if s.health.unsyncs == before {
		return nil
	}
	return s.health.inDoubt()
}

// endOfValues writes a value, and gives where in the value log it ends: all that was
// written before is before that.
func (s *Store) endOfValues() (file uint32, end int64, err error) {
	p, err := newValuePlaces()
	if err != nil {
		return 0, 0, err
	}
	key := metaKey(metaEnd)
	value := make([]byte, s.db.Opts().ValueThreshold) // the shortest that is in the log
	err = s.db.Update(func(txn *badger.Txn) error { return txn.Set(key, value) })
	if err != nil {
		return 0, 0, fmt.Errorf("write a value: %w", err)
	}
	err = s.db.View(func(txn *badger.Txn) error {
		item, err := find(txn, key)
		if err != nil {
			return err
		}
		id, at, ok := p.of(item)
		if !ok {
			return errors.New("it is not in the value log")
		}
		file, end = id, at.off+at.length
		return nil
	})
	if err != nil {
		return 0, 0, fmt.Errorf("look where a value is: %w", err)
	}
	return file, end, nil
}

// writeLogAgain writes what is in the first size bytes of a file of the value log to where
// it is, and syncs it. Entries must end there. What Badger writes meanwhile comes behind
// them. Errors: errLostValues, if they are not as they were written.
func writeLogAgain(ctx context.Context, path string, size int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := wholeEntries(ctx, f, size); err != nil {
		return err
	}
	if err := writeInPlace(ctx, f, size); err != nil {
		return err
	}
	// Pages that were dropped before they were written again came from the disk.
	return wholeEntries(ctx, f, size)
}

// wholeEntries fails with errLostValues if a file of the value log is not made of entries
// up to size.
func wholeEntries(ctx context.Context, f *os.File, size int64) error {
	if size <= logHeader {
		return nil
	}
	end, err := readable(ctx, f, logHeader, size)
	if err == errEntry || err == nil && end != size {
		return fmt.Errorf("%w (at %d of %d bytes of %s)", errLostValues, end, size, filepath.Base(f.Name()))
	}
	return err
}

// writeInPlace writes the first size bytes of a file to where they are, and syncs it.
// Pieces that are nothing but zeros are where nothing was written.
func writeInPlace(ctx context.Context, f *os.File, size int64) error {
	buf, zero := make([]byte, logBuf), make([]byte, logBuf)
	for at := int64(0); at < size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := f.ReadAt(buf[:min(logBuf, size-at)], at)
		if err != nil && err != io.EOF {
			return err
		}
		if n == 0 {
			return io.ErrUnexpectedEOF
		}
		if string(buf[:n]) != string(zero[:n]) {
			if _, err := f.WriteAt(buf[:n], at); err != nil {
				return err
			}
		}
		at += int64(n)
	}
	return f.Sync()
}

// writeMarkedAgain does it for the files of which a sync failed before the last process
// ended. What of them cannot be read is told by others. The database must not be open.
func writeMarkedAgain(ctx context.Context, dir string) error {
	all, err := logFiles(dir)
	if err != nil {
		return err
	}
	for _, file := range all {
		path := filepath.Join(dir, file.name)
		if !marked(path, unsyncedLog) {
			continue
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		if err := errors.Join(writeInPlace(ctx, f, file.size), f.Close()); err != nil {
			return fmt.Errorf("write %s again, which was not synced: %w", file.name, err)
		}
		if err := os.Remove(path + unsyncedLog); err != nil {
			return err
		}
	}
	return nil
}

// holdLogs keeps Badger from deleting a file that it collects, until releaseLogs.
func (s *Store) holdLogs() (release func()) {
	txn := s.db.NewTransaction(false)
	opt := badger.DefaultIteratorOptions
	opt.Prefix = metaKey(metaMark) // few tables
	it := iterate(txn, opt)
	return func() {
		it.close()
		txn.Discard()
	}
}

// releaseLogs lets Badger delete files, unless the values that it moved out of them are in
// doubt: then that is done once they are not, and releaseLogs fails with pin.ErrInDoubt.
func (s *Store) releaseLogs(release func()) error {
	s.health.mu.Lock()
	err := s.health.inDoubt()
	if err != nil {
		s.health.unsynced.held = append(s.health.unsynced.held, release)
	}
	s.health.mu.Unlock()
	if err == nil {
		release()
	}
	return err
}
