package kv

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// maxLogged is how many keys are remembered as logged: some 100 bytes each.
const maxLogged = 10_000

// logged is the keys of unreadable values that were logged, and not written again since.
type logged struct {
	n    atomic.Int64 // how many keys there are; nearly always 0
	mu   sync.Mutex
	keys map[string]struct{}
}

// UnreadableRecords gives how many records could not be read since the database was opened, and were
// not written again: up to maxLogged.
func (d *DB) UnreadableRecords() int { return int(d.logged.n.Load()) }

// mended forgets keys that were written or deleted.
func (l *logged) mended(writes map[string]Write) {
	if l.n.Load() == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for k := range writes {
		delete(l.keys, k)
	}
	l.n.Store(int64(len(l.keys)))
}

// LogUnreadable logs that a value cannot be read: once, until the key is written again.
func (d *DB) LogUnreadable(key []byte, err error) {
	d.logged.mu.Lock()
	_, twice := d.logged.keys[string(key)]
	if !twice && len(d.logged.keys) < maxLogged {
		if d.logged.keys == nil {
			d.logged.keys = map[string]struct{}{}
		}
		d.logged.keys[string(key)] = struct{}{}
		d.logged.n.Store(int64(len(d.logged.keys)))
	}
	d.logged.mu.Unlock()
	if !twice {
		d.log.Error("a record cannot be read", "record", d.kindOf(key), "key", fmt.Sprintf("%x", key), "err", err)
	}
}
