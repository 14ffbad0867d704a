package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// pageSize is how many things a walk over many reads at a time: what Badger
// keeps open for a reader cannot be given back meanwhile.
const pageSize = 256

// position is a request in the order of account and SEQ.
type position struct {
	account account
	seq     uint64
}

// Unfinished implements [pin.Records]. It reads a piece at a time, so what
// changes meanwhile may or may not be seen; a request is yielded only if it has
// the status when its piece is read.
func (s *Store) Unfinished(ctx context.Context, status pin.Status) iter.Seq2[pin.Request, error] {
	return func(yield func(pin.Request, error) bool) {
		code, ok := codeOf(status)
		if !ok {
			yield(pin.Request{}, fmt.Errorf("read unfinished requests: no status %q", status))
			return
		}
		next := position{}
		for more := true; more; {
			var page []pin.Request
			err := s.view(ctx, func(r *reader) (err error) {
				page, next, more, err = s.statusPage(r, code, next)
				return err
			})
			if err != nil {
				yield(pin.Request{}, wrap(err, "read unfinished requests"))
				return
			}
			for _, req := range page {
				if !yield(req, nil) {
					return
				}
			}
		}
	}
}

// statusPage reads requests of a status from a position on, and gives the
// position after them. more is false at the end.
func (s *Store) statusPage(r *reader, code statusCode, from position) (page []pin.Request, next position, more bool, err error) {
	prefix := []byte{kStatus, byte(code)}
	number, low := place(from.seq)
	start := chunkKey(statusList(code, from.account), number)
	var c chunk
	err = r.scan(span{prefix: prefix, from: start}, func(key, value []byte) (bool, error) {
		var a account
		copy(a[:], key[len(prefix):])
		number := binary.BigEndian.Uint32(key[len(prefix)+len(a):])
		if err := c.decode(value); err != nil {
			return false, err
		}
		if string(key) == string(start) {
			c.clip(low, chunkBits)
		}
		for bit := range c.up {
			next = position{a, seqAt(number, bit)}
			if len(page) == pageSize {
				more = true
				return false, nil
			}
			req, err := s.load(r, a, next.seq, code)
			if err != nil {
				return false, err
			}
			page = append(page, req)
		}
		return true, nil
	})
	return page, next, more, err
}

// load reads a request by its SEQ.
func (s *Store) load(r *reader, a account, seq uint64, code statusCode) (pin.Request, error) {
	b, found, err := r.get(rowKey(a, seq))
	if err != nil {
		return pin.Request{}, err
	}
	if !found {
		return pin.Request{}, errors.New("a listed request has no row")
	}
	row, err := decodeRow(b)
	if err != nil {
		return pin.Request{}, err
	}
	req := &request{account: a, status: code}
	found, err = s.take(r, requestKey(a, row.created), &req.requestRecord)
	if err != nil {
		return pin.Request{}, err
	}
	if !found {
		return pin.Request{}, errors.New("a listed request has no record")
	}
	if err := s.readRest(r, req); err != nil {
		return pin.Request{}, err
	}
	return req.public()
}

// QueuedAfter implements [pin.Records].
func (s *Store) QueuedAfter(ctx context.Context, acct string, after time.Time, limit int) (found []pin.Request, err error) {
	a, ok := accountOf(acct)
	if !ok || limit <= 0 {
		return nil, ctx.Err()
	}
	err = s.view(ctx, func(r *reader) error {
		l := &lister{s: s, r: r, account: a, q: pin.Query{Statuses: []pin.Status{pin.Queued}, After: after}}
		if err := l.prepare(); err != nil {
			return err
		}
		for n := l.first; n < l.end && len(found) < limit; n++ {
			c, err := l.matches(n)
			if err != nil {
				return err
			}
			for bit := range c.up {
				if len(found) == limit {
					break
				}
				req, err := s.load(r, a, seqAt(n, bit), codeQueued)
				if err != nil {
					return err
				}
				found = append(found, req)
			}
		}
		return nil
	})
	if err != nil {
		return nil, wrap(err, "read queued requests")
	}
	return found, nil
}

// Roots implements [pin.Records].
func (s *Store) Roots(ctx context.Context) iter.Seq2[pin.DAG, error] {
	return func(yield func(pin.DAG, error) bool) {
		from := []byte{kDAG}
		for from != nil {
			var page []pin.DAG
			err := s.view(ctx, func(r *reader) (err error) {
				page, from, err = s.rootPage(r, from)
				return err
			})
			if err != nil {
				yield("", wrap(err, "read roots"))
				return
			}
			for _, d := range page {
				if !yield(d, nil) {
					return
				}
			}
		}
	}
}

// rootPage reads complete DAGs from a key on, and gives the key to go on from;
// nil at the end.
func (s *Store) rootPage(r *reader, from []byte) (page []pin.DAG, next []byte, err error) {
	looked := 0
	err = r.scan(span{prefix: []byte{kDAG}, from: from}, func(key, value []byte) (bool, error) {
		if looked == pageSize {
			next = append(next, key...)
			return false, nil
		}
		looked++
		var rec dagRecord
		if err := s.codec.decode(value, &rec); err != nil {
			return false, err
		}
		if rec.Complete {
			page = append(page, pin.DAG(key[3:])) // after the kind and the length
		}
		return true, nil
	})
	return page, next, err
}

// Released implements [pin.Records].
func (s *Store) Released(ctx context.Context) (all []pin.Attempt, err error) {
	err = s.view(ctx, func(r *reader) error {
		return r.scan(span{prefix: []byte{kReleased}}, func(key, value []byte) (bool, error) {
			if len(value) > 0 { // else a node, which goes with the attempt that comes to be dropped
				all = append(all, pin.Attempt(tailHolder(key)))
			}
			return true, nil
		})
	})
	if err != nil {
		return nil, wrap(err, "read released attempts")
	}
	return all, nil
}

// ReleasedDAG implements [pin.Records].
func (s *Store) ReleasedDAG(ctx context.Context, a pin.Attempt) (d pin.DAG, err error) {
	err = s.view(ctx, func(r *reader) error {
		value, found, err := r.get(releasedKey(a.Holder()))
		if err != nil {
			return err
		}
		if !found || len(value) == 0 { // a node has the same key, and nothing in it
			return pin.ErrNotFound
		}
		var rec releasedRecord
		if err := s.codec.decode(value, &rec); err != nil {
			return err
		}
		d = pin.DAG(rec.DAG)
		return nil
	})
	if err != nil {
		return "", wrap(err, "read what released attempt %d was for", a)
	}
	return d, nil
}
