package accounts

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// What the tests of this room see of its inside.

const TokenBatch = tokenBatch

// Kinds of keys of accounts and tokens.
var KeyKinds = []byte{KLogin, kEmail, KToken, kAccountToken}

// EventKind is the kind of events.
const EventKind = kEvent

func LoginKey(a kv.Account) []byte   { return loginKey(a) }
func EmailKey(address string) []byte { return emailKey(address) }

func InviteKey(id string) []byte {
	key, _ := inviteKey(id)
	return key
}

func TokenKey(id string) []byte {
	t, _ := tokenOf(id)
	return tokenKey(t)
}

// AddSessions gives an account n tokens, in one commit.
func (s *Store) AddSessions(ctx context.Context, a kv.Account, n int) error {
	return s.updateAuth(ctx, func(tx authTx) error {
		for range n {
			id := tokenID(uuid.New())
			tx.Set(accountTokenKey(a, id), nil)
			if err := tx.putToken(a, id, auth.Token{Kind: auth.Session}); err != nil {
				return err
			}
		}
		return nil
	})
}

// NoteChange notes a change, and gives when the last one was.
func (s *Store) NoteChange(at time.Time) time.Time {
	s.noteChange(at)
	return *s.changed.Load()
}
