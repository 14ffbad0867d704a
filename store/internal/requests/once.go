package requests

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// A client that got no answer sends its request again. If it sends an idempotency key, the store finds
// by that the pin request that was already made, and makes no other. The record of a key is written
// in the commit that makes the request.
//
// Keys have the numbers of the requests that were made under them. So the oldest keys are found without
// reading the others, and an account cannot have more than [pin.KeptKeys].

// onceRecord is what was made under a key.
type onceRecord struct {
	_     struct{} `cbor:",toarray"`
	ID    [16]byte // of the request
	Seq   uint64   // of the request
	At    int64    // Unix milliseconds by the clock, which may have been set back since
	Print []byte   // ask.print of what was asked for
}

// expired reports whether a key is older than keys are kept.
func (o *onceRecord) expired(nowMS int64) bool { return nowMS-o.At >= pin.KeyAge.Milliseconds() }

// ask is a request to pin under a key.
type ask struct {
	account  string
	replaces string // the ID of the request that it replaces; "" is none
	spec     pin.Spec
}

// print is a hash of what is asked for. Origins are not in it: they are hints, and a client
// that sends its request again after its network changed has others.
func (a ask) print() []byte {
	var b []byte
	for _, text := range []string{a.replaces, a.spec.CID, a.spec.Name} {
		b = appendText(b, text)
	}
	b = binary.AppendUvarint(b, uint64(len(a.spec.Meta)))
	for _, k := range slices.Sorted(maps.Keys(a.spec.Meta)) {
		b = appendText(appendText(b, k), a.spec.Meta[k])
	}
	sum := sha256.Sum256(b)
	return sum[:]
}

// made reads the request that was made under a key, as it is now; nil if there is none. Errors:
// pin.ErrKeyReused, pin.ErrKeyGone.
func (s *Store) made(r *kv.Reader, a ask) (*request, error) {
	account, ok := kv.AccountOf(a.account)
	if a.spec.IdempotencyKey == "" || !ok {
		return nil, nil
	}
	var o onceRecord
	found, err := r.Take(onceKey(account, hashName(a.spec.IdempotencyKey)), &o)
	if err != nil || !found || o.expired(s.now().UnixMilli()) {
		return nil, err
	}
	if string(o.Print) != string(a.print()) {
		return nil, pin.ErrKeyReused
	}
	req, err := s.find(r, a.account, uuid.UUID(o.ID).String())
	if errors.Is(err, pin.ErrNotFound) {
		return nil, pin.ErrKeyGone
	}
	return req, err
}

// before finds the request that was made under a key. It changes nothing, so that it works although the
// account or the disk is full. found is false if there is none.
func (s *Store) before(ctx context.Context, a ask) (now pin.Request, found bool, err error) {
	if a.spec.IdempotencyKey == "" {
		return now, false, nil
	}
	err = s.ViewLearning(ctx, func(r *kv.Reader) error {
		req, err := s.made(r, a)
		if err != nil || req == nil {
			return err
		}
		found = true
		now, err = req.public()
		return err
	})
	return now, found && err == nil, err
}

// remember writes the record of a key, and forgets keys that are too old or too many.
func (s *Store) remember(t *kv.Tx, a ask, req *request) error {
	if a.spec.IdempotencyKey == "" {
		return nil
	}
	hash := hashName(a.spec.IdempotencyKey)
	var old onceRecord
	found, err := t.Take(onceKey(req.account, hash), &old)
	if err != nil {
		return err
	}
	if found {
		t.Delete(onceOrderKey(req.account, old.Seq))
	}
	if err := s.forgetOldest(t, req.account, req.Seq); err != nil {
		return err
	}
	t.Set(onceOrderKey(req.account, req.Seq), hash[:])
	return t.Put(onceKey(req.account, hash), onceRecord{ID: req.ID, Seq: req.Seq, At: s.now().UnixMilli(), Print: a.print()})
}

// forgottenWithOne is how many old keys are looked at when a new one is written. With two, the number
// of keys can shrink again.
const forgottenWithOne = 2

// forgetOldest forgets the oldest keys of an account if they expired, or if with newest there are too
// many.
func (s *Store) forgetOldest(t *kv.Tx, a kv.Account, newest uint64) error {
	prefix := kv.AccountPrefix(KOnceOrder, a)
	var seqs []uint64
	err := t.Scan(kv.Span{Prefix: prefix, KeysOnly: true}, func(key, _ []byte) (bool, error) {
		seqs = append(seqs, binary.BigEndian.Uint64(key[len(prefix):]))
		return len(seqs) < forgottenWithOne, nil
	})
	for _, seq := range seqs {
		if err != nil {
			break
		}
		err = s.forgetAt(t, a, seq, seq+pin.KeptKeys <= newest)
	}
	return err
}

