package space

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/dgraph-io/badger/v4"

	"github.com/holdfast-ipfs/holdfast/internal/diskerr"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
	"github.com/holdfast-ipfs/holdfast/store/internal/space/reading"
)

// Long values are in the value log only, and pushing memory out to a table does not write them
// again. After a sync of the value log failed, they are read from memory, and may not be on disk. A
// second sync proves nothing. So the same bytes are written again to the same places, and synced:
// then Linux writes the pages again. That is right only if the bytes that are read back are those
// that were written. The checksums of the entries prove that, up to the last entry.

// unsyncedLog is the mark of a file of the value log of which a sync failed. The mark itself need
// not be on disk: it is for a start while Linux still has the file in memory, since such a start
// would take the memory for what is on disk.
const unsyncedLog = ".unsynced"

// doubt keeps what is in doubt in the value log.
type doubt struct {
	mu      sync.Mutex
	unsyncs int // how many syncs of it failed
	// collecting: Badger is moving values from one file to others.
	collecting bool
	is         *unsynced // nil if nothing is in doubt
	early      []error   // failures before kv was set
	kv         *kv.DB    // gets the failures; nil while the database is being opened
}

// unsynced is what is in doubt in the value log.
type unsynced struct {
	from  uint32 // the first file that is in doubt
	cause error
	// held has a function for each file that Badger moved values out of, which lets it go.
	held []func()
}

// fails reports to the database why writes do not work.
func (s *Space) fails(err error) {
	s.doubt.mu.Lock()
	db := s.doubt.kv
	if db == nil {
		s.doubt.early = append(s.doubt.early, err)
	}
	s.doubt.mu.Unlock()
	if db != nil {
		db.Fails(err)
	}
}

// heardBy makes all failures be reported to the database, the earlier ones too.
func (s *Space) heardBy(db *kv.DB) {
	s.doubt.mu.Lock()
	s.doubt.kv = db
	early := s.doubt.early
	s.doubt.early = nil
	s.doubt.mu.Unlock()
	for _, err := range early {
		db.Fails(err)
	}
}

// noteUnsynced is called when a sync of the value log failed, by Badger's goroutine that writes, before
// it answers.
func (s *Space) noteUnsynced(cause error) {
	var newest logFile // its id stays 0 if it is not known: then all files are in doubt
	all, err := logFiles(s.dbDir)
	if len(all) > 0 && err == nil {
		newest = all[len(all)-1]
	}
	cause = fmt.Errorf("sync the value log: %w", cause)
	s.doubt.mu.Lock()
	s.doubt.unsyncs++
	if u := s.doubt.is; u == nil {
		s.doubt.is = &unsynced{from: newest.id, cause: cause}
	} else {
		u.from = min(u.from, newest.id)
	}
	s.doubt.mu.Unlock()
	s.fails(cause) // after the doubt is set, since mending ends only without one
	if err == nil && newest.name != "" {
		err = mark(filepath.Join(s.dbDir, newest.name), unsyncedLog)
	}
	if err != nil {
		s.log.Debug("a file of the value log could not be marked as not synced", "err", err)
	}
	s.holdUp(filepath.Join(s.dbDir, newest.name))
}

// holdUp blocks Badger's goroutine that writes, if Badger is moving values: these may have been
// acknowledged long ago, so Badger must not write their new places before they are on disk there. It
// gives up when the store closes, or when values are lost.
func (s *Space) holdUp(newest string) {
	for {
		s.doubt.mu.Lock()
		collecting := s.doubt.collecting
		s.doubt.mu.Unlock()
		if !collecting || s.kv.Context().Err() != nil {
			return
		}
		err := writeLogAgain(s.kv.Context(), newest, s.inside.endOfLog())
		if err == nil || errors.Is(err, kv.ErrLost) {
			return
		}
		_ = kv.Sleep(s.kv.Context(), s.kv.MendEvery)
	}
}

// collect makes Badger move what is alive out of the file in which the most is dead. Errors: Badger's;
// diskerr.ErrInDoubt, after which the file stays until nothing is in doubt.
func (s *Space) collect(ratio float64) error {
	collecting := func(is bool) {
		s.doubt.mu.Lock()
		defer s.doubt.mu.Unlock()
		s.doubt.collecting = is
	}
	release := s.holdLogs()
	collecting(true)
	err := s.db.RunValueLogGC(ratio)
	collecting(false)
	return errors.Join(err, s.releaseLogs(release))
}

// inDoubt is the error of a write that Badger reported as made; nil if the value log is not in doubt.
// doubt.mu must be held.
func (d *doubt) inDoubt() error {
	if d.is == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", diskerr.ErrInDoubt, d.is.cause)
}

// inDoubt is doubt.inDoubt with the lock.
func (s *Space) inDoubt() error {
	s.doubt.mu.Lock()
	defer s.doubt.mu.Unlock()
	return s.doubt.inDoubt()
}

// writeAllAgain writes to disk all that may be in memory only.
func (s *Space) writeAllAgain(ctx context.Context) error {
	if err := s.writeValuesAgain(ctx); err != nil {
		return err
	}
	if err := s.pushOutMemory(ctx); err != nil {
		return err
	}
	return s.kv.SetMeta(kv.MetaEnd, nil)
}

