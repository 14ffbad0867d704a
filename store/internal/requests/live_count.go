package requests

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// A request is live while it is queued, pinning or pinned. A quota of pins bounds the DAGs
// that an account has live requests for. How many these are is kept in the account's
// record, which every new request writes anyway. Whether a request is the first or the
// last for its DAG is read from the lists: one piece of each, almost always.

// live reports whether requests of the status count against a quota of pins.
func (c statusCode) live() bool { return c != CodeFailed }

// liveCodes is every status that is live, the one that most requests have first.
func liveCodes() [3]statusCode { return [...]statusCode{CodePinned, codeQueued, codePinning} }

// admits says whether the account may have live requests for so many DAGs more, when those
// for others are gone. A change that takes no room always may. A limit of zero is none.
func (r *AccountRecord) admits(limit, taken, freed uint64) error {
	if limit == 0 || taken == 0 || r.Live+taken-freed <= limit {
		return nil
	}
	return &pin.QuotaError{Pins: true, Used: r.Live, Limit: limit}
}

// takenBy is how many DAGs more a live request for one makes: none if the account has
// another for it.
func takenBy(r *kv.Reader, a kv.Account, d pin.DAG) (taken uint64, err error) {
	live, err := liveCount(r, a, d, 1)
	if err != nil || live > 0 {
		return 0, err
	}
	return 1, nil
}

// freedBy is how many DAGs fewer there are once a request is gone: none if the account has
// another live one for its DAG. One whose DAG is not known is taken for the only one.
func freedBy(r *kv.Reader, req *Request) (freed uint64, err error) {
	if !req.Status.live() {
		return 0, nil
	}
	if req.DAG() == "" {
		return 1, nil
	}
	live, err := liveCount(r, req.Account, req.DAG(), 2)
	if err != nil || live > 1 {
		return 0, err
	}
	return 1, nil
}

// liveCount counts an account's live requests for a DAG, newest first, and no further than
// enough.
func liveCount(r *kv.Reader, a kv.Account, d pin.DAG, enough int) (live int, err error) {
	list := DAGList(d, a)
	err = r.Scan(kv.Span{Prefix: list, Reverse: true, KeysOnly: true}, func(key, _ []byte) (bool, error) {
		n, err := liveInPiece(r, d, chunkOf{a, binary.BigEndian.Uint32(key[len(list):])}, enough-live)
		live += n
		return live < enough, err
	})
	return live, err
}

// liveInPiece counts the live requests for a DAG in a piece, no further than enough.
func liveInPiece(r *kv.Reader, d pin.DAG, of chunkOf, enough int) (live int, err error) {
	all, err := chunkAt(r, DAGList(d, of.account), of.number)
	if err != nil || all.Empty() {
		return 0, err
	}
	for _, code := range liveCodes() {
		some, err := chunkAt(r, StatusList(code, of.account), of.number)
		if err != nil {
			return 0, err
		}
		some.and(all)
		if live += some.Count(); live >= enough {
			break
		}
	}
	return live, nil
}

// noteLive notes that an account has live requests for n DAGs more, or -n fewer.
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
	return s.kv.Put(t, AccountKey(a), rec)
}

// noteEnded notes that live requests of an account for a DAG ended, which are off the
// lists. Of a DAG that is not known there is no telling whether others are live, so all
// are counted again.
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
	return s.kv.Put(t, AccountKey(a), rec)
}

// countOnLists counts the DAGs that an account has live requests for. It reads the keys of
// all lists by DAG that there are.
func countOnLists(r *kv.Reader, a kv.Account) (live uint64, err error) {
	err = eachLiveDAG(r, func(of kv.Account) bool { return of == a }, func(kv.Account) { live++ })
	return live, err
}

// eachLiveDAG calls fn for every DAG that an account has live requests for, once for each
// of the accounts that are wanted.
func eachLiveDAG(r *kv.Reader, wanted func(kv.Account) bool, fn func(kv.Account)) error {
	const tail = len(kv.Account{}) + 4
	var counted []byte // the last list that has a live request
	return r.Scan(kv.Span{Prefix: []byte{KByDAG}, KeysOnly: true}, func(key, _ []byte) (bool, error) {
		if len(key) < 3+tail {
			return true, nil
		}
		list, number := key[:len(key)-4], binary.BigEndian.Uint32(key[len(key)-4:])
		a := kv.Account(list[len(list)-len(kv.Account{}):])
		if !wanted(a) || bytes.Equal(list, counted) {
			return true, nil
		}
		live, err := liveInPiece(r, pin.DAG(key[3:len(key)-tail]), chunkOf{a, number}, 1)
		if live > 0 {
			counted = append(counted[:0], list...)
			fn(a)
		}
		return true, err
	})
}

// countedPerChange bounds the accounts whose count one change writes: some 50 bytes each.
const countedPerChange = 1000

// CountLiveAnew writes what every account's live requests count as, by update. Until layout
// 5 each request counted, and not each DAG.
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
				var rec AccountRecord
				_, err := s.kv.Take(&t.Reader, AccountKey(a), &rec)
				if errors.Is(err, pin.ErrUnreadable) {
					continue // it is worked out when it is needed
				}
				if err != nil {
					return err
				}
				if rec.Live == live[a] {
					continue
				}
				rec.Live = live[a]
				if err := s.kv.Put(t, AccountKey(a), rec); err != nil {
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
