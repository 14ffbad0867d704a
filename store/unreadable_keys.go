package store

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

// tellUnreadable logs that a value cannot be read, once in the life of the store.
func (s *Store) tellUnreadable(key []byte, err error) {
	s.told.mu.Lock()
	_, twice := s.told.keys[string(key)]
	if !twice && len(s.told.keys) < toldLimit {
		if s.told.keys == nil {
			s.told.keys = map[string]struct{}{}
		}
		s.told.keys[string(key)] = struct{}{}
	}
	s.told.mu.Unlock()
	if !twice {
		s.log.Error("a record cannot be read", "record", s.kindOf(key), "key", fmt.Sprintf("%x", key), "err", err)
	}
}
