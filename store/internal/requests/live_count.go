package requests

import (
	"encoding/binary"
	"fmt"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// A request is live while it is queued, pinning or pinned. The account's record has the number of
// its live requests. Every new request writes that record anyway, so a quota of pins costs no
// look at the lists.

// live reports whether requests of the status count against a quota of pins.
func (c statusCode) live() bool { return c != codeFailed }

// admits fails if the account may not have one more live request after freed others ended. A
// limit of 0 is none.
func (r *accountRecord) admits(limit, freed uint64) error {
	if limit == 0 || r.Live+1-freed <= limit {
		return nil
	}
	return &pin.QuotaError{Pins: true, Used: r.Live, Limit: limit}
}

// noteLive counts n more live requests of an account, or -n fewer.
func (s *Store) noteLive(t *kv.Tx, a kv.Account, n int) error {
	if n == 0 {
		return nil
	}
	rec, err := s.accountRecord(&t.Reader, a)
	if err != nil {
		return err
	}
	if n < 0 && uint64(-n) > rec.Live {
		return fmt.Errorf("account %s has %d live requests, and %d of them end", a, rec.Live, -n)
	}
	rec.Live += uint64(n)
	return t.Put(accountKey(a), rec)
}

// countOnLists counts an account's live requests by its lists, all of which it reads.
func countOnLists(r *kv.Reader, a kv.Account) (live uint64, err error) {
	for _, code := range byLikelihood() {
		if !code.live() {
			continue
		}
		list := statusList(code, a)
		err := r.Scan(kv.Span{Prefix: list, KeysOnly: true}, func(key, _ []byte) (bool, error) {
			c, err := chunkAt(r, list, binary.BigEndian.Uint32(key[len(list):]))
			if err == nil {
				live += uint64(c.count())
			}
			return true, err
		})
		if err != nil {
			return 0, err
		}
	}
	return live, nil
}