// forgetAt forgets the key of a request if it expired, or if there are too many. A key that cannot be
// read is forgotten by SweepKeys.
func (s *Store) forgetAt(t *kv.Tx, a kv.Account, seq uint64, tooMany bool) error {
	hash, found, err := t.Get(onceOrderKey(a, seq))
	if err != nil || !found || len(hash) != len(nameHash{}) {
		t.Delete(onceOrderKey(a, seq))
		return kv.PassUnreadable(err)
	}
	key := onceKey(a, nameHash(hash))
	var o onceRecord
	found, err = t.Take(key, &o)
	if err != nil {
		return kv.PassUnreadable(err)
	}
	switch {
	case !found || o.Seq != seq:
		t.Delete(onceOrderKey(a, seq))
	case tooMany || o.expired(s.now().UnixMilli()):
		t.Delete(onceOrderKey(a, seq))
		t.Delete(key)
	}
	return nil
}

// sweptPerChange is how many idempotency keys one change of a sweep looks at. Each has two keys in the
// database.
const sweptPerChange = 1000

// SweepKeys forgets the idempotency keys of all accounts that expired, and those that cannot be read. A
// key with a time in the future was written before the clock was set back: its age counts from now. If
// the disk is too full for a change, keys stay. pause is called between changes, with the time that
// the last one took.
func (s *Store) SweepKeys(ctx context.Context, pause func(context.Context, time.Duration) error) error {
	for _, kind := range []byte{KOnce, KOnceOrder} {
		var from []byte
		for more := true; more; {
			began := time.Now()
			var keys [][]byte
			err := s.kv.View(ctx, func(r *kv.Reader) error {
				return r.Scan(kv.Span{Prefix: []byte{kind}, From: from, KeysOnly: true}, func(key, _ []byte) (bool, error) {
					keys = append(keys, slices.Clone(key))
					return len(keys) <= sweptPerChange, nil
				})
			})
			if err != nil {
				return err
			}
			if more = len(keys) > sweptPerChange; more {
				from, keys = keys[sweptPerChange], keys[:sweptPerChange]
			}
			err = s.sweepSome(ctx, keys)
			if errors.Is(err, pin.ErrDiskFull) {
				return nil
			}
			if err == nil && more {
				err = pause(ctx, time.Since(began))
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// sweepSome sweeps some keys. It makes one change, if anything is to be done.
func (s *Store) sweepSome(ctx context.Context, keys [][]byte) error {
	now := s.now().UnixMilli()
	var due [][]byte
	err := s.kv.View(ctx, func(r *kv.Reader) error {
		for _, key := range keys {
			if _, keep, err := s.sweepOne(r, key, now); err != nil {
				return err
			} else if !keep {
				due = append(due, key)
			}
		}
		return nil
	})
	if err != nil || len(due) == 0 {
		return err
	}
	return s.kv.Update(ctx, func(t *kv.Tx) error {
		for _, key := range due {
			o, keep, err := s.sweepOne(&t.Reader, key, now)
			switch {
			case err != nil:
				return err
			case keep:
			case o != nil && o.At > now:
				o.At = now
				if err := t.Put(key, *o); err != nil {
					return err
				}
			case o != nil:
				t.Delete(onceOrderKey(kv.Account(key[1:]), o.Seq))
				fallthrough
			default:
				t.Delete(key)
			}
		}
		return nil
	})
}

// sweepOne reports whether a key stays as it is. If not, it gives the key's record; nil if there is none
// that can be read.
func (s *Store) sweepOne(r *kv.Reader, key []byte, now int64) (o *onceRecord, keep bool, err error) {
	a := kv.Account(key[1:])
	if key[0] == KOnceOrder {
		hash, found, err := r.Get(key)
		if err != nil || !found || len(hash) != len(nameHash{}) {
			return nil, false, kv.PassUnreadable(err)
		}
		var o onceRecord
		found, err = r.Take(onceKey(a, nameHash(hash)), &o)
		return nil, found && err == nil && string(onceOrderKey(a, o.Seq)) == string(key), kv.PassUnreadable(err)
	}
	o = new(onceRecord)
	found, err := r.Take(key, o)
	if err != nil || !found {
		return nil, false, kv.PassUnreadable(err)
	}
	return o, !o.expired(now) && o.At <= now, nil
}
