package requests

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// Accounts implements [pin.Work].
func (s *Store) Accounts(ctx context.Context, status pin.Status) (all []string, err error) {
	code, ok := codeOf(status)
	if !ok {
		return nil, fmt.Errorf("list accounts: no status %q", status)
	}
	prefix := []byte{KStatus, byte(code)}
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

// load reads a request by its SEQ. A request that cannot be read, but whose CID is known, gets the
// status all the same, so that its DAG is fetched. found is false if it has no record. Errors:
// *unlearnedError.
func (s *Store) load(r *kv.Reader, a kv.Account, seq uint64, code statusCode) (out pin.Request, found bool, err error) {
	ms, found, err := s.createdOf(r, a, seq)
	if err != nil || !found {
		return pin.Request{}, false, err
	}
	req := &request{account: a, status: code}
	found, err = r.Take(requestKey(a, ms), &req.requestRecord)
	if errors.Is(err, pin.ErrUnreadable) {
		d, err := s.damagedAt(a, ms, err)
		if err != nil {
			return pin.Request{}, false, err
		}
		if req, err = s.damagedRequest(r, a, d, PlainID(ms)); err != nil {
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

// UnfinishedAfter implements [pin.Work]. What changes meanwhile may or may not be seen.
func (s *Store) UnfinishedAfter(ctx context.Context, acct string, status pin.Status, after time.Time, limit int) (found []pin.Request, err error) {
	code, known := codeOf(status)
	a, ok := kv.AccountOf(acct)
	if !ok || !known || limit <= 0 {
		return nil, ctx.Err()
	}
	err = s.ViewLearning(ctx, func(r *kv.Reader) error {
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
				if ok && req.Status == status { // otherwise its CID is not known
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
