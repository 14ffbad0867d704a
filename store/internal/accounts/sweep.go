package accounts

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// MarkUsed implements [auth.Accounts].
func (s *Store) MarkUsed(ctx context.Context, used map[string]time.Time) error {
	for batch := range slices.Chunk(slices.Collect(maps.Keys(used)), tokenBatch) {
		err := s.updateAuth(ctx, func(t authTx) error {
			for _, id := range batch {
				key, ok := tokenOf(id)
				if !ok {
					continue
				}
				n, err := t.read().token(key)
				if errors.Is(err, auth.ErrNoToken) || n.Damaged {
					continue
				}
				if err != nil {
					return err
				}
				if !used[id].After(n.Used) {
					continue
				}
				n.Used = used[id]
				owner, _ := kv.AccountOf(n.Account)
				if err := t.putToken(owner, key, n); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// KeysInUse implements [auth.Accounts].
func (s *Store) KeysInUse(ctx context.Context, now time.Time) (devices []string, sessions time.Time, err error) {
	found := map[string]bool{}
	err = s.eachToken(ctx, func(r authReader, id tokenID) error {
		n, err := r.token(id)
		if n.Damaged { // it is not valid
			return nil
		}
		if err != nil {
			return err
		}
		if n.Kind == auth.Session {
			if n.Expires.After(sessions) {
				sessions = n.Expires
			}
			return nil
		}
		if _, dead, err := r.deadToken(id, now); err != nil || dead {
			return err
		}
		found[n.Key] = true
		return nil
	})
	if err != nil {
		return nil, time.Time{}, err
	}
	return slices.Sorted(maps.Keys(found)), sessions, nil
}

// eachToken calls fn for every token. It reads them in several views, so that none lasts long.
func (s *Store) eachToken(ctx context.Context, fn func(authReader, tokenID) error) error {
	next := []byte{KToken}
	for next != nil {
		err := s.viewAuth(ctx, func(r authReader) error {
			from, seen := next, 0
			next = nil
			return r.Scan(kv.Span{Prefix: []byte{KToken}, From: from, KeysOnly: true}, func(key, _ []byte) (bool, error) {
				if seen == sweepPiece {
					next = bytes.Clone(key)
					return false, nil
				}
				seen++
				return true, fn(r, tokenID(key[1:]))
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// SweepTokens implements [auth.Accounts].
func (s *Store) SweepTokens(ctx context.Context, now time.Time) (removed int, err error) {
	var dead []tokenID
	err = s.eachToken(ctx, func(r authReader, id tokenID) error {
		_, gone, err := r.deadToken(id, now)
		if gone {
			dead = append(dead, id)
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	for batch := range slices.Chunk(dead, tokenBatch) {
		n, err := s.sweepBatch(ctx, batch, now)
		removed += n
		if err != nil {
			return removed, err
		}
	}
	n, err := s.sweepInvites(ctx, now)
	return removed + n, err
}

// sweepBatch removes those of the tokens that are still dead: a session may have been refreshed
// meanwhile.
func (s *Store) sweepBatch(ctx context.Context, batch []tokenID, now time.Time) (removed int, err error) {
	err = s.updateAuth(ctx, func(t authTx) error {
		n := 0
		for _, id := range batch {
			owner, dead, err := t.read().deadToken(id, now)
			if errors.Is(err, auth.ErrNoToken) {
				continue
			}
			if err != nil {
				return err
			}
			if dead {
				t.deleteToken(owner, id)
				n++
			}
		}
		removed = n
		return nil
	})
	if err != nil {
		return 0, err
	}
	return removed, nil
}
