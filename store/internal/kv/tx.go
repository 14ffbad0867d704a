package kv

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/holdfast-ipfs/holdfast/internal/diskerr"
	"github.com/holdfast-ipfs/holdfast/store/internal/space/reading"
)

// Reader reads records as they are at one instant. It is not for concurrent use.
type Reader struct {
	Txn *badger.Txn
	// over is writes that are not committed. They hide what Txn reads, and later maps hide
	// earlier ones. A view has none.
	over []map[string]Write
	// alike has the keys of the first of over by their first alikeBytes bytes.
	alike map[string][]string
	began time.Time // of a glance: see Began
}

// alikeBytes is the length of a kind and an account. A prefix that is longer begins with as much of a CID.
// A commit writes thousands of keys, and each of its changes scans several times: to look at all of these
// keys each time took seconds for a commit of 512 changes.
const alikeBytes = 1 + len(Account{})

// Began is a moment before which every commit that had returned is seen by the reader. It is zero
// but for a glance: all others see what had returned when they began.
func (r *Reader) Began() time.Time { return r.began }

// Write sets a value or deletes a key.
type Write struct {
	Value   []byte
	Deleted bool
}

// Get reads a key. found is false if it is not there. The caller may keep the value, but not
// change it. Errors: diskerr.ErrUnreadable.
func (r *Reader) Get(key []byte) (value []byte, found bool, err error) {
	for _, m := range slices.Backward(r.over) {
		if w, ok := m[string(key)]; ok {
			return w.Value, !w.Deleted, nil
		}
	}
	value, err = reading.Fetch(r.Txn, key, nil)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read key %x: %w", key, err)
	}
	return value, true, nil
}

// Span selects keys for a scan.
type Span struct {
	Prefix   []byte
	From     []byte // where the scan begins, this key included; nil is the beginning, or the end if Reverse
	Reverse  bool   // from high keys to low ones
	KeysOnly bool   // values are nil
}

// Scan calls fn for each key of the span, in order, until fn returns false or an error. Scan
// returns that error. Key and value are valid only until fn returns. The scan ends at the first
// value that cannot be read. Errors of its own: diskerr.ErrUnreadable.
func (r *Reader) Scan(s Span, fn func(key, value []byte) (bool, error)) error {
	over := r.overlay(s)
	opt := badger.DefaultIteratorOptions
	opt.Prefix, opt.Reverse = s.Prefix, s.Reverse
	it := reading.Iterate(r.Txn, opt)
	defer it.Close()

	seek := s.From
	if seek == nil && s.Reverse {
		seek = append(bytes.Clone(s.Prefix), bytes.Repeat([]byte{0xff}, maxKeyTail)...)
	} else if seek == nil {
		seek = s.Prefix
	}
	it.Seek(seek)
	var buf []byte // for values
	for {
		item, valid := it.At(s.Prefix)
		if err := it.Failed(); err != nil {
			return fmt.Errorf("read keys that begin with %x: %w", s.Prefix, err)
		}
		if !valid && len(over) == 0 {
			return nil
		}
		if len(over) > 0 {
			order := -1
			if valid {
				order = bytes.Compare([]byte(over[0]), item.Key())
				if s.Reverse {
					order = -order
				}
			}
			if order <= 0 {
				key := over[0]
				over = over[1:]
				if order == 0 {
					it.Next()
				}
				value, found, err := r.Get([]byte(key))
				if err != nil {
					return err
				}
				if !found {
					continue
				}
				if s.KeysOnly {
					value = nil
				}
				if more, err := fn([]byte(key), value); err != nil || !more {
					return err
				}
				continue
			}
		}
		var value []byte
		if !s.KeysOnly {
			var err error
			if value, err = r.valueAt(item, buf); err != nil {
				return fmt.Errorf("read key %x: %w", item.Key(), err)
			}
			buf = value[:0]
		}
		if more, err := fn(item.Key(), value); err != nil || !more {
			return err
		}
		it.Next()
	}
}

// valueAt reads the value of the item that an iterator is at.
func (r *Reader) valueAt(item *badger.Item, buf []byte) ([]byte, error) {
	value, err := reading.ValueOf(item, buf)
	if errors.Is(err, diskerr.ErrUnreadable) { // the value may have been moved meanwhile
		return reading.Fetch(r.Txn, item.KeyCopy(nil), buf)
	}
	return value, err
}

// overlay lists the keys of a span that have uncommitted writes, in the order of the scan.
func (r *Reader) overlay(s Span) []string {
	var keys []string
	add := func(k string) {
		if len(k) < len(s.Prefix) || k[:len(s.Prefix)] != string(s.Prefix) {
			return
		}
		if s.From == nil || !s.Reverse && k >= string(s.From) || s.Reverse && k <= string(s.From) {
			keys = append(keys, k)
		}
	}
	for i, m := range r.over {
		if i == 0 && len(s.Prefix) >= alikeBytes {
			for _, k := range r.alike[string(s.Prefix[:alikeBytes])] {
				add(k)
			}
			continue
		}
		for k := range m {
			add(k)
		}
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)
	if s.Reverse {
		slices.Reverse(keys)
	}
	return keys
}

// Tx is a change to the records. It reads what was committed, what earlier changes of the same
// commit wrote, and what it wrote itself. If its function returns an error, nothing of it is
// kept.
type Tx struct {
	Reader
	Own map[string]Write
}

// Set writes a key. The value must not be changed afterwards.
func (t *Tx) Set(key, value []byte) { t.Own[string(key)] = Write{Value: value} }

// Delete deletes a key, which need not be there.
func (t *Tx) Delete(key []byte) { t.Own[string(key)] = Write{Deleted: true} }

// Before reads what there was before the change that r belongs to. Values that are derived
// from others are worked out from that: the change may have written only half of the others.
// For a view it is r itself.
func (r *Reader) Before() *Reader {
	if len(r.over) < 2 { // a change has two: the commit's so far, and its own
		return r
	}
	return &Reader{Txn: r.Txn, over: r.over[:len(r.over)-1], alike: r.alike}
}

// Has reports whether a key is there, also if its value cannot be read.
func (r *Reader) Has(key []byte) (bool, error) {
	_, found, err := r.Get(key)
	if errors.Is(err, diskerr.ErrUnreadable) {
		return true, nil
	}
	return found, err
}

// ScanEach is Scan that goes on after values that cannot be read: it passes nil for them.
func (r *Reader) ScanEach(sp Span, fn func(key, value []byte) (bool, error)) error {
	var done []byte
	var inner error
	err := r.Scan(sp, func(key, value []byte) (more bool, err error) {
		if more, inner = fn(key, value); inner != nil {
			return false, nil
		}
		done = append(done[:0], key...)
		return more, nil
	})
	if inner != nil || !errors.Is(err, diskerr.ErrUnreadable) {
		return FirstError(inner, err)
	}
	// From here on one by one, as there may be more such values.
	if done != nil {
		sp.From = done
	}
	sp.KeysOnly = true
	return r.Scan(sp, func(key, _ []byte) (bool, error) {
		if bytes.Equal(key, done) {
			return true, nil
		}
		value, found, err := r.Get(key)
		if errors.Is(err, diskerr.ErrUnreadable) {
			return fn(key, nil)
		}
		if err != nil || !found {
			return err == nil, err
		}
		return fn(key, value)
	})
}

// PassUnreadable drops errors of values that cannot be read. It is for counting, which goes on
// without them.
func PassUnreadable(err error) error {
	if errors.Is(err, diskerr.ErrUnreadable) {
		return nil
	}
	return err
}
