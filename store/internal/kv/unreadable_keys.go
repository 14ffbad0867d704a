package kv

import (
	"fmt"
	"sync"
)

// maxLogged is how many keys are remembered as logged: some 100 bytes each.
const maxLogged = 10_000

// logged is the keys of unreadable values that were logged.
type logged struct {
	mu   sync.Mutex
	keys map[string]struct{}
}

// LogUnreadable logs that a value cannot be read: once for each key until the store is closed.
func (d *DB) LogUnreadable(key []byte, err error) {
	d.logged.mu.Lock()
	_, twice := d.logged.keys[string(key)]
	if !twice && len(d.logged.keys) < maxLogged {
		if d.logged.keys == nil {
			d.logged.keys = map[string]struct{}{}
		}
		d.logged.keys[string(key)] = struct{}{}
	}
	d.logged.mu.Unlock()
	if !twice {
		d.log.Error("a record cannot be read", "record", d.kindOf(key), "key", fmt.Sprintf("%x", key), "err", err)
	}
}
