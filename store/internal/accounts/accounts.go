package accounts

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/internal/diskerr"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// Accounts and tokens are in the same database as the pins, so that one backup has all.
var _ auth.Accounts = (*Store)(nil)

const (
	// tokenBatch is how many tokens one commit removes. A token has two keys, so that is far
	// less than a commit holds, and other changes wait only briefly.
	tokenBatch = 500
	// sweepPiece is how many tokens one view reads, so that none lasts long.
	sweepPiece = 10_000
)

// CreateAccount implements [auth.Accounts].
func (s *Store) CreateAccount(ctx context.Context, a auth.Account, log ...auth.Event) error {
	id, ok := kv.AccountOf(a.ID)
	if !ok {
		return fmt.Errorf("create account: %q is not a UUID", a.ID)
	}
	return s.updateAuth(ctx, func(t authTx) error {
		if err := t.createLogin(id, a); err != nil {
			return err
		}
		return t.append(log)
	})
}

// createLogin writes an account that must be new.
func (t authTx) createLogin(id kv.Account, a auth.Account) error {
	for _, key := range [][]byte{loginKey(id), emailKey(a.Email)} {
		if taken, err := t.Has(key); err != nil {
			return err
		} else if taken {
			return auth.ErrExists
		}
	}
	t.Set(emailKey(a.Email), id[:])
	return t.putLogin(id, a)
}

// AccountByID implements [auth.Accounts].
func (s *Store) AccountByID(ctx context.Context, id string) (a auth.Account, err error) {
	return s.account(ctx, accountName{id: id}, func(r authReader) (auth.Account, error) { return r.login(id) })
}

// AccountByEmail implements [auth.Accounts].
func (s *Store) AccountByEmail(ctx context.Context, email string) (a auth.Account, err error) {
	return s.account(ctx, accountName{email: email}, func(r authReader) (a auth.Account, err error) {
		id, found, err := r.accountAt(email)
		if err != nil {
			return a, err
		}
		if !found {
			return a, auth.ErrNoAccount
		}
		if a, err = r.login(id.String()); errors.Is(err, auth.ErrNoAccount) {
			err = fmt.Errorf("account %s is in the index of addresses and nowhere else", id)
		}
		return a, err
	})
}

