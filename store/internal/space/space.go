// Package space has the files of the database and the disk that they are on. It repairs what a
// crash or a failing disk left and opens Badger, keeps space free for what has to be written, and
// makes Badger give back the space of what was deleted.
//
// All knowledge of Badger's inside is here and in package reading, and nowhere else: its log
// format, its tables, and, by reflection, its own table of what is dead in its files and where
// values are. Opening the database checks that this is still true.
package space

import (
	"context"
	"log/slog"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// Config is what a database is opened with. All but the two floors is needed.
type Config struct {
	Dir string // of Badger's files; it is made if it is missing
	// MinFreeSpace is the floor for new blocks and requests: how many bytes of the disk stay
	// free of them. If it is less than five quarters of Reserve, it is five quarters of
	// Reserve.
	MinFreeSpace uint64
	// Reserve is the lower floor. While less is free only reclaims write. Zero is
	// [defaultReserve], or more in a large store.
	Reserve uint64
	Logger  *slog.Logger
	Now     func() time.Time
	// FreeSpace gives the free bytes of the file system that holds a directory.
	FreeSpace func(dir string) (uint64, error)
	// KindOf names what is under a key, for the log.
	KindOf func(key []byte) string
	// CloseWait is how long Close waits for Badger.
	CloseWait time.Duration
}

// Space is an open database and its files. All methods may be called concurrently.
type Space struct {
	cfg       Config
	log       *slog.Logger
	dbDir     string
	db        *badger.DB
	kv        *kv.DB
	inside    insides
	doubt     doubt
	soundness soundness
}

// Open opens the database in a directory, or makes a new one. If a table or the list of tables is
// damaged it changes nothing. The caller ends it with Close. Errors: ErrDamaged, which may be a
// [*DamagedTablesError]; [diskerr.ErrDiskFull]; errUnknownBadger; those of the system.
func Open(ctx context.Context, cfg Config, opts *badger.Options) (*Space, error) {
	return open(ctx, cfg, opts, findInsides)
}

func open(ctx context.Context, cfg Config, opts *badger.Options, find func(*badger.DB) (insides, error)) (*Space, error) {
	s := &Space{cfg: cfg, log: cfg.Logger, dbDir: cfg.Dir}
	if err := s.openBadger(ctx, opts, find); err != nil {
		return nil, err
	}
	return s, nil
}

// DB gives the database as package kv has it. The caller shuts it before Close.
func (s *Space) DB() *kv.DB { return s.kv }

// Badger gives the database as Badger has it.
func (s *Space) Badger() *badger.DB { return s.db }
