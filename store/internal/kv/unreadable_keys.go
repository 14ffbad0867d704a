package kv

import (
	"fmt"
	"sync"
)

// toldLimit bounds the keys that are remembered as logged: some 100 bytes each.
const toldLimit = 10_000

// told is the keys whose values cannot be read and that the log has.
type told struct {
	mu   sync.Mutex
	keys map[string]struct{}
}

// TellUnreadable logs that a value cannot be read, once in the life of the store.
func (d *DB) TellUnreadable(key []byte, err error) {
	d.told.mu.Lock()
	_, twice := d.told.keys[string(key)]
	if !twice && len(d.told.keys) < toldLimit {
		if d.told.keys == nil {
			d.told.keys = map[string]struct{}{}
		}
		d.told.keys[string(key)] = struct{}{}
	}
	d.told.mu.Unlock()
	if !twice {
		d.log.Error("a record cannot be read", "record", d.kindOf(key), "key", fmt.Sprintf("%x", key), "err", err)
	}
}
