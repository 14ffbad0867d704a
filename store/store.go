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

// DefaultReserve is [space.DefaultReserve].
const DefaultReserve = space.DefaultReserve

// Config says how to open a store. The zero value works.
type Config struct {
	// MinFreeSpace is how many bytes of the disk stay free of new blocks and
	// new requests. Zero, or less than that, is five quarters of Reserve.
	MinFreeSpace uint64
	// Reserve is the lower floor, under which nothing is written but what a
	// reclaim does. Zero is [DefaultReserve], or more in a large store.
	Reserve uint64
	// ReclaimInterval is how often [Store.Run] reclaims. Zero is never.
	ReclaimInterval time.Duration
	// Logger is told what happens. Nil is slog.Default. Badger's own messages
	// go to go-log, as "badger4".
	Logger *slog.Logger
	// Now tells the time. Nil is time.Now.
	Now func() time.Time
	// FreeSpace gives the free bytes of the file system that holds dir. Nil
	// asks the system.
	FreeSpace func(dir string) (uint64, error)
}

// The rooms whose methods are the store's, by the names that they have here.
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

	// reclaiming is held by the one reclaim that runs. ctx ends with Close, and
	// a reclaim with it.
	reclaiming chan struct{}
	ctx        context.Context
	cancel     context.CancelFunc

	codec kv.Codec

	closing sync.Once
	err     error // of closing

}

var (
	_ pin.Records   = (*Store)(nil)
	_ pin.Refetcher = (*Store)(nil)
)

// Open opens the data directory that the lock is on, and brings its records
// to this version's layout. The lock must be held until after Close; it stays
// the caller's. Errors: those of [Lock], which come before anything is
// touched, ErrRestoring, ErrDamaged, of which a [*DamagedTablesError] is one, and whatever the disk says.
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
	return c
}

func openWith(ctx context.Context, dir string, cfg Config, opts *badger.Options, steps []migration) (_ *Store, err error) {
	codec, err := kv.NewCodec()
	if err != nil {
		return nil, err
	}
	s := &Store{cfg: cfg, log: cfg.Logger, dbDir: filepath.Join(dir, dbName), codec: codec, reclaiming: make(chan struct{}, 1)}
	if s.space, err = space.Open(ctx, space.Config{
		Dir: s.dbDir, MinFreeSpace: cfg.MinFreeSpace, Reserve: cfg.Reserve,
		Logger: cfg.Logger, Now: cfg.Now, FreeSpace: cfg.FreeSpace, KindOf: kindOf,
	}, opts); err != nil {
		return nil, err
	}
	s.db, s.kv = s.space.Badger(), s.space.DB()
	s.accountRecords = accounts.New(s.kv)
	s.held = holding.New(s.space, s.log)
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	s.requestRecords = requests.New(s.space, s.held, s.log, cfg.Now)
	if err := s.migrate(ctx, dir, steps); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Close ends the store: changes that wait are refused, the one commit that may
// be under way is finished, a reclaim stops at its next step, and it waits for
// every call that is in the database. It may be called twice.
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

// Writable says whether what is written comes to disk. Unless a write proved that in
// the last seconds, it makes one. Errors: pin.ErrUnwritable, when writes fail or one
// does not end; pin.ErrDiskFull, when there is no room even for removals;
// pin.ErrClosed; the context's.
func (s *Store) Writable(ctx context.Context) error { return s.kv.Writable(ctx) }

// Sound fails with an ErrDamaged once a table was found damaged, by whatever read it.
// It reads nothing itself. What else can be read still is, but the next start refuses
// the database, with all that came to it since.
func (s *Store) Sound() error { return s.space.Sound() }
