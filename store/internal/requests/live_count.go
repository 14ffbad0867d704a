package requests

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/holdfast-ipfs/holdfast/pin"
	holding "github.com/holdfast-ipfs/holdfast/store/internal/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// A request is live while it is queued, pinning or pinned. A quota of pins limits for how many DAGs
// an account has live requests. The account's record has that number, as every new request writes
// the record anyway. The lists tell whether a request is the first or the last for its DAG: almost
// always by one chunk of each.

// live reports whether requests of the status count against a quota of pins.
func (c statusCode) live() bool { return c != codeFailed }

// liveCodes lists all live statuses. The one that most requests have comes first.
func liveCodes() [3]statusCode { return [...]statusCode{codePinned, codeQueued, codePinning} }

// admits fails if the account may not have live requests for taken more DAGs after those for freed
// others ended. If taken is 0 it may. A limit of 0 is none.
func (r *accountRecord) admits(limit, taken, freed uint64) error {
	if limit == 0 || taken == 0 || r.Live+taken-freed <= limit {
		return nil
	}
	return &pin.QuotaError{Pins: true, Used: r.Live, Limit: limit}
}

// takenBy gives how many DAGs more count after a new live request for d: 0 if the account has another
// for d, else 1.
func takenBy(r *kv.Reader, a kv.Account, d pin.DAG) (taken uint64, err error) {
	if held, err := r.Has(holding.DAGKey(d)); err != nil || !held {
		return 1, err // no account has a live request for it
	}
	live, err := liveCount(r, a, d, 1)
	if err != nil || live > 0 {
		return 0, err
	}
	return 1, nil
}

// freedBy gives how many DAGs fewer count once a request is gone: 0 if the request is not live, or the
// account has another live one for its DAG, else 1. A request whose DAG is not known counts as the
// only one.
func freedBy(r *kv.Reader, req *request) (freed uint64, err error) {
	if !req.status.live() {
		return 0, nil
	}
	if req.dag() == "" {
		return 1, nil
	}
	live, err := liveCount(r, req.account, req.dag(), 2)
	if err != nil || live > 1 {
		return 0, err
	}
	return 1, nil
}

// liveCount counts an account's live requests for a DAG, the newest first. It stops at enough.
func liveCount(r *kv.Reader, a kv.Account, d pin.DAG, enough int) (live int, err error) {
	list := dagList(d, a)
	err = r.Scan(kv.Span{Prefix: list, Reverse: true, KeysOnly: true}, func(key, _ []byte) (bool, error) {
		n, err := liveInChunk(r, d, chunkOf{a, binary.BigEndian.Uint32(key[len(list):])}, enough-live)
		live += n
		return live < enough, err
	})
	return live, err
}

// liveInChunk counts the live requests for a DAG in a chunk. It stops at enough.
func liveInChunk(r *kv.Reader, d pin.DAG, of chunkOf, enough int) (live int, err error) {
	all, err := chunkAt(r, dagList(d, of.account), of.number)
	if err != nil || all.empty() {
		return 0, err
	}
	for _, code := range liveCodes() {
		some, err := chunkAt(r, statusList(code, of.account), of.number)
		if err != nil {
			return 0, err
		}
		some.and(all)
		if live += some.count(); live >= enough {
			break
		}
	}
	return live, nil
}

// noteLive counts n more DAGs for which an account has live requests, or -n fewer.
func (s *Store) noteLive(t *kv.Tx, a kv.Account, n int) error {
	if n == 0 {
		return nil
	}
	rec, err := s.accountRecord(&t.Reader, a)
	if err != nil {
		return err
	}
	if n < 0 && uint64(-n) > rec.Live {
		return fmt.Errorf("account %s has live requests for %d DAGs, and those for %d end", a, rec.Live, -n)
	}
	rec.Live += uint64(n)
	return t.Put(accountKey(a), rec)
}

// noteEnded counts a DAG less for an account, unless it has other live requests for the DAG. The
// requests that ended must be off the lists. If the DAG is not known, all are counted again.
func (s *Store) noteEnded(t *kv.Tx, a kv.Account, d pin.DAG) error {
	if d != "" {
		live, err := liveCount(&t.Reader, a, d, 1)
		if err != nil || live > 0 {
			return err
		}
		return s.noteLive(t, a, -1)
	}
	rec, err := s.accountRecord(&t.Reader, a)
	if err != nil {
		return err
	}
	if rec.Live, err = countOnLists(&t.Reader, a); err != nil {
		return err
	}
	return t.Put(accountKey(a), rec)
}

// countOnLists counts the DAGs for which an account has live requests. It reads the keys of the lists
// by DAG of all accounts.
func countOnLists(r *kv.Reader, a kv.Account) (live uint64, err error) {
	err = eachLiveDAG(r, func(of kv.Account) bool { return of == a }, func(kv.Account) { live++ })
	return live, err
}

// eachLiveDAG calls fn for each DAG and each wanted account that has live requests for the DAG.
func eachLiveDAG(r *kv.Reader, wanted func(kv.Account) bool, fn func(kv.Account)) error {
	const tail = len(kv.Account{}) + 4
	var counted []byte // the last list for which fn was called
	return r.Scan(kv.Span{Prefix: []byte{KByDAG}, KeysOnly: true}, func(key, _ []byte) (bool, error) {
		if len(key) < 3+tail {
			return true, nil
		}
		list, number := key[:len(key)-4], binary.BigEndian.Uint32(key[len(key)-4:])
		a := kv.Account(list[len(list)-len(kv.Account{}):])
		if !wanted(a) || bytes.Equal(list, counted) {
			return true, nil
		}
		live, err := liveInChunk(r, pin.DAG(key[3:len(key)-tail]), chunkOf{a, number}, 1)
		if live > 0 {
			counted = append(counted[:0], list...)
			fn(a)
		}
		return true, err
	})
}

// countedPerChange is for how many accounts one change writes the count: some 50 bytes each.
const countedPerChange = 1000

// CountLiveAnew writes, by update, the count of every account. Up to layout 4 it counted live requests,
// and not their DAGs.
func (s *Store) CountLiveAnew(ctx context.Context, update func(context.Context, func(*kv.Tx) error) error) error {
	live := map[kv.Account]uint64{}
	var accounts []kv.Account
	err := s.kv.View(ctx, func(r *kv.Reader) error {
		err := r.Scan(kv.Span{Prefix: []byte{KAccount}, KeysOnly: true}, func(key, _ []byte) (bool, error) {
			accounts = append(accounts, kv.Account(key[1:]))
			return true, ctx.Err()
		})
		if err != nil {
			return err
		}
		return eachLiveDAG(r, func(kv.Account) bool { return true }, func(a kv.Account) { live[a]++ })
	})
	if err != nil {
		return fmt.Errorf("count the pins of accounts: %w", err)
	}
	for some := range slices.Chunk(accounts, countedPerChange) {
		err := update(ctx, func(t *kv.Tx) error {
			for _, a := range some {
				var rec accountRecord
				_, err := t.Take(accountKey(a), &rec)
				if errors.Is(err, pin.ErrUnreadable) {
					continue // the record is worked out when it is needed
				}
				if err != nil {
					return err
				}
				if rec.Live == live[a] {
					continue
				}
				rec.Live = live[a]
				if err := t.Put(accountKey(a), rec); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("write how many pins accounts have: %w", err)
		}
	}
	return nil
}
