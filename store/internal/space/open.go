package space

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/holdfast-ipfs/holdfast/internal/diskerr"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
	"github.com/holdfast-ipfs/holdfast/store/internal/space/reading"
)

// DefaultReserve is what stays free so that deletes and records can still be
// written: Badger makes its next value log (128 MiB until it is closed) and
// its next tables before it gives the old ones up. Where the value log's files
// are larger than 64 MiB, more is.
const DefaultReserve = 256 << 20

// reserveFiles is how many files of the value log the reserve holds: Badger makes
// each twice as large as it will be.
const reserveFiles = 4

// BadgerOptions are the settings that docs/architecture.md has the
// measurements for.
func BadgerOptions() *badger.Options {
	o := badger.DefaultOptions("")
	o.SyncWrites = true // an answer comes after the sync
	o.Compression = options.None
	o.BlockCacheSize = 0           // uncompressed tables are read where they are mapped
	o.IndexCacheSize = 0           // and so are their indexes
	o.MemTableSize = 8 << 20       // each is an arena of the heap; also how much a crash replays
	o.NumMemtables = 2             // that wait to be written out, beside the one that fills
	o.ValueThreshold = 1 << 10     // blocks go to the value log, records stay in the tree
	o.ValueLogFileSize = 0         // as large as valueLogFileSize says
	o.TableSizeMultiplier = 1      // compaction has twice a table in memory, of a dozen at a time
	o.NumLevelZeroTables = 5       // with fewer every small write would rewrite the level below;
	o.BaseLevelSize = 64 << 20     // a reclaim compacts all of it anyway
	o.NumLevelZeroTablesStall = 15 // well above, so that writers seldom wait
	o.NumCompactors = 2            // the fewest that Badger takes
	o.DetectConflicts = false      // records have one writer, and claims have locks
	// A block of a table is 4 KiB and read for a key or some dozens; of values in the
	// value log valueOf looks at the checksums, for less than Badger takes for that.
	o.ChecksumVerificationMode = options.OnBlockRead
	return &o
}

// closeWait is how long Badger has to close: it writes out its memory, which takes
// seconds on a slow disk. systemd kills the server after 20 s.
const closeWait = 15 * time.Second

// Close closes Badger, or gives up. All that was acknowledged is synced by then;
// the next start opens as after a crash. It gives up without room: Badger writes a table
// for each of its memories, in files that it maps, and the system kills who writes into
// those when the disk is full. And once Badger has met a value that has no room for its
// length: it keeps the lock of that file then, and would wait for it forever.
func (s *Space) Close() error {
	if err := s.RoomToOpen(); errors.Is(err, diskerr.ErrDiskFull) {
		s.log.Warn("the disk is too full to close the database: it is left as after a crash, and all that was written is safe", "err", err)
		return nil
	}
	closed := make(chan error, 1)
	go func() { closed <- s.db.Close() }()
	limit := time.NewTimer(s.CloseWait)
	defer limit.Stop()
	select {
	case err := <-closed:
		return err
	case <-limit.C:
		return fmt.Errorf("%w within %v, as it does after a read of a damaged file; all that was written is safe", ErrUnclosed, s.CloseWait)
	}
}

// ErrUnclosed: Badger did not close.
var ErrUnclosed = errors.New("it does not end")

// openBadger opens the database, and what commits to it. What a crash or a failing disk
// left is seen to first, so that Badger loses nothing by it.
func (s *Space) openBadger(ctx context.Context, opts *badger.Options, find func(*badger.DB) (insides, error)) (err error) {
	if err := os.Mkdir(s.dbDir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("make database directory: %w", err)
	}
	// Opening writes: it replays logs and starts new ones.
	used, err := DiskUse(s.dbDir)
	if err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	capacity, err := capacityOf(s.dbDir)
	if err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	if opts.ValueLogFileSize == 0 {
		opts.ValueLogFileSize = ValueLogFileSize(used, capacity)
	}
	if s.cfg.Reserve == 0 {
		s.cfg.Reserve = max(DefaultReserve, reserveFiles*uint64(opts.ValueLogFileSize))
	}
	if err := s.RoomToOpen(); err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	if err := removeUnmade(s.dbDir); err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	if err := checkManifest(s.dbDir); err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	s.soundness.before = reading.BadTables.Count()
	if err := checkTables(ctx, s.dbDir); err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	if err := RemoveDead(s.dbDir); err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	if err := writeMarkedAgain(ctx, s.dbDir); err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	if err := s.keepNewestLog(ctx); err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	opts.Dir, opts.ValueDir, opts.Logger = s.dbDir, s.dbDir, s.badgerLog()
	if err := reading.Guarded(func() (err error) { s.db, err = badger.Open(*opts); return err }); err != nil {
		return fmt.Errorf("open database: %w", OpenError(err))
	}
	if s.inside, err = find(s.db); err != nil {
		return errors.Join(err, s.Close())
	}
	s.kv, err = kv.New(s.db, kv.Config{Log: s.log, Now: s.cfg.Now, Room: s.RoomForUpkeep, WriteAgain: s.writeAllAgain, Doubt: s.inDoubt, Sound: s.Sound, KindOf: s.cfg.KindOf})
	if err != nil {
		return errors.Join(err, s.Close())
	}
	s.heardBy(s.kv)
	return nil
}
