package store

import (
	"bytes"
	"errors"
	"fmt"
	"sync"

	"github.com/holdfast-ipfs/holdfast/pin"
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
		s.log.Error("a record cannot be read", "record", kindOf(key), "key", fmt.Sprintf("%x", key), "err", err)
	}
}

// scanEach is scan that goes on past values that cannot be read: they are given as nil.
func (r *reader) scanEach(sp span, fn func(key, value []byte) (bool, error)) error {
	var done []byte
	var inner error
	err := r.scan(sp, func(key, value []byte) (more bool, err error) {
		if more, inner = fn(key, value); inner != nil {
			return false, nil
		}
		done = append(done[:0], key...)
		return more, nil
	})
	if inner != nil || !errors.Is(err, ErrUnreadable) {
		return firstError(inner, err)
	}
	// One by one: there may be more of them where there is one.
	if done != nil {
		sp.from = done
	}
	sp.keysOnly = true
	return r.scan(sp, func(key, _ []byte) (bool, error) {
		if bytes.Equal(key, done) {
			return true, nil
		}
		value, found, err := r.get(key)
		if errors.Is(err, ErrUnreadable) {
			return fn(key, nil)
		}
		if err != nil || !found {
			return err == nil, err
		}
		return fn(key, value)
	})
}

// sizeOr0 gives the size in the value of a link or a note. It is what is told of a block,
// and nothing goes by it.
func sizeOr0(key, value []byte) int {
	size, err := decodeSize(key, value)
	if err != nil {
		return 0
	}
	return size
}

// attemptDAG gives the DAG of an attempt that is in use. If that cannot be read, the records
// of all DAGs are looked through; d is "" if none has the attempt.
func (s *Store) attemptDAG(r *reader, a pin.Attempt) (d pin.DAG, inUse bool, err error) {
	b, inUse, err := r.get(attemptKey(a))
	if err == nil && (!inUse || pin.DAG(b).CID().Defined()) {
		return pin.DAG(b), inUse, nil
	}
	if err != nil && !errors.Is(err, ErrUnreadable) {
		return "", false, err
	}
	s.tellUnreadable(attemptKey(a), firstError(err, ErrUnreadable))
	err = r.scanEach(span{prefix: []byte{kDAG}}, func(key, value []byte) (bool, error) {
		var rec dagRecord
		if s.codec.decode(value, &rec) == nil && rec.Attempt == a {
			d = pin.DAG(key[3:])
		}
		return d == "", nil
	})
	return d, true, err
}

// passUnreadable is for what is counted and not done: it goes on past what cannot be read.
func passUnreadable(err error) error {
	if errors.Is(err, ErrUnreadable) {
		return nil
	}
	return err
}
