package store

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// oldest is when the oldest request of a status was made: an account's are in
// that order.
func (s *Store) oldest(r *kv.Reader, code statusCode) (oldest time.Time, err error) {
	prefix := []byte{kStatus, byte(code)}
	var last kv.Account
	seen := false
	err = r.Scan(kv.Span{Prefix: prefix, KeysOnly: true}, func(key, _ []byte) (bool, error) {
		var a kv.Account
		copy(a[:], key[len(prefix):])
		if seen && a == last {
			return true, nil
		}
		number := binary.BigEndian.Uint32(key[len(prefix)+len(a):])
		c, err := chunkAt(r, statusList(code, a), number)
		if err != nil {
			return kv.PassUnreadable(err) == nil, kv.PassUnreadable(err)
		}
		for bit := range c.up {
			row, err := rowAt(r, a, seqAt(number, bit))
			if errors.Is(err, ErrUnreadable) {
				continue
			}
			if err != nil {
				return false, err
			}
			last, seen = a, true
			if made := time.UnixMilli(row.created); oldest.IsZero() || made.Before(oldest) {
				oldest = made
			}
			break
		}
		return true, nil
	})
	return oldest, err
}
