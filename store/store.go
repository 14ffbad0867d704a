package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store/internal/accounts"
	holding "github.com/holdfast-ipfs/holdfast/store/internal/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
	"github.com/holdfast-ipfs/holdfast/store/internal/requests"
	"github.com/holdfast-ipfs/holdfast/store/internal/space"
)

// Config says how to open a store. The zero value works.
type Config struct {
	// MinFreeSpace is how many bytes of the disk stay free of new blocks and requests. If it
	// is less than five quarters of Reserve, it is five quarters of Reserve.
	MinFreeSpace uint64
	// Reserve is the lower floor: while less is free only reclaims write. Zero is 256 MiB, or
	// more in a large store.
	Reserve uint64
	// ReclaimInterval is how often [Store.Run] reclaims. Zero is never.
	ReclaimInterval time.Duration
	// Logger gets what happens. Nil is slog.Default. Badger's own messages go to go-log, as
	// "badger4".
	Logger *slog.Logger
	// Now gives the time. Nil is time.Now.
	Now func() time.Time
	// FreeSpace gives the free bytes of the file system that holds dir. Nil asks the system.
	FreeSpace func(dir string) (uint64, error)

	closeWait time.Duration // zero is [closeWait]
}

// closeWait is how long Close waits for Badger, which writes its memory to disk: on a slow disk that
// takes seconds. systemd kills the server after 20 s.
const closeWait = 15 * time.Second

// The rooms whose methods the store has, under other names.
type (
	accountRecords = accounts.Store
	held           = holding.Store
	requestRecords = requests.Store
)

// Store is an open data directory. All methods may be called concurrently.
// After Close they return [pin.ErrClosed].
type Store struct {
	*accountRecords
	*held
	*requestRecords

	cfg Config

	log   *slog.Logger
	dbDir string
	space *space.Space
	kv    *kv.DB
	db    *badger.DB

	tally tally

	// reclaiming holds a token while a reclaim runs. ctx ends with Close, and ends a reclaim.
	reclaiming chan struct{}
	ctx        context.Context
	cancel     context.CancelFunc

	closing sync.Once
	err     error // of closing
}

var (
	_ pin.Records   = (*Store)(nil)
	_ pin.Refetcher = (*Store)(nil)
)

// Open opens the data directory of a lock, and brings its records to this version's layout. The
// caller keeps the lock until after Close, and closes it. Errors: ErrRestoring; ErrDamaged, whose
// text names what is damaged; pin.ErrDiskFull; if the records have a layout that this version does
// not know, those of [Lock]; the system's.
func Open(ctx context.Context, lock *DirLock, cfg Config) (*Store, error) {
	if err := checkRestored(lock.dir); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	return openWith(ctx, lock.dir, cfg, space.BadgerOptions(), migrations())
}

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.FreeSpace == nil {
		c.FreeSpace = space.FreeSpace
	}
	if c.closeWait == 0 {
		c.closeWait = closeWait
	}
	return c
}

// ofSpace is the configuration of a database in a directory.
func (c Config) ofSpace(db string) space.Config {
	return space.Config{
		Dir: db, MinFreeSpace: c.MinFreeSpace, Reserve: c.Reserve,
		Logger: c.Logger, Now: c.Now, FreeSpace: c.FreeSpace, KindOf: kindOf, CloseWait: c.closeWait,
	}
}

func openWith(ctx context.Context, dir string, cfg Config, opts *badger.Options, steps []migration) (_ *Store, err error) {
	s := &Store{cfg: cfg, log: cfg.Logger, dbDir: filepath.Join(dir, dbName), reclaiming: make(chan struct{}, 1)}
	if s.space, err = space.Open(ctx, cfg.ofSpace(s.dbDir), opts); err != nil {
		return nil, err
	}
	s.db, s.kv = s.space.Badger(), s.space.DB()
	s.accountRecords = accounts.New(s.kv)
	s.held = holding.New(s.space, s.log, cfg.Now)
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	s.requestRecords = requests.New(s.space, s.held, s.log, cfg.Now)
	s.Changed = s.noteChange
	if err := s.migrate(ctx, dir, steps); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Close closes the store. It refuses changes that wait, finishes the commit that is under way, and
// stops a reclaim at its next step. It waits for every call that is in the database. It may be
// called twice.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.cancel()
		s.kv.Shut()
		if err := s.space.Close(); err != nil {
			s.err = fmt.Errorf("close database: %w", err)
		}
	})
	return s.err
}

// Writable fails if writes do not work. Unless a write worked in the last seconds, it makes one.
// Errors: pin.ErrUnwritable, when writes fail or one does not end; pin.ErrDiskFull, when there is no
// room even for removals; pin.ErrClosed; the context's.
func (s *Store) Writable(ctx context.Context) error { return s.kv.Writable(ctx) }

// Sound fails with an ErrDamaged once any read has found a damaged table of the database. It reads
// nothing itself. Everything else can still be read. But the next start refuses the database, with
// all that was written since.
func (s *Store) Sound() error { return s.space.Sound() }