// ListAccounts implements [auth.Accounts].
func (s *Store) ListAccounts(ctx context.Context) (all []auth.Account, err error) {
	err = s.viewAuth(ctx, func(r authReader) error {
		return r.Scan(kv.Span{Prefix: []byte{KLogin}, KeysOnly: true}, func(key, _ []byte) (bool, error) {
			id, err := uuid.FromBytes(key[1:])
			if err != nil {
				return false, fmt.Errorf("account %x: %w", key, err)
			}
			a, err := r.login(id.String())
			if a.Damaged {
				s.kv.LogUnreadable(key, err)
				err = nil
			}
			all = append(all, a)
			return true, err
		})
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(x, y auth.Account) int {
		return cmp.Or(cmp.Compare(x.Email, y.Email), cmp.Compare(x.ID, y.ID))
	})
	return all, nil
}

// ChangeAccount implements [auth.Accounts].
func (s *Store) ChangeAccount(ctx context.Context, id string, change func(*auth.Account) error, log ...auth.Event) (a auth.Account, err error) {
	err = s.updateAuth(ctx, func(t authTx) error {
		old, err := t.read().login(id)
		if err != nil {
			return err
		}
		a = old
		if err := change(&a); err != nil {
			return err
		}
		if a.ID != old.ID || a.Email != old.Email || !a.Created.Equal(old.Created) {
			return fmt.Errorf("account %s: its ID, Email and Created are fixed", id)
		}
		key, _ := kv.AccountOf(id)
		if err := t.putLogin(key, a); err != nil {
			return err
		}
		return t.append(log)
	})
	if err != nil {
		return auth.Account{}, err
	}
	return a, nil
}

// DeleteAccount implements [auth.Accounts].
func (s *Store) DeleteAccount(ctx context.Context, id string, log ...auth.Event) (a auth.Account, err error) {
	key, _ := kv.AccountOf(id)
	err = s.updateAuth(ctx, func(t authTx) error {
		if a, err = t.read().login(id); err != nil && !a.Damaged {
			return err
		}
		t.Delete(loginKey(key))
		if a.Email != "" {
			t.Delete(emailKey(a.Email))
		}
		return t.append(log)
	})
	if err != nil {
		return auth.Account{}, err
	}
	for {
		n := 0
		err := s.updateAuth(ctx, func(t authTx) error {
			tokens, err := t.read().accountTokens(key, tokenBatch)
			for _, token := range tokens {
				t.deleteToken(key, token)
			}
			n = len(tokens)
			return err
		})
		// The account is gone, even if some records of its tokens are still there:
		// SweepTokens removes those.
		if err != nil || n < tokenBatch {
			return a, nil
		}
	}
}

// CreateToken implements [auth.Accounts].
func (s *Store) CreateToken(ctx context.Context, n auth.Token, log ...auth.Event) error {
	id, ok := tokenOf(n.ID)
	if !ok {
		return fmt.Errorf("create token: %q is not a UUID", n.ID)
	}
	return s.updateAuth(ctx, func(t authTx) error {
		a, err := t.read().login(n.Account)
		if err != nil {
			return err
		}
		if !a.Allows(n) {
			return auth.ErrEnded
		}
		if taken, err := t.Has(tokenKey(id)); err != nil {
			return err
		} else if taken {
			return fmt.Errorf("token %s exists already", n.ID)
		}
		account, _ := kv.AccountOf(n.Account)
		t.Set(accountTokenKey(account, id), nil)
		if err := t.putToken(account, id, n); err != nil {
			return err
		}
		return t.append(log)
	})
}

// TokenByID implements [auth.Accounts].
func (s *Store) TokenByID(ctx context.Context, id string) (n auth.Token, err error) {
	key, ok := tokenOf(id)
	if !ok {
		return auth.Token{}, auth.ErrNoToken
	}
	err = s.lookAuth(ctx, func(r authReader) error {
		n, err = r.token(key)
		return err
	})
	return n, err
}

// ListTokens implements [auth.Accounts].
func (s *Store) ListTokens(ctx context.Context, id string) (all []auth.Token, err error) {
	key, ok := kv.AccountOf(id)
	if !ok {
		return nil, nil
	}
	err = s.viewAuth(ctx, func(r authReader) error {
		tokens, err := r.accountTokens(key, math.MaxInt)
		if err != nil {
			return err
		}
		for _, token := range tokens {
			n, err := r.token(token)
			if n.Damaged {
				s.kv.LogUnreadable(tokenKey(token), err)
				n.Account, err = id, nil
			}
			if err != nil {
				return fmt.Errorf("token %s of account %s: %w", token, id, err)
			}
			all = append(all, n)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(x, y auth.Token) int {
		return cmp.Or(x.Created.Compare(y.Created), cmp.Compare(x.ID, y.ID))
	})
	return all, nil
}

// ChangeToken implements [auth.Accounts].
func (s *Store) ChangeToken(ctx context.Context, id string, change func(*auth.Token) error) (n auth.Token, err error) {
	key, ok := tokenOf(id)
	if !ok {
		return auth.Token{}, auth.ErrNoToken
	}
	err = s.updateAuth(ctx, func(t authTx) error {
		old, err := t.read().token(key)
		if err != nil {
			n = old
			return err
		}
		a, err := t.read().login(old.Account)
		if errors.Is(err, auth.ErrNoAccount) || err == nil && !a.Allows(old) {
			return auth.ErrEnded
		}
		if err != nil {
			return err
		}
		n = old
		if err := change(&n); err != nil {
			return err
		}
		if n.ID != old.ID || n.Account != old.Account || n.Kind != old.Kind || n.Epoch != old.Epoch || !n.Created.Equal(old.Created) {
			return fmt.Errorf("token %s: its ID, Account, Kind, Epoch and Created are fixed", id)
		}
		for _, at := range []*time.Time{&n.Expires, &n.Refreshed, &n.Used} {
			*at = at.UTC().Truncate(time.Second) // as it is read back
		}
		account, _ := kv.AccountOf(n.Account)
		return t.putToken(account, key, n)
	})
	if err != nil && !n.Damaged {
		return auth.Token{}, err
	}
	return n, err
}

// DeleteToken implements [auth.Accounts].
func (s *Store) DeleteToken(ctx context.Context, id string, log ...auth.Event) (n auth.Token, err error) {
	key, ok := tokenOf(id)
	if !ok {
		return auth.Token{}, auth.ErrNoToken
	}
	err = s.updateAuth(ctx, func(t authTx) error {
		if n, err = t.read().token(key); err != nil && !n.Damaged {
			return err
		}
		account, _ := kv.AccountOf(n.Account)
		t.deleteToken(account, key)
		return t.append(log)
	})
	if err != nil {
		return auth.Token{}, err
	}
	return n, nil
}

// updateAuth and viewAuth are Update and View with errors of package auth.
func (s *Store) updateAuth(ctx context.Context, fn func(authTx) error) error {
	err := s.kv.Update(ctx, func(t *kv.Tx) error {
		return fn(authTx{t})
	})
	s.noteChange(time.Now()) // before the caller knows of the change
	return authError(err)
}

// noteChange notes a change that was made before a time. Of two at once the later counts.
func (s *Store) noteChange(at time.Time) {
	for was := s.changed.Load(); was == nil || at.After(*was); was = s.changed.Load() {
		if s.changed.CompareAndSwap(was, &at) {
			return
		}
	}
}

// lookAuth is viewAuth for what every request reads. It looks at how things were a moment ago, unless
// accounts or tokens changed since. So it does not wait for what is being written to the disk.
func (s *Store) lookAuth(ctx context.Context, fn func(authReader) error) error {
	read := false
	err := s.kv.Glance(ctx, func(r *kv.Reader) error {
		if at := s.changed.Load(); at != nil && !at.Before(r.Began()) {
			return nil
		}
		read = true
		return fn(authReader{r})
	})
	if err == nil && !read || errors.Is(err, diskerr.ErrUnreadable) {
		return s.viewAuth(ctx, fn)
	}
	return authError(err)
}

func (s *Store) viewAuth(ctx context.Context, fn func(authReader) error) error {
	return authError(s.kv.View(ctx, func(r *kv.Reader) error {
		return fn(authReader{r})
	}))
}

func authError(err error) error {
	if errors.Is(err, diskerr.ErrUnreadable) {
		return fmt.Errorf("%w: %w", auth.ErrDamaged, err)
	}
	for theirs, ours := range map[error]error{
		diskerr.ErrClosed: auth.ErrUnavailable, diskerr.ErrDiskFull: auth.ErrDiskFull,
		diskerr.ErrUnwritable: auth.ErrUnwritable, diskerr.ErrInDoubt: auth.ErrInDoubt,
	} {
		if errors.Is(err, theirs) {
			return fmt.Errorf("%w: %w", ours, err)
		}
	}
	return err
}
