package requests

import (
	"context"
	"fmt"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// A quota of bytes is enforced where requests become pinned: in the change itself, by what the
// account is charged at that moment. So nothing can come in between.

// SetQuotas implements [pin.Requests].
func (s *Store) SetQuotas(q pin.Quotas) { s.quotas = q }

// quota gives what the account may have. A change must not call it: it may read the store, or
// wait.
func (s *Store) quota(ctx context.Context, account string) (q pin.Quota, err error) {
	if s.quotas == nil {
		return q, nil
	}
	if q, err = s.quotas.Quota(ctx, account); err != nil {
		return pin.Quota{}, fmt.Errorf("read quota: %w", err)
	}
	return q, nil
}

// limits is how many bytes accounts may be charged, for those accounts that were asked about. Nil
// means that there are no limits.
type limits map[kv.Account]uint64

// learn asks for the limits of the accounts that have requests in some chunks.
func (s *Store) learn(ctx context.Context, known limits, work []chunkOf) error {
	if known == nil {
		return nil
	}
	for _, of := range work {
		if _, ok := known[of.account]; ok {
			continue
		}
		q, err := s.quota(ctx, of.account.String())
		if err != nil {
			return err
		}
		known[of.account] = q.Bytes
	}
	return nil
}

// limitsFor gives the limits of the accounts that have requests for a DAG, but for some that have asked
// for it since the last Begin.
func (s *Store) limitsFor(ctx context.Context, d pin.DAG) (limits, error) {
	if s.quotas == nil {
		return nil, nil
	}
	known := limits{}
	work := s.changes.working(d)
	var err error
	if work == nil {
		err = s.look(ctx, d, func(r *kv.Reader) (err error) {
			work, err = chunksFor(r, d)
			return err
		})
	}
	if err == nil {
		err = s.learn(ctx, known, work)
	}
	return known, err
}

// overQuota is requests of an account that failed because they were over its quota.
type overQuota struct {
	account  kv.Account
	requests int
	why      *pin.QuotaError
}

func (s *Store) logOver(d pin.DAG, over []overQuota) {
	for _, o := range over {
		s.log.Warn("pin over quota", "cid", d, "account", o.account, "requests", o.requests, "reason", o.why)
	}
}

// charged gives the bytes that an account is charged.
func (s *Store) charged(r *kv.Reader, a kv.Account) (bytes uint64, err error) {
	u, err := s.takeUsage(r, a)
	return u.Bytes, err
}

// admitBytes fails if a request that was just made, or is tried again, is over its account's quota.
// was is what the account was charged before, limit is what it may be charged (0 is any), and
// replaces reports that another live request went in exchange.
func (s *Store) admitBytes(t *kv.Tx, req *request, was, limit uint64, replaces bool) error {
	if limit == 0 {
		return nil
	}
	now, err := s.charged(&t.Reader, req.account)
	if err != nil {
		return err
	}
	switch {
	case req.status == codePinned && now > was && now > limit:
		rec, _, err := s.held.DAG(&t.Reader, req.dag())
		if err != nil {
			return err
		}
		return &pin.QuotaError{Used: now - rec.Bytes, Asked: rec.Bytes, Limit: limit}
	case req.status == codeQueued && !replaces && now >= limit:
		return &pin.QuotaError{Used: now, Limit: limit}
	}
	return nil
}

// over gives an error if an account would be over its quota once some of its requests for a DAG
// are pinned: it would be charged for bytes more, and no more for what takers among these
// requests took over. A limit of 0 is none.
func (s *Store) over(r *kv.Reader, a kv.Account, d pin.DAG, bytes uint64, takers []uint64, limit uint64) (*pin.QuotaError, error) {
	if limit == 0 {
		return nil, nil
	}
	if _, charged, err := s.takeCharge(r, a, d); err != nil || charged {
		return nil, err
	}
	used, err := s.charged(r, a)
	if err != nil || used <= limit && bytes <= limit-used {
		return nil, err
	}
	freed, err := s.freed(r, a, takers)
	if err != nil || bytes <= freed || used-freed <= limit && bytes <= limit-(used-freed) {
		return nil, err
	}
	return &pin.QuotaError{Used: used - freed, Asked: bytes, Limit: limit}, nil
}

// freed gives by how many bytes less an account is charged once some requests let go of what they
// took over.
func (s *Store) freed(r *kv.Reader, a kv.Account, takers []uint64) (bytes uint64, err error) {
	holds := map[pin.DAG]uint64{}
	for _, seq := range takers {
		h, err := s.tookOver(r, a, seq)
		if err != nil {
			return 0, err
		}
		if h.pinned != "" {
			holds[h.pinned]++
		}
	}
	for d, n := range holds {
		c, _, err := s.takeCharge(r, a, d)
		if err != nil {
			return 0, err
		}
		if c.Pinned == n {
			bytes += c.Bytes
		}
	}
	return bytes, nil
}

// FailOverQuota implements [pin.Work].
func (s *Store) FailOverQuota(ctx context.Context, acct string, d pin.DAG, bytes uint64) (failed int, released []pin.Attempt, err error) {
	defer s.changes.note(d)
	a, ok := kv.AccountOf(acct)
	if !ok {
		return 0, nil, ctx.Err()
	}
	quota, err := s.quota(ctx, acct)
	if err != nil {
		return 0, nil, kv.Wrap(err, "fail requests over quota")
	}
	var n int
	var some []pin.Attempt
	err = inPieces(ctx, s.kv.Update, func(t *kv.Tx, work []chunkOf, first bool) (left []chunkOf, err error) {
		n, some = 0, nil
		if first {
			if rec, _, err := s.held.DAG(&t.Reader, d); err != nil || rec.Repairing() {
				return nil, err
			}
			if work, err = accountChunksFor(&t.Reader, d, a); err != nil {
				return nil, err
			}
		}
		left, n, some, err = s.failOver(t, d, bytes, quota.Bytes, work)
		return left, err
	}, func() {
		failed += n
		released = append(released, some...)
	})
	if err != nil {
		return failed, released, kv.Wrap(err, "fail requests over quota")
	}
	return failed, released, nil
}

// failOver makes unfinished requests of the first chunks, which are of one account, Failed if they
// are over its quota. It gives the chunks that are left.
func (s *Store) failOver(t *kv.Tx, d pin.DAG, bytes, limit uint64, work []chunkOf) (left []chunkOf, failed int, released []pin.Attempt, err error) {
	room := newRoom(maxQuotaText)
	left, err = eachPart(t, d, work, room, func(of chunkOf, p part) (done bool, err error) {
		why, err := s.over(&t.Reader, of.account, d, bytes, p.takers, limit)
		if err != nil || why == nil {
			return true, err // what fits is looked at again when the DAG is complete
		}
		n, some, err := s.failPart(t, d, of, p, why.Error(), room)
		failed += n
		released = append(released, some...)
		return p.whole(room), err
	})
	return left, failed, released, err
}

// maxQuotaText is longer than the text of any [pin.QuotaError].
const maxQuotaText = 256
