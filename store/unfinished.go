package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// Accounts implements [pin.Records].
func (s *Store) Accounts(ctx context.Context, status pin.Status) (all []string, err error) {
	code, ok := codeOf(status)
	if !ok {
		return nil, fmt.Errorf("list accounts: no status %q", status)
	}
	prefix := []byte{kStatus, byte(code)}
	var last kv.Account
	err = s.kv.View(ctx, func(r *kv.Reader) error {
		// Of each account there is a key for every 2,048 requests.
		return r.Scan(kv.Span{Prefix: prefix, KeysOnly: true}, func(key, _ []byte) (bool, error) {
			var a kv.Account
			copy(a[:], key[len(prefix):])
			if len(all) == 0 || a != last {
				last = a
				all = append(all, a.String())
			}
			return true, nil
		})
	})
	if err != nil {
		return nil, kv.Wrap(err, "list accounts with %s requests", status)
	}
	return all, nil
}

// load reads a request by its SEQ. One that cannot be read, but whose CID is known, has
// its status all the same, so that it goes on. found is false if it has no record.
// Errors: *unlearnedError.
func (s *Store) load(r *kv.Reader, a kv.Account, seq uint64, code statusCode) (out pin.Request, found bool, err error) {
	ms, found, err := s.createdOf(r, a, seq)
	if err != nil || !found {
		return pin.Request{}, false, err
	}
	req := &request{account: a, status: code}
	found, err = s.kv.Take(r, requestKey(a, ms), &req.requestRecord)
	if errors.Is(err, ErrUnreadable) {
		d, err := s.damagedAt(a, ms, err)
		if err != nil {
			return pin.Request{}, false, err
		}
		if req, err = s.damagedRequest(r, a, d, plainID(ms)); err != nil {
			return pin.Request{}, false, err
		}
		if out, err = req.public(); err == nil && d.dag != "" {
			out.Status = code.status()
		}
		return out, true, err
	}
	if err != nil {
		return pin.Request{}, false, err
	}
	if !found {
		return pin.Request{}, false, errors.New("a listed request has no record")
	}
	if err := s.readRest(r, req); err != nil {
		return pin.Request{}, false, err
	}
	out, err = req.public()
	return out, true, err
}

// UnfinishedAfter implements [pin.Records]. What changes while it reads may or may
// not be seen.
func (s *Store) UnfinishedAfter(ctx context.Context, acct string, status pin.Status, after time.Time, limit int) (found []pin.Request, err error) {
	code, known := codeOf(status)
	a, ok := kv.AccountOf(acct)
	if !ok || !known || limit <= 0 {
		return nil, ctx.Err()
	}
	err = s.viewLearning(ctx, func(r *kv.Reader) error {
		found = nil
		l := &lister{s: s, r: r, account: a, asKept: true, damaged: s.damaged.get(a),
			q: pin.Query{Statuses: []pin.Status{status}, After: after}}
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
				req, ok, err := s.load(r, a, seqAt(n, bit), code)
				if err != nil {
					return err
				}
				if ok && req.Status == status { // else there is no telling what to fetch
					found = append(found, req)
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, kv.Wrap(err, "read %s requests", status)
	}
	return found, nil
}

// Roots implements [pin.Records].
func (s *Store) Roots(ctx context.Context) iter.Seq2[pin.DAG, error] {
	return func(yield func(pin.DAG, error) bool) {
		from := []byte{kDAG}
		for from != nil {
			var page []pin.DAG
			err := s.kv.View(ctx, func(r *kv.Reader) (err error) {
				page, from, err = s.rootPage(r, from)
				return err
			})
			if err != nil {
				yield("", kv.Wrap(err, "read roots"))
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
func (s *Store) rootPage(r *kv.Reader, from []byte) (page []pin.DAG, next []byte, err error) {
	looked := 0
	err = r.Scan(kv.Span{Prefix: []byte{kDAG}, From: from, KeysOnly: true}, func(key, _ []byte) (bool, error) {
		if looked == kv.PageSize {
			next = append(next, key...)
			return false, nil
		}
		looked++
		d := pin.DAG(key[3:]) // after the kind and the length
		rec, _, err := s.dag(r, d)
		if errors.Is(err, ErrUnreadable) {
			return true, nil // it was logged
		}
		if rec.Complete {
			page = append(page, d)
		}
		return true, err
	})
	return page, next, err
}

// Released implements [pin.Records].
func (s *Store) Released(ctx context.Context) (all []pin.Attempt, err error) {
	err = s.kv.View(ctx, func(r *kv.Reader) error {
		return r.Scan(kv.Span{Prefix: []byte{kReleased}, KeysOnly: true}, func(key, _ []byte) (bool, error) {
			node, err := s.releasedNode(r, key)
			if err == nil && !node { // a node goes with the attempt that comes to be dropped
				all = append(all, pin.Attempt(tailHolder(key)))
			}
			return true, err
		})
	})
	if err != nil {
		return nil, kv.Wrap(err, "read released attempts")
	}
	return all, nil
}

// releasedNode says whether what is released is a node. A record that cannot be read is an
// attempt's: nodes have none.
func (s *Store) releasedNode(r *kv.Reader, key []byte) (bool, error) {
	value, _, err := r.Get(key)
	if errors.Is(err, ErrUnreadable) {
		s.kv.TellUnreadable(key, err)
		return false, nil
	}
	return len(value) == 0, err
}

// ReleasedDAG implements [pin.Records].
func (s *Store) ReleasedDAG(ctx context.Context, a pin.Attempt) (d pin.DAG, err error) {
	err = s.kv.View(ctx, func(r *kv.Reader) error {
		value, found, err := r.Get(releasedKey(graph.HolderOf(a)))
		var rec releasedRecord
		if err == nil && len(value) > 0 {
			err = s.codec.Decode(value, &rec)
		}
		if errors.Is(err, ErrUnreadable) {
			s.kv.TellUnreadable(releasedKey(graph.HolderOf(a)), err)
			return pin.ErrNotFound
		}
		if err != nil {
			return err
		}
		if !found || len(value) == 0 { // a node has the same key, and nothing in it
			return pin.ErrNotFound
		}
		d = pin.DAG(rec.DAG)
		return nil
	})
	if err != nil {
		return "", kv.Wrap(err, "read what released attempt %d was for", a)
	}
	return d, nil
}
