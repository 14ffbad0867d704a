package requests

import (
	"context"
	"fmt"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// A quota of bytes is kept where requests become pinned: the committer decides, by
// what the account is charged then, so that nothing can come in between.

// SetQuotas implements [pin.Requests].
func (s *Store) SetQuotas(q pin.Quotas) { s.quotas = q }

// quota is what the account may have. It is not for the committer's goroutine: it
// may read the store, or wait.
func (s *Store) quota(ctx context.Context, account string) (q pin.Quota, err error) {
	if s.quotas == nil {
		return q, nil
	}
	if q, err = s.quotas.Quota(ctx, account); err != nil {
		return pin.Quota{}, fmt.Errorf("read quota: %w", err)
	}
	return q, nil
}

// limits are the bytes that accounts may be charged, as far as that was asked. Nil
// says that there are none.
type limits map[kv.Account]uint64

// learn asks for the limits of those who have requests in the pieces.
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

// limitsFor gives the limits of all who have requests for a DAG.
func (s *Store) limitsFor(ctx context.Context, d pin.DAG) (limits, error) {
	if s.quotas == nil {
		return nil, nil
	}
	known := limits{}
	var work []chunkOf
	err := s.kv.View(ctx, func(r *kv.Reader) (err error) {
		work, err = chunksFor(r, d)
		return err
	})
	if err == nil {
		err = s.learn(ctx, known, work)
	}
	return known, err
}

// overQuota is requests of an account that failed as they were over its quota.
type overQuota struct {
	account    kv.Account
	requestsOf int
	why        *pin.QuotaError
}

func (s *Store) tellOver(d pin.DAG, over []overQuota) {
	for _, o := range over {
		s.log.Warn("pin over quota", "cid", d, "account", o.account, "requests", o.requestsOf, "reason", o.why)
	}
}

// charged is the bytes that an account is charged.
func (s *Store) charged(r *kv.Reader, a kv.Account) (bytes uint64, err error) {
	u, err := s.takeUsage(r, a)
	return u.Bytes, err
}

// admitBytes says whether a request that was just made or tried again may be. was
// is what its account was charged before, most what it may be, and replaces says
// that another live request went for it.
func (s *Store) admitBytes(t *kv.Tx, req *request, was, most uint64, replaces bool) error {
	if most == 0 {
		return nil
	}
	now, err := s.charged(&t.Reader, req.account)
	if err != nil {
		return err
	}
	switch {
	case req.status == codePinned && now > was && now > most:
		rec, _, err := s.held.DAG(&t.Reader, req.dag())
		if err != nil {
			return err
		}
		return &pin.QuotaError{Used: now - rec.Bytes, Asked: rec.Bytes, Limit: most}
	case req.status == codeQueued && !replaces && now >= most:
		return &pin.QuotaError{Used: now, Limit: most}
	}
	return nil
}

// over says whether an account would be over its quota if it were charged for
// so many bytes of a DAG, and no more for what those requests hold that would be
// pinned then. It gives nil if it would not.
func (s *Store) over(r *kv.Reader, a kv.Account, d pin.DAG, bytes uint64, takers []uint64, most uint64) (*pin.QuotaError, error) {
	if most == 0 {
		return nil, nil
	}
	if _, charged, err := s.takeCharge(r, a, d); err != nil || charged {
		return nil, err
	}
	used, err := s.charged(r, a)
	if err != nil || used <= most && bytes <= most-used {
		return nil, err
	}
	freed, err := s.freed(r, a, takers)
	if err != nil || bytes <= freed || used-freed <= most && bytes <= most-(used-freed) {
		return nil, err
	}
	return &pin.QuotaError{Used: used - freed, Asked: bytes, Limit: most}, nil
}

// freed is what an account is not charged any more once requests let go of what
// they took over.
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
	a, ok := kv.AccountOf(acct)
	if !ok {
		return 0, nil, ctx.Err()
	}
	quota, err := s.quota(ctx, acct)
	if err != nil {
		return 0, nil, kv.Wrap(err, "fail what is over quota")
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
		return failed, released, kv.Wrap(err, "fail what is over quota")
	}
	return failed, released, nil
}

// failOver makes unfinished requests of the first pieces, which are of one account,
// Failed if they are over its quota. It gives the pieces that are left.
func (s *Store) failOver(t *kv.Tx, d pin.DAG, bytes, most uint64, work []chunkOf) (left []chunkOf, failed int, released []pin.Attempt, err error) {
	room := newRoom(maxQuotaText)
	for len(work) > 0 && !room.full {
		of := work[0]
		p, err := partOf(t, d, of, room)
		if err != nil {
			return nil, 0, nil, err
		}
		why, err := s.over(&t.Reader, of.account, d, bytes, p.takers, most)
		if err != nil {
			return nil, 0, nil, err
		}
		if why != nil {
			n, some, err := s.failPart(t, d, of, p, why.Error(), room)
			if err != nil {
				return nil, 0, nil, err
			}
			failed += n
			released = append(released, some...)
			if p.more || room.fails == 0 {
				break
			}
		}
		work = work[1:] // what fits is looked at again when it is complete
	}
	return work, failed, released, nil
}

// maxQuotaText is more than what a [pin.QuotaError] says.
const maxQuotaText = 256
