// Package kv is the database as its users see it: keys and values, read as they are at one
// instant, and changed by one goroutine, the committer, which has those that wait share a
// sync. It is the only place that commits, and knows nothing of what the keys are for.
//
// What cannot be read is an error, [diskerr.ErrUnreadable]; while the disk does not take what
// is written nothing is changed, and the database mends itself once it does ([DB.Writable]).
package kv

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// Config says what a database goes by. All of it is needed.
type Config struct {
	Log *slog.Logger
	Now func() time.Time
	// Room says whether there is room for what is written down to the lower floor.
	Room func() error
	// WriteAgain brings to disk what may be in memory alone. Errors: [ErrLost], after
	// which it is not tried again.
	WriteAgain func(context.Context) error
	// Doubt says whether what Badger calls written may not be on disk: nil if it is. It
	// must not call the database.
	Doubt func() error
	// Sound says whether a table was found damaged: an error that is an
	// [diskerr.ErrDamaged] if so. It is quick.
	Sound func() error
	// KindOf names what is under a key, for the log.
	KindOf func(key []byte) string
}

// DB is an open database. All methods may be called concurrently. After Shut they return
// [diskerr.ErrClosed].
type DB struct {
	db         *badger.DB
	log        *slog.Logger
	now        func() time.Time
	room       func() error
	writeAgain func(context.Context) error
	doubt      func() error
	sound      func() error
	kindOf     func([]byte) string

	codec  Codec
	commit *committer
	health health
	told   told
	looks  lookout
	// ctx ends with Shut, and what mends with it.
	ctx       context.Context
	cancel    context.CancelFunc
	MendEvery time.Duration // how often mending is tried; tests set it

	gate   sync.RWMutex // guards closed, and the first Add of users
	closed bool
	users  sync.WaitGroup // calls that are in the database
}

// New begins to commit to a database that Badger has opened. It must be ended with Shut,
// after which the caller closes Badger's.
func New(db *badger.DB, cfg Config) (*DB, error) {
	codec, err := NewCodec()
	if err != nil {
		return nil, err
	}
	d := &DB{
		db: db, log: cfg.Log, now: cfg.Now, room: cfg.Room, writeAgain: cfg.WriteAgain, doubt: cfg.Doubt, sound: cfg.Sound, kindOf: cfg.KindOf,
		codec: codec, MendEvery: mendEvery,
	}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	d.commit = newCommitter(db, d.MayUpkeep, d.Wrote, d.told.mended)
	return d, nil
}

// Codec is how the values of records are encoded.
func (d *DB) Codec() Codec { return d.codec }

// Context ends with Shut.
func (d *DB) Context() context.Context { return d.ctx }
