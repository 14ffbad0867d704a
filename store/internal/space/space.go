// Package space has the files of the database and the disk that they are on. It opens
// Badger, sees first to what a crash or a failing disk left, keeps room for what has to be
// written, and makes Badger give back the space of what was deleted.
//
// All that is known of Badger's inside is here and in package reading, and nowhere else: its
// log format, its tables, and, by reflection, its own table of what is dead in its files and
// where values are. Whether that is as it is known is looked at when the database is opened.
package space

import (
	"context"
	"log/slog"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// Config says what a database is opened by. All but the floors is needed.
type Config struct {
	Dir string // of Badger's files; it is made if it is missing
	// MinFreeSpace is how many bytes of the disk stay free of what is new. Zero, or less
	// than that, is five quarters of Reserve.
	MinFreeSpace uint64
	// Reserve is the lower floor, under which nothing is written but what a reclaim does.
	// Zero is [DefaultReserve], or more in a large store.
	Reserve uint64
	Logger  *slog.Logger
	Now     func() time.Time
	// FreeSpace gives the free bytes of the file system that holds a directory.
	FreeSpace func(dir string) (uint64, error)
	// KindOf names what is under a key, for the log.
	KindOf func(key []byte) string
	// CloseWait is how long Badger has to close.
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

// Open opens the database that is in a directory, or makes one. Nothing is changed if a
// table or the list of them is damaged. It must be ended with Close. Errors: ErrDamaged, of
// which a [*DamagedTablesError] is one; [diskerr.ErrDiskFull]; ErrUnknownBadger; whatever the
// system says.
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

// DB gives what reads and commits. It ends with Close.
func (s *Space) DB() *kv.DB { return s.kv }

// Badger gives the database itself.
func (s *Space) Badger() *badger.DB { return s.db }
