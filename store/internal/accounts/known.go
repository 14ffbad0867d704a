package accounts

import (
	"context"
	"sync"
	"time"

	"github.com/holdfast-ipfs/holdfast/auth"
)

// maxKnown is how many accounts are remembered, each some hundred bytes.
const maxKnown = 4096

// known remembers accounts, until any account or token changes: each call of an API reads one, and each pin
// reads the quota of one. The zero value is empty.
type known struct {
	mu sync.Mutex
	as *time.Time // when accounts had last changed, as [Store].changed has it
	by map[accountName]auth.Account
}

// accountName is by what an account is found: one of these.
type accountName struct{ id, email string }

// account gives an account, which read reads if it is not remembered.
func (s *Store) account(ctx context.Context, name accountName, read func(authReader) (auth.Account, error)) (a auth.Account, err error) {
	k := &s.known
	before := s.changed.Load()
	k.mu.Lock()
	a, ok := k.by[name]
	ok = ok && k.as == before
	k.mu.Unlock()
	if ok {
		return a, nil
	}
	err = s.lookAuth(ctx, func(r authReader) error {
		a, err = read(r)
		return err
	})
	if err != nil {
		return a, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if s.changed.Load() != before { // what was read may be older than the change
		return a, nil
	}
	if k.by == nil || k.as != before || len(k.by) >= maxKnown {
		k.by, k.as = make(map[accountName]auth.Account), before
	}
	k.by[name] = a
	return a, nil
}
