// Package kv is the database as its users see it: keys and values. A reader sees them as they
// are at one instant. One goroutine, the committer, makes all changes; those that wait at the
// same time share a sync. Only this package commits, and it does not know what the keys are
// for.
//
// A value that cannot be read is an error, [diskerr.ErrUnreadable]. While writes to the disk
// fail, nothing is changed. Once they work again the database repairs itself ([DB.Writable]).
package kv

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// Config is what a database needs, all of it.
type Config struct {
	Log *slog.Logger
	Now func() time.Time
	// Room fails if less space is free than the lower floor.
	Room func() error
	// WriteAgain writes to disk all that may be in memory only. Errors: [ErrLost], after
	// which it is not tried again.
	WriteAgain func(context.Context) error
	// Doubt fails if something that Badger reported as written may not be on disk. It must
	// not call the database.
	Doubt func() error
	// Sound fails with a [diskerr.ErrDamaged] once a table was found damaged. It is quick.
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

	commit *committer
	health health
	logged logged
	looks  lookout
	// ctx ends with Shut, and ends the mending.
	ctx       context.Context
	cancel    context.CancelFunc
	MendEvery time.Duration // how often mending is tried; tests shorten it

	gate   sync.RWMutex // guards closed, and the first Add of users
	closed bool
	users  sync.WaitGroup // calls that are in the database
}

// New starts the committer on a database that Badger has opened. The caller ends it with Shut,
// and closes Badger's database after that.
func New(db *badger.DB, cfg Config) *DB {
	d := &DB{
		db: db, log: cfg.Log, now: cfg.Now, room: cfg.Room, writeAgain: cfg.WriteAgain, doubt: cfg.Doubt, sound: cfg.Sound, kindOf: cfg.KindOf,
		MendEvery: mendEvery,
	}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	d.commit = newCommitter(db, d.MayUpkeep, d.wrote, d.logged.mended)
	return d
}

// Context ends with Shut.
func (d *DB) Context() context.Context { return d.ctx }