// writeValuesAgain writes to disk what is in doubt in the value log. Errors: kv.ErrLost, after which it
// need not be tried again; the disk's.
func (s *Space) writeValuesAgain(ctx context.Context) error {
	s.doubt.mu.Lock()
	u, before := s.doubt.is, s.doubt.unsyncs
	if u == nil {
		s.doubt.mu.Unlock()
		return nil
	}
	from := u.from
	s.doubt.mu.Unlock()

	last, end, err := s.endOfValues()
	if err != nil {
		return err
	}
	if err := s.unsyncedSince(before); err != nil { // syncs still fail
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
		size := f.size // all of a file that is not written any more
		if f.id == last {
			size = end
		}
		if err := writeLogAgain(ctx, filepath.Join(s.dbDir, f.name), size); err != nil {
			return fmt.Errorf("write %s again: %w", f.name, err)
		}
	}

	s.doubt.mu.Lock()
	if s.doubt.unsyncs != before {
		s.doubt.mu.Unlock()
		return s.unsyncedSince(before)
	}
	held := s.doubt.is.held
	s.doubt.is = nil
	s.doubt.mu.Unlock()
	for _, release := range held {
		release()
	}
	for _, f := range all { // a mark that stays costs the next start a little
		_ = os.Remove(filepath.Join(s.dbDir, f.name+unsyncedLog))
	}
	return nil
}

// unsyncedSince fails if a sync of the value log failed since unsyncs was before.
func (s *Space) unsyncedSince(before int) error {
	s.doubt.mu.Lock()
	defer s.doubt.mu.Unlock()
	if s.doubt.unsyncs == before {
		return nil
	}
	return s.doubt.inDoubt()
}

// endOfValues writes a value, and gives its end in the value log. All earlier values are before that.
func (s *Space) endOfValues() (file uint32, end int64, err error) {
	key := kv.MetaKey(kv.MetaEnd)
	value := make([]byte, s.db.Opts().ValueThreshold) // shorter ones are not in the value log
	if err := s.kv.SetUnnoted(key, value); err != nil {
		return 0, 0, fmt.Errorf("write a value: %w", err)
	}
	err = s.db.View(func(txn *badger.Txn) error {
		item, err := reading.Find(txn, key)
		if err != nil {
			return err
		}
		id, at, ok := s.inside.places.of(item)
		if !ok {
			return errors.New("it is not in the value log")
		}
		file, end = id, at.off+at.length
		return nil
	})
	if err != nil {
		return 0, 0, fmt.Errorf("look for the place of a value: %w", err)
	}
	return file, end, nil
}

// writeLogAgain writes the first size bytes of a file of the value log to the same place, and syncs
// them. An entry must end there. What Badger writes meanwhile comes after them. Errors: kv.ErrLost,
// if entries are not as they were written.
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
	// Linux may have dropped pages before they were written again, and read them from the disk.
	return wholeEntries(ctx, f, size)
}

// wholeEntries fails with kv.ErrLost unless the first size bytes of a file of the value log are whole
// entries.
func wholeEntries(ctx context.Context, f *os.File, size int64) error {
	if size <= reading.LogHeader {
		return nil
	}
	end, err := readable(ctx, f, reading.LogHeader, size)
	if errors.Is(err, reading.ErrEntry) || err == nil && end != size {
		return fmt.Errorf("%w (at %d of %d bytes of %s)", kv.ErrLost, end, size, filepath.Base(f.Name()))
	}
	return err
}

// writeInPlace writes the first size bytes of a file to the same place, and syncs it. It leaves out
// pieces of zeros, where nothing was written.
func writeInPlace(ctx context.Context, f *os.File, size int64) error {
	buf, zero := make([]byte, reading.LogBuf), make([]byte, reading.LogBuf)
	for at := int64(0); at < size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := f.ReadAt(buf[:min(reading.LogBuf, size-at)], at)
		if err != nil && !errors.Is(err, io.EOF) {
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

// writeMarkedAgain does that for the files of which a sync failed before the last process ended. What
// cannot be read of them is found by later reads. The database must not be open.
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

// holdLogs keeps Badger from deleting files that it collects, until release.
func (s *Space) holdLogs() (release func()) {
	txn := s.db.NewTransaction(false)
	opt := badger.DefaultIteratorOptions
	opt.Prefix = kv.MetaKey(kv.MetaMark) // few tables
	it := reading.Iterate(txn, opt)
	return func() {
		it.Close()
		txn.Discard()
	}
}

// releaseLogs lets Badger delete files. If values that it moved out of them are in doubt, the files are
// released once they are not, and releaseLogs fails with diskerr.ErrInDoubt.
func (s *Space) releaseLogs(release func()) error {
	s.doubt.mu.Lock()
	err := s.doubt.inDoubt()
	if err != nil {
		s.doubt.is.held = append(s.doubt.is.held, release)
	}
	s.doubt.mu.Unlock()
	if err == nil {
		release()
	}
	return err
}
