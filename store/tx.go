package store

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/holdfast-ipfs/holdfast/internal/fault"

	"github.com/dgraph-io/badger/v4"
)

// reader reads records, as they are at one instant. It is not for concurrent
// use.
type reader struct {
	txn *badger.Txn
	// over lies over what txn reads; later maps hide earlier ones. A view has
	// none.
	over []map[string]write
}

// write is a value that is set, or a key that is deleted.
type write struct {
	value   []byte
	deleted bool
}

// get reads a key. found is false if it is not there. The value is the
// caller's to keep, but not to change. Errors: fault.ErrUnreadable.
func (r *reader) get(key []byte) (value []byte, found bool, err error) {
	for _, m := range slices.Backward(r.over) {
		if w, ok := m[string(key)]; ok {
			return w.value, !w.deleted, nil
		}
	}
	value, err = fetch(r.txn, key, nil)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read key %x: %w", key, err)
	}
	return value, true, nil
}

// span selects keys for a scan.
type span struct {
	prefix   []byte
	from     []byte // the first key to look at, itself included; nil is from the end of the prefix that is first
	reverse  bool   // from high keys to low ones
	keysOnly bool   // values are given as nil
}

// scan calls fn for each key of the span, in order, until fn returns false or
// an error, which scan returns. Key and value are valid only until fn returns.
// It ends at the first value that cannot be read. Errors of its own: fault.ErrUnreadable.
func (r *reader) scan(s span, fn func(key, value []byte) (bool, error)) error {
	over := r.overlay(s)
	opt := badger.DefaultIteratorOptions
	opt.Prefix, opt.Reverse = s.prefix, s.reverse
	it := iterate(r.txn, opt)
	defer it.close()

	seek := s.from
	if seek == nil && s.reverse {
		seek = append(bytes.Clone(s.prefix), bytes.Repeat([]byte{0xff}, maxKeyTail)...)
	} else if seek == nil {
		seek = s.prefix
	}
	it.seek(seek)
	var buf []byte // for values
	for {
		item, valid := it.at(s.prefix)
		if err := it.failed(); err != nil {
			return fmt.Errorf("read keys that begin with %x: %w", s.prefix, err)
		}
		if !valid && len(over) == 0 {
			return nil
		}
		if len(over) > 0 {
			order := -1
			if valid {
				order = bytes.Compare([]byte(over[0]), item.Key())
				if s.reverse {
					order = -order
				}
			}
			if order <= 0 {
				key := over[0]
				over = over[1:]
				if order == 0 {
					it.next()
				}
				value, found, err := r.get([]byte(key))
				if err != nil {
					return err
				}
				if !found {
					continue
				}
				if s.keysOnly {
					value = nil
				}
				if more, err := fn([]byte(key), value); err != nil || !more {
					return err
				}
				continue
			}
		}
		var value []byte
		if !s.keysOnly {
			var err error
			if value, err = r.valueAt(item, buf); err != nil {
				return fmt.Errorf("read key %x: %w", item.Key(), err)
			}
			buf = value[:0]
		}
		if more, err := fn(item.Key(), value); err != nil || !more {
			return err
		}
		it.next()
	}
}

// valueAt reads the value of an item that an iterator is at.
func (r *reader) valueAt(item *badger.Item, buf []byte) ([]byte, error) {
	value, err := valueOf(item, buf)
	if errors.Is(err, fault.ErrUnreadable) { // it may have been moved since
		return fetch(r.txn, item.KeyCopy(nil), buf)
	}
	return value, err
}

// overlay lists the keys of a span that are in the maps, in the scan's order.
func (r *reader) overlay(s span) []string {
	var keys []string
	for _, m := range r.over {
		for k := range m {
			if len(k) < len(s.prefix) || k[:len(s.prefix)] != string(s.prefix) {
				continue
			}
			if s.from == nil || !s.reverse && k >= string(s.from) || s.reverse && k <= string(s.from) {
				keys = append(keys, k)
			}
		}
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)
	if s.reverse {
		slices.Reverse(keys)
	}
	return keys
}

// tx is a change to the records. It reads what was committed, what the changes
// before it in the same commit wrote, and what it wrote itself. Nothing of it
// is kept if its function returns an error.
type tx struct {
	reader
	own map[string]write
}

// set writes a key. The value must not be changed afterwards.
func (t *tx) set(key, value []byte) { t.own[string(key)] = write{value: value} }

// delete deletes a key, which need not be there.
func (t *tx) delete(key []byte) { t.own[string(key)] = write{deleted: true} }

// before reads what there was before the change that r reads for: a change may have
// written half of what another value follows from. A view has no such thing.
func (r *reader) before() *reader {
	if len(r.over) < 2 { // what was committed, and what this commit has before; then its own
		return r
	}
	return &reader{txn: r.txn, over: r.over[:len(r.over)-1]}
}

// has reports whether a key is there, whatever its value, which may not be readable.
func (r *reader) has(key []byte) (bool, error) {
	_, found, err := r.get(key)
	if errors.Is(err, fault.ErrUnreadable) {
		return true, nil
	}
	return found, err
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
	if inner != nil || !errors.Is(err, fault.ErrUnreadable) {
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
		if errors.Is(err, fault.ErrUnreadable) {
			return fn(key, nil)
		}
		if err != nil || !found {
			return err == nil, err
		}
		return fn(key, value)
	})
}

// passUnreadable is for what is counted and not done: it goes on past what cannot be read.
func passUnreadable(err error) error {
	if errors.Is(err, fault.ErrUnreadable) {
		return nil
	}
	return err
}
