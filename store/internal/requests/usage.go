package requests

import (
	"context"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// An account is charged for each DAG that it has pinned: once, however many of its requests are
// for the DAG, and in full, also if other accounts have pinned it. For a DAG that was replaced it
// is charged for as long as the new request holds that DAG.

// chargeRecord is what an account is charged for a DAG.
type chargeRecord struct {
	_      struct{} `cbor:",toarray"`
	Pinned uint64   // requests that are pinned, or replaced a pinned one and still hold its DAG; never zero
	Blocks uint64   // the DAG's totals when the first of them was pinned
	Bytes  uint64
}

// usageRecord is the sum of an account's charges.
type usageRecord struct {
	_      struct{} `cbor:",toarray"`
	DAGs   uint64
	Blocks uint64
	Bytes  uint64
}

// charge counts n more of an account's requests that have a DAG pinned, or replaced one that had,
// or -n fewer. The DAG must be complete when the first is counted.
func (s *Store) charge(t *kv.Tx, a kv.Account, d pin.DAG, n int) error {
	if n == 0 {
		return nil
	}
	key := chargeKey(a, d)
	c, charged, err := s.takeCharge(&t.Reader, a, d)
	if err != nil {
		return err
	}
	if charged && uint64(-n) != c.Pinned {
		c.Pinned += uint64(n)
		return t.Put(key, c)
	}
	u, err := s.takeUsage(&t.Reader, a)
	if err != nil {
		return err
	}
	if charged { // and that was the last
		u.DAGs, u.Blocks, u.Bytes = u.DAGs-1, u.Blocks-c.Blocks, u.Bytes-c.Bytes
		t.Delete(key)
		t.Delete(deliveredKey(a, d))
		if u.DAGs == 0 {
			t.Delete(usageKey(a))
			return nil
		}
		return t.Put(usageKey(a), u)
	}
	rec, _, err := s.held.DAG(&t.Reader, d)
	if err != nil {
		return err
	}
	c.Pinned, c.Blocks, c.Bytes = uint64(n), rec.Blocks, rec.Bytes
	u.DAGs, u.Blocks, u.Bytes = u.DAGs+1, u.Blocks+c.Blocks, u.Bytes+c.Bytes
	if err := t.Put(key, c); err != nil {
		return err
	}
	return t.Put(usageKey(a), u)
}

// Usage implements [pin.Requests].
func (s *Store) Usage(ctx context.Context, id string) (u pin.Usage, err error) {
	a, ok := kv.AccountOf(id)
	if !ok {
		return u, ctx.Err()
	}
	err = s.kv.View(ctx, func(r *kv.Reader) error {
		rec, err := s.takeUsage(r, a)
		if err != nil {
			return err
		}
		acct, err := s.accountRecord(r, a)
		u = pin.Usage{Bytes: rec.Bytes, Blocks: rec.Blocks, DAGs: rec.DAGs, Pins: acct.Live}
		return err
	})
	if err != nil {
		return pin.Usage{}, kv.Wrap(err, "read usage of account %s", id)
	}
	return u, nil
}
