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

// An upgrade keeps the old values of what it changes, under keys of its own. The first byte of the kept
// value says whether there was an old value. Kept keys are written in the same commits as the changes.
// They count while the key kv.MetaUpgrade is there, which has the old layout.

const (
	wasAbsent  = 0
	wasPresent = 1
)

// keptKey is the key under which an upgrade keeps the old value of a key.
func keptKey(key []byte) []byte { return append([]byte{kv.KKept}, key...) }

// upgrade brings the records from one layout to another, or leaves them as they were.
func (s *Store) upgrade(ctx context.Context, from, to int, steps []migration) error {
	number := func(n int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }
	if err := s.dropKept(ctx); err != nil { // of an earlier upgrade, which was done
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
			// Also if ctx has ended: the old version may be started next.
			if back := s.takeBack(context.WithoutCancel(ctx), from); back != nil {
				return errors.Join(err, fmt.Errorf("put the records back as they were (the next start of this version tries again): %w", back))
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

// step is Update for a migration. It keeps the old values of what the change writes, so a change may
// write half as much.
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
				continue // an earlier step kept the oldest value
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

// takeBackCutOff puts everything back if an upgrade was cut off.
func (s *Store) takeBackCutOff(ctx context.Context) error {
	var from int
	err := s.kv.View(ctx, func(r *kv.Reader) error {
		b, found, err := r.Get(kv.MetaKey(kv.MetaUpgrade))
		if err != nil || !found {
			return err
		}
		if len(b) != 8 {
			return fmt.Errorf("the layout from before an upgrade is %x", b)
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
	s.log.Warn("an upgrade of the records was cut off; first they are put back as they were", "layout", from)
	if err := s.takeBack(ctx, from); err != nil {
		return fmt.Errorf("put the records back as they were in layout %d: %w", from, err)
	}
	return nil
}

// keptPerChange is how many keys one change puts back: their values may have up to 1 KiB each.
const keptPerChange = 250

// takeBack puts all records back as they were in a layout. If it is interrupted, it can be done again.
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

// dropKept deletes what an upgrade kept.
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
			return fmt.Errorf("delete what an upgrade kept: %w", err)
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
