package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// An upgrade keeps what it changes under keys of its own, as it was before: the first byte
// of the value says whether there was anything. They are written in the same commits as the
// changes, and count for as long as metaUpgrade is there, which says from which layout
// the upgrade came.

const (
	wasAbsent  = 0
	wasPresent = 1
)

// keptKey is where an upgrade keeps what was under a key.
func keptKey(key []byte) []byte { return append([]byte{kv.KKept}, key...) }

// upgrade brings the records from one layout to another, or leaves them as they were.
func (s *Store) upgrade(ctx context.Context, from, to int, steps []migration) error {
	number := func(n int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }
	if err := s.dropKept(ctx); err != nil { // of an earlier one that was done
		return err
	}
	err := s.kv.Update(ctx, func(t *kv.Tx) error {
		t.Set(kv.MetaKey(kv.MetaUpgrade), number(from))
		t.Set(kv.MetaKey(kv.MetaLayout), number(to))
		return nil
	})
	if err != nil {
		return fmt.Errorf("begin to bring records from layout %d to %d: %w", from, to, err)
	}
	for have := from; have < to; have++ {
		s.log.Info("bringing the records to a newer layout", "from", have, "to", have+1)
		if err := steps[have-firstLayout](ctx, s); err != nil {
			err = fmt.Errorf("bring records from layout %d to %d: %w", have, have+1, err)
			// Also if it was interrupted: the program that wrote them may be started next.
			if back := s.takeBack(context.WithoutCancel(ctx), from); back != nil {
				return errors.Join(err, fmt.Errorf("put the records back as they were, which the next start of this version tries again: %w", back))
			}
			return fmt.Errorf("%w; the records are as they were", err)
		}
	}
	err = s.kv.Update(ctx, func(t *kv.Tx) error {
		t.Delete(kv.MetaKey(kv.MetaUpgrade))
		return nil
	})
	if err != nil {
		return fmt.Errorf("end bringing records to layout %d: %w", to, err)
	}
	return s.dropKept(ctx)
}

// step is update for a migration: it keeps what the change writes over. A change may write
// half as much as one of update.
func (s *Store) step(ctx context.Context, fn func(*kv.Tx) error) error {
	return s.kv.Update(ctx, func(t *kv.Tx) error {
		if err := fn(t); err != nil {
			return err
		}
		before := t.Reader.Before()
		kept := map[string]kv.Write{}
		for key := range t.Own {
			if _, found, err := before.Get(keptKey([]byte(key))); err != nil {
				return err
			} else if found {
				continue // what was there first counts
			}
			value, found, err := before.Get([]byte(key))
			if err != nil {
				return fmt.Errorf("keep what is under key %x: %w", key, err)
			}
			if found {
				value = append([]byte{wasPresent}, value...)
			} else {
				value = []byte{wasAbsent}
			}
			kept[string(keptKey([]byte(key)))] = kv.Write{Value: value}
		}
		for key, w := range kept {
			t.Own[key] = w
		}
		return nil
	})
}

// takeBackCutOff puts back what an upgrade changed that was cut off.
func (s *Store) takeBackCutOff(ctx context.Context) error {
	var from int
	err := s.kv.View(ctx, func(r *kv.Reader) error {
		b, found, err := r.Get(kv.MetaKey(kv.MetaUpgrade))
		if err != nil || !found {
			return err
		}
		if len(b) != 8 {
			return fmt.Errorf("the layout that an upgrade came from is %x", b)
		}
		from = int(binary.BigEndian.Uint64(b))
		return nil
	})
	if err != nil {
		return fmt.Errorf("look for an upgrade that was cut off: %w", err)
	}
	if from == 0 {
		return nil
	}
	s.log.Warn("an upgrade of the records was cut off; they are put back as they were first", "layout", from)
	if err := s.takeBack(ctx, from); err != nil {
		return fmt.Errorf("put the records back as they were in layout %d: %w", from, err)
	}
	return nil
}

// keptPerChange bounds the keys that one change puts back, and with them the values of up
// to 1 KiB each that these have.
const keptPerChange = 250

// takeBack puts all records back as they were in a layout. It can be interrupted, and done
// again.
func (s *Store) takeBack(ctx context.Context, from int) error {
	for {
		n := 0
		err := s.kv.Update(ctx, func(t *kv.Tx) error {
			n = 0
			return eachKept(t, func(kept, value []byte) error {
				n++
				switch {
				case len(value) > 0 && value[0] == wasPresent:
					t.Set(kept[1:], value[1:])
				case len(value) == 1 && value[0] == wasAbsent:
					t.Delete(kept[1:])
				default:
					return fmt.Errorf("%w: key %x", pin.ErrUnreadable, kept)
				}
				t.Delete(kept)
				return nil
			})
		})
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
	}
	return s.kv.Update(ctx, func(t *kv.Tx) error {
		t.Set(kv.MetaKey(kv.MetaLayout), binary.BigEndian.AppendUint64(nil, uint64(from)))
		t.Delete(kv.MetaKey(kv.MetaUpgrade))
		return nil
	})
}

// dropKept forgets what an upgrade kept.
func (s *Store) dropKept(ctx context.Context) error {
	for {
		n := 0
		err := s.kv.Update(ctx, func(t *kv.Tx) error {
			n = 0
			return eachKept(t, func(kept, _ []byte) error {
				n++
				t.Delete(kept)
				return nil
			})
		})
		if err != nil {
			return fmt.Errorf("forget what an upgrade kept: %w", err)
		}
		if n == 0 {
			return nil
		}
	}
}

// eachKept calls fn for some of what an upgrade kept.
func eachKept(t *kv.Tx, fn func(kept, value []byte) error) error {
	type entry struct{ key, value []byte }
	var some []entry
	err := t.Scan(kv.Span{Prefix: []byte{kv.KKept}}, func(key, value []byte) (bool, error) {
		some = append(some, entry{bytes.Clone(key), bytes.Clone(value)})
		return len(some) < keptPerChange, nil
	})
	for _, e := range some {
		if err == nil {
			err = fn(e.key, e.value)
		}
	}
	return err
}
