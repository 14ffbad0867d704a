package kv

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// toldLimit bounds the keys that are remembered as logged: some 100 bytes each.
const toldLimit = 10_000

// told is the keys whose values cannot be read and that the log has.
type told struct {
	n    atomic.Int64 // how many there are; nearly always none
	mu   sync.Mutex
	keys map[string]struct{}
}

// UnreadableRecords is how many records could not be read since the database was opened and
// were not written again, as far as they are remembered.
func (d *DB) UnreadableRecords() int { return int(d.told.n.Load()) }

// mended notes that values were written, or deleted.
func (t *told) mended(writes map[string]Write) {
	if t.n.Load() == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for k := range writes {
		delete(t.keys, k)
	}
	t.n.Store(int64(len(t.keys)))
}

// TellUnreadable logs that a value cannot be read, once until it is written again.
func (d *DB) TellUnreadable(key []byte, err error) {
	d.told.mu.Lock()
	_, twice := d.told.keys[string(key)]
	if !twice && len(d.told.keys) < toldLimit {
		if d.told.keys == nil {
			d.told.keys = map[string]struct{}{}
		}
		d.told.keys[string(key)] = struct{}{}
		d.told.n.Store(int64(len(d.told.keys)))
	}
	d.told.mu.Unlock()
	if !twice {
		d.log.Error("a record cannot be read", "record", d.kindOf(key), "key", fmt.Sprintf("%x", key), "err", err)
	}
}
