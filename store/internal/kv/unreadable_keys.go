package kv

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// maxLogged is how many keys are remembered as logged: some 100 bytes each.
const maxLogged = 10_000

// logged is the keys of unreadable values that were logged.
type logged struct {
	n    atomic.Int64 // how many there are; nearly always none
	mu   sync.Mutex
	keys map[string]struct{}
}

// UnreadableRecords is how many records could not be read since the database was opened and
// were not written again, as far as they are remembered.
func (d *DB) UnreadableRecords() int { return int(d.logged.n.Load()) }

// mended notes that values were written, or deleted.
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

// LogUnreadable logs that a value cannot be read, once until it is written again.
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
