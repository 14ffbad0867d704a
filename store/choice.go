package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store/internal/accounts"
)

// Choice says what of a backup is restored. The zero value is all of it.
type Choice struct {
	// Accounts are addresses of accounts, which are restored with all of their requests, and
	// Requests are IDs of requests, which are restored with their accounts. If one of the two
	// is not empty, nothing else is restored, no invitations, and no audit record.
	Accounts []string `json:"accounts,omitempty"`
	Requests []string `json:"requests,omitempty"`
	// WithoutTokens leaves out tokens.
	WithoutTokens bool `json:"without_tokens,omitempty"`
}

// all reports whether all accounts and requests are chosen.
func (c Choice) all() bool { return len(c.Accounts)+len(c.Requests) == 0 }

func (c Choice) equal(o Choice) bool {
	return slices.Equal(c.Accounts, o.Accounts) && slices.Equal(c.Requests, o.Requests) && c.WithoutTokens == o.WithoutTokens
}

// leavesOut reports whether a record is left out by its key.
func (c Choice) leavesOut(key []byte) bool {
	return c.WithoutTokens && accounts.OfTokens(key[0]) || !c.all() && accounts.OfNoAccount(key[0])
}

// NotInBackupError: an account or a request that is chosen is not in the backup.
type NotInBackupError struct{ What, Name string }

func (e *NotInBackupError) Error() string {
	return fmt.Sprintf("the backup has no %s %s", e.What, e.Name)
}

// Unwrap says that somebody asked for what cannot be.
func (e *NotInBackupError) Unwrap() error {
	return &auth.InvalidError{Field: e.What, Msg: "is not in the backup"}
}

// removesAtOnce is how many requests are removed at the same time: they share syncs.
const removesAtOnce = 64

// keepOnly removes all accounts and requests but those that are chosen, and what only they hold.
// It may be cut off, and be called again. Errors: a *NotInBackupError.
func (s *Store) keepOnly(ctx context.Context, c Choice) error {
	all, err := s.ListAccounts(ctx)
	if err != nil {
		return fmt.Errorf("list the accounts of the backup: %w", err)
	}
	wanted := make(map[string]bool) // accounts by ID; true is all of their requests
	for _, email := range c.Accounts {
		i := slices.IndexFunc(all, func(a auth.Account) bool { return strings.EqualFold(a.Email, email) })
		if i < 0 {
			return &NotInBackupError{"account", email}
		}
		wanted[all[i].ID] = true
	}
	owners, err := s.owners(ctx, all)
	if err != nil {
		return err
	}
	kept := make(map[string]bool) // requests by ID
	for _, id := range c.Requests {
		i, err := s.ownerOf(ctx, owners, id)
		if err != nil {
			return err
		}
		if i < 0 {
			return &NotInBackupError{"request", id}
		}
		kept[id] = true
		if !wanted[owners[i]] {
			wanted[owners[i]] = false
		}
	}
	for _, owner := range owners {
		if wanted[owner] {
			continue
		}
		if err := s.removeRequests(ctx, owner, kept); err != nil {
			return err
		}
	}
	for _, a := range all {
		if _, ok := wanted[a.ID]; ok {
			continue
		}
		if _, err := s.DeleteAccount(ctx, a.ID); err != nil && !errors.Is(err, auth.ErrNoAccount) {
			return fmt.Errorf("leave out account %s: %w", a.ID, err)
		}
	}
	// What no request holds is nobody's choice.
	for _, end := range []func(context.Context, string, time.Duration) (pin.Ended, bool, error){s.EndLingering, s.EndUploads} {
		for more := true; more; {
			if _, more, err = end(ctx, "", 0); err != nil {
				return err
			}
		}
	}
	return pin.NewOffline(s, nil).Unpin(ctx, s.Drop)
}

// owners lists the accounts that exist, and those that have requests.
func (s *Store) owners(ctx context.Context, all []auth.Account) (ids []string, err error) {
	for _, a := range all {
		ids = append(ids, a.ID)
	}
	for _, status := range pin.Statuses() {
		some, err := s.Accounts(ctx, status)
		if err != nil {
			return nil, fmt.Errorf("list the owners of pins: %w", err)
		}
		ids = append(ids, some...)
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

// ownerOf finds the account that has a request; -1 if none does.
func (s *Store) ownerOf(ctx context.Context, owners []string, id string) (int, error) {
	for i, owner := range owners {
		_, err := s.Get(ctx, owner, id)
		if err == nil {
			return i, nil
		}
		if !errors.Is(err, pin.ErrNotFound) {
			return -1, err
		}
	}
	return -1, nil
}

// removeRequests removes the requests of an account but those to keep.
func (s *Store) removeRequests(ctx context.Context, account string, keep map[string]bool) error {
	q := pin.Query{Statuses: pin.Statuses(), Limit: 1000}
	for {
		page, err := s.List(ctx, account, q)
		if err != nil {
			return fmt.Errorf("list the pins of account %s: %w", account, err)
		}
		g, gctx := errgroup.WithContext(ctx)
		g.SetLimit(removesAtOnce)
		for _, r := range page.Requests {
			if q.Before = r.Created; keep[r.ID] {
				continue
			}
			g.Go(func() error {
				_, _, err := s.Remove(gctx, account, r.ID)
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return fmt.Errorf("leave out pins of account %s: %w", account, err)
		}
		if len(page.Requests) < q.Limit {
			return nil
		}
	}
}
