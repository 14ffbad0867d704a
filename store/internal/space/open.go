package space

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"github.com/holdfast-ipfs/holdfast/internal/diskerr"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
	"github.com/holdfast-ipfs/holdfast/store/internal/space/reading"
)

// defaultReserve is the lower floor if the value log has files of 64 MiB; with larger files it is
// more. It is enough for deletions and records: Badger makes its next file of the value log
// (128 MiB until it is closed) and its next tables before it deletes old ones.
const defaultReserve = 256 << 20

// reserveFiles is how many files of the value log fit into the reserve. Badger makes each file
// twice as large as it will be.
const reserveFiles = 4

// BadgerOptions are Badger's settings. docs/architecture.md has the measurements.
func BadgerOptions() *badger.Options {
	o := badger.DefaultOptions("")
	o.SyncWrites = true // an answer comes after the sync
	o.Compression = options.None
	o.BlockCacheSize = 0           // uncompressed tables are read where they are mapped
	o.IndexCacheSize = 0           // and so are their indexes
	o.MemTableSize = 8 << 20       // each is an arena of the heap; also how much a crash replays
	o.NumMemtables = 2             // that wait to be written out, beside the one that fills
	o.ValueThreshold = 1 << 10     // blocks go to the value log, records stay in the tree
	o.ValueLogFileSize = 0         // Open asks valueLogFileSize
	o.TableSizeMultiplier = 1      // compaction has twice a table in memory, of a dozen at a time
	o.NumLevelZeroTables = 5       // with fewer every small write would rewrite the level below;
	o.BaseLevelSize = 64 << 20     // a reclaim compacts all of it anyway
	o.NumLevelZeroTablesStall = 15 // well above, so that writers seldom wait
	o.NumCompactors = 2            // the fewest that Badger takes
	o.DetectConflicts = false      // records have one writer, and claims have locks
	// A block of a table is 4 KiB, and is read for one key or some dozens. The checksums of
	// values in the value log are checked by reading.ValueOf, for less than Badger takes.
	o.ChecksumVerificationMode = options.OnBlockRead
	return &o
}

// Close closes Badger, or gives up. If it gives up, nothing that was acknowledged is lost, as that
// is synced already: the next start opens the database as after a crash. There are two reasons to
// give up. When the disk is full: Badger would write its memory to tables, which it maps, and the
// system kills a process that writes to a map on a full disk. And when Badger does not end within
// CloseWait: once it has read a value whose length is wrong, it keeps the lock of that file, and
// waits for it forever.
func (s *Space) Close() error {
	if err := s.RoomToOpen(); errors.Is(err, diskerr.ErrDiskFull) {
		s.log.Warn("the disk is too full to close the database: it is left as after a crash, and all that was written is safe", "err", err)
		return nil
	}
	closed := make(chan error, 1)
	go func() { closed <- s.db.Close() }()
	limit := time.NewTimer(s.cfg.CloseWait)
	defer limit.Stop()
	select {
	case err := <-closed:
		return err
	case <-limit.C:
		return fmt.Errorf("%w within %v, as happens after a read of a damaged file; all that was written is safe", errUnclosed, s.cfg.CloseWait)
	}
}

// errUnclosed: Badger did not end.
var errUnclosed = errors.New("it does not end")

// openBadger opens the database. Before that it repairs what a crash or a failing disk left, so
// that Badger loses nothing by it.
func (s *Space) openBadger(ctx context.Context, opts *badger.Options, find func(*badger.DB) (insides, error)) (err error) {
	if err := s.prepare(ctx, opts); err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	opts.Dir, opts.ValueDir, opts.Logger = s.dbDir, s.dbDir, s.badgerLog()
	if err := reading.Guarded(func() (err error) { s.db, err = badger.Open(*opts); return err }); err != nil {
		return fmt.Errorf("open database: %w", openError(err))
	}
	if s.inside, err = find(s.db); err != nil {
		return errors.Join(err, s.Close())
	}
	s.kv = kv.New(s.db, kv.Config{Log: s.log, Now: s.cfg.Now, Room: s.RoomForUpkeep, WriteAgain: s.writeAllAgain, Doubt: s.inDoubt, Sound: s.Sound, KindOf: s.cfg.KindOf})
	s.heardBy(s.kv)
	return nil
}

// prepare sets the options and the floors that depend on the disk, and makes the files such that
// Badger may open them.
func (s *Space) prepare(ctx context.Context, opts *badger.Options) error {
	if err := os.Mkdir(s.dbDir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	used, err := DiskUse(s.dbDir)
	if err != nil {
		return err
	}
	capacity, err := capacityOf(s.dbDir)
	if err != nil {
		return err
	}
	if opts.ValueLogFileSize == 0 {
		opts.ValueLogFileSize = valueLogFileSize(used, capacity)
	}
	if s.cfg.Reserve == 0 {
		s.cfg.Reserve = reserveOf(opts.ValueLogFileSize)
	}
	s.soundness.before = reading.BadTables.Count()
	for _, step := range []func() error{
		s.RoomToOpen, // opening writes: it replays logs and begins new ones
		func() error { return removeUnmade(s.dbDir) },
		func() error { return adoptBulk(s.dbDir) },
		func() error { return checkManifest(s.dbDir) },
		func() error { return checkTables(ctx, s.dbDir) },
		func() error { return removeDead(s.dbDir) },
		func() error { return writeMarkedAgain(ctx, s.dbDir) },
		func() error { return s.keepNewestLog(ctx) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}
