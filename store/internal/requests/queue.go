package requests

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// oldest gives the time at which the oldest request of a status was made. Of each account it reads
// the first, as an account's requests are in the order of time.
func (s *Store) oldest(r *kv.Reader, code statusCode) (oldest time.Time, err error) {
	prefix := []byte{KStatus, byte(code)}
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
			if errors.Is(err, pin.ErrUnreadable) {
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

// CountRequests counts the requests of all accounts, by status.
func (s *Store) CountRequests(ctx context.Context, walk kv.KeyWalk) (map[pin.Status]uint64, error) {
	all := map[pin.Status]uint64{}
	for _, code := range byLikelihood() {
		n := uint64(0)
		err := walk(ctx, kv.Span{Prefix: []byte{KStatus, byte(code)}}, func(key, value []byte) error {
			c := new(chunk)
			err := c.decode(value)
			if errors.Is(err, pin.ErrUnreadable) {
				list, number := key[:len(key)-4], binary.BigEndian.Uint32(key[len(key)-4:])
				err = s.kv.View(ctx, func(r *kv.Reader) (err error) {
					c, err = chunkAt(r, list, number)
					return err
				})
			}
			if err == nil {
				n += uint64(c.count())
			}
			return kv.PassUnreadable(err)
		})
		if err != nil {
			return nil, err
		}
		all[code.status()] = n
	}
	return all, nil
}

// Queue is how many requests all accounts have.
type Queue struct {
	Requests map[pin.Status]uint64 // every status has an entry
	// Oldest is when the oldest queued request was made; zero if none is queued.
	Oldest time.Time
}

// Queue counts the requests of all accounts. It reads a bitmap of a few hundred bytes for every
// 2,048 requests of an account.
func (s *Store) Queue(ctx context.Context) (q Queue, err error) {
	if q.Requests, err = s.CountRequests(ctx, s.kv.Walk); err != nil {
		return Queue{}, kv.Wrap(err, "count requests")
	}
	if q.Requests[pin.Queued] == 0 {
		return q, nil
	}
	err = s.kv.View(ctx, func(r *kv.Reader) (err error) {
		q.Oldest, err = s.oldest(r, codeQueued)
		return err
	})
	if err != nil {
		return Queue{}, kv.Wrap(err, "look for the oldest request")
	}
	return q, nil
}
