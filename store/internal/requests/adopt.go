package requests

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

var _ pin.Adopter = (*Store)(nil)

const (
	// adoptsPerChange is how many requests one change gives to another account: some 30 keys
	// each.
	adoptsPerChange = 128
	// adoptPause is how long an adoption waits once it has dated requests too far ahead of
	// the clock.
	adoptPause = 20 * time.Millisecond
)

// Adopt implements [pin.Adopter].
func (s *Store) Adopt(ctx context.Context, from, to string, told func([]pin.Adopted)) (left int, err error) {
	a, okA := kv.AccountOf(from)
	b, okB := kv.AccountOf(to)
	if !okA || !okB || a == b {
		return 0, fmt.Errorf("account %q cannot adopt the pins of account %q", to, from)
	}
	quota, err := s.quota(ctx, to)
	if err != nil {
		return 0, err
	}
	next := int64(0)
	for {
		var some []pin.Adopted
		var stop error // why the rest was not taken
		skipped, more, from := 0, false, next
		err := s.updateLearning(ctx, func(t *kv.Tx) error {
			some, stop, skipped, more = nil, nil, 0, false
			page, err := requestsFrom(&t.Reader, a, from, adoptsPerChange+1)
			if err != nil {
				return err
			}
			for i, ms := range page {
				if next = ms; i == adoptsPerChange {
					more = true
					return nil
				}
				was, err := s.find(&t.Reader, a.String(), plainOrOwn(s, &t.Reader, a, ms))
				if err != nil {
					return err
				}
				if was.damage != nil && (was.dag() == "" || !was.damage.placed) {
					skipped++
					continue
				}
				one, err := s.adoptOne(t, was, b, quota)
				if errors.Is(err, pin.ErrQuota) || errors.Is(err, pin.ErrTooFast) {
					stop, more = err, true
					return nil
				}
				if err != nil {
					return err
				}
				some = append(some, one)
			}
			return nil
		})
		if err != nil {
			return left, err
		}
		left += skipped
		for _, one := range some {
			s.forgetDamaged(one.Was)
			s.changes.note(one.Now.DAG())
		}
		if len(some) > 0 {
			told(some)
		}
		switch {
		case errors.Is(stop, pin.ErrTooFast):
			if err := kv.Sleep(ctx, adoptPause); err != nil {
				return left, err
			}
		case stop != nil:
			return left, stop
		case !more:
			return left, nil
		}
	}
}

// requestsFrom lists Created of up to n requests of an account, from a time on.
func requestsFrom(r *kv.Reader, a kv.Account, ms int64, n int) (page []int64, err error) {
	prefix := kv.AccountPrefix(KRequest, a)
	err = r.Scan(kv.Span{Prefix: prefix, From: requestKey(a, ms), KeysOnly: true}, func(key, _ []byte) (bool, error) {
		page = append(page, int64(binary.BigEndian.Uint64(key[len(prefix):])))
		return len(page) < n, nil
	})
	return page, err
}

// plainOrOwn gives a request's own ID or, if its record cannot be read, its PlainID.
func plainOrOwn(s *Store, r *kv.Reader, a kv.Account, ms int64) string {
	var rec requestRecord
	if found, err := r.Take(requestKey(a, ms), &rec); err == nil && found {
		return uuid.UUID(rec.ID).String()
	}
	return PlainID(ms).String()
}

// adoptOne gives a request to another account. If that has no room for it, nothing is written.
// Errors: a *pin.QuotaError, pin.ErrTooFast.
func (s *Store) adoptOne(t *kv.Tx, was *request, b kv.Account, quota pin.Quota) (one pin.Adopted, err error) {
	if one.Was, err = was.public(); err != nil {
		return one, err
	}
	rec, err := s.accountRecord(&t.Reader, b)
	if err != nil {
		return one, err
	}
	held, err := s.tookOver(&t.Reader, was.account, was.Seq)
	if err != nil {
		return one, err
	}
	var taken uint64
	if was.status.live() {
		if taken, err = takenBy(&t.Reader, b, was.dag()); err != nil {
			return one, err
		}
		if err := rec.admits(quota.Pins, taken, 0); err != nil {
			return one, err
		}
		if err := s.admitAdopted(&t.Reader, was, held, b, quota.Bytes); err != nil {
			return one, err
		}
	}
	is := &request{account: b, status: was.status, details: was.details, requestRecord: was.requestRecord}
	if was.Created > rec.Last {
		rec.Last, rec.Clock, rec.Back = was.Created, was.Created, 0
	} else {
		if is.Created, err = rec.tick(s.now().UnixMilli()); err != nil {
			return one, err
		}
		is.ID = newID(is.Created)
	}
	if was.status.live() { // what was unpinned is pinned again
		if err := s.revive(t, b, was.dag()); err != nil {
			return one, err
		}
	}
	is.Seq = rec.NextSeq
	rec.NextSeq++
	rec.Live += taken
	if err := t.Put(accountKey(b), rec); err != nil {
		return one, err
	}
	if err := t.Put(requestKey(b, is.Created), is.requestRecord); err != nil {
		return one, err
	}
	t.Set(rowKey(b, is.Seq), encodeRow(&is.requestRecord))
	if is.status == codeFailed {
		setDetails(t, b, is.Seq, is.details)
	}
	if err := s.enlist(t, is, true); err != nil {
		return one, err
	}
	if is.status == codePinned && taken > 0 {
		by, err := s.deliveredBy(&t.Reader, was.account, was.dag())
		if err == nil {
			err = deliver(t, b, is.dag(), by)
		}
		if err != nil {
			return one, err
		}
	}
	if err := s.putTaken(t, b, is.Seq, held); err != nil {
		return one, err
	}
	if held.pinned != "" {
		if err := s.charge(t, b, held.pinned, 1); err != nil {
			return one, err
		}
		if err := s.charge(t, was.account, held.pinned, -1); err != nil {
			return one, err
		}
	}
	if err := s.erase(t, was); err != nil {
		return one, err
	}
	if err := s.readRest(&t.Reader, is); err != nil {
		return one, err
	}
	one.Now, err = is.public()
	return one, err
}

// admitAdopted fails if an account has no room for what it would be charged for a request and
// for the DAG that the request replaced. [Store.admitBytes] does that for new requests.
func (s *Store) admitAdopted(r *kv.Reader, was *request, held taken, b kv.Account, limit uint64) error {
	if limit == 0 {
		return nil
	}
	used, err := s.charged(r, b)
	if err != nil {
		return err
	}
	var dags []pin.DAG
	if was.status == codePinned {
		dags = append(dags, was.dag())
	}
	if held.pinned != "" && held.pinned != was.dag() {
		dags = append(dags, held.pinned)
	}
	var more uint64
	for _, d := range dags {
		_, charged, err := s.takeCharge(r, b, d)
		if err != nil {
			return err
		}
		if !charged {
			rec, _, err := s.held.DAG(r, d)
			if err != nil {
				return err
			}
			more += rec.Bytes
		}
	}
	switch {
	case more > 0 && used+more > limit:
		return &pin.QuotaError{Used: used, Asked: more, Limit: limit}
	case was.status != codePinned && used >= limit:
		return &pin.QuotaError{Used: used, Limit: limit}
	}
	return nil
}
