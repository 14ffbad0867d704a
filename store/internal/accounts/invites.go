package accounts

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/internal/diskerr"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// inviteRecord is an auth.Invite on disk, encoded like loginRecord.
type inviteRecord struct {
	By      string `cbor:"1,keyasint,omitempty"`
	Created int64  `cbor:"2,keyasint"` // Unix seconds
	Expires int64  `cbor:"3,keyasint"` // Unix seconds
	Quota   uint64 `cbor:"4,keyasint,omitempty"`

	QuotaPins uint64 `cbor:"5,keyasint,omitempty"`
}

// inviteKey is the key of an invitation. ok is false if the ID is not one.
func inviteKey(id string) (key []byte, ok bool) {
	n, ok := kv.AccountOf(id)
	return append([]byte{kInvite}, n[:]...), ok
}

// CreateInvite implements [auth.Invites].
func (s *Store) CreateInvite(ctx context.Context, i auth.Invite, log ...auth.Event) error {
	key, ok := inviteKey(i.ID)
	if !ok {
		return fmt.Errorf("create invitation: %q is not a UUID", i.ID)
	}
	return s.updateAuth(ctx, func(t authTx) error {
		if taken, err := t.Has(key); err != nil {
			return err
		} else if taken {
			return fmt.Errorf("invitation %s exists already", i.ID)
		}
		value, err := kv.Encode(inviteRecord{
			By: i.By, Created: i.Created.Unix(), Expires: i.Expires.Unix(), Quota: i.Quota, QuotaPins: i.QuotaPins,
		})
		if err != nil {
			return fmt.Errorf("invitation %s: %w", i.ID, err)
		}
		t.Set(key, value)
		return t.append(log)
	})
}

// InviteByID implements [auth.Invites].
func (s *Store) InviteByID(ctx context.Context, id string) (i auth.Invite, err error) {
	err = s.viewAuth(ctx, func(r authReader) error {
		i, err = r.invite(id)
		return err
	})
	return i, err
}

// invite reads an invitation.
func (r authReader) invite(id string) (auth.Invite, error) {
	key, ok := inviteKey(id)
	if !ok {
		return auth.Invite{}, auth.ErrNoInvite
	}
	value, found, err := r.Get(key)
	if err != nil {
		return auth.Invite{}, err
	}
	if !found {
		return auth.Invite{}, auth.ErrNoInvite
	}
	return r.decodeInvite(id, value)
}

func (r authReader) decodeInvite(id string, value []byte) (auth.Invite, error) {
	var rec inviteRecord
	if err := kv.Decode(value, &rec); err != nil {
		return auth.Invite{}, fmt.Errorf("invitation %s: %w", id, err)
	}
	return auth.Invite{
		ID: id, By: rec.By, Created: time.Unix(rec.Created, 0).UTC(), Expires: time.Unix(rec.Expires, 0).UTC(),
		Quota: rec.Quota, QuotaPins: rec.QuotaPins,
	}, nil
}

// ListInvites implements [auth.Invites].
func (s *Store) ListInvites(ctx context.Context) (all []auth.Invite, err error) {
	err = s.viewAuth(ctx, func(r authReader) error {
		return r.ScanEach(kv.Span{Prefix: []byte{kInvite}}, func(key, value []byte) (bool, error) {
			id, err := uuid.FromBytes(key[1:])
			if err != nil {
				return false, fmt.Errorf("invitation %x: %w", key, err)
			}
			i, err := r.decodeInvite(id.String(), value)
			if errors.Is(err, diskerr.ErrUnreadable) { // nobody can use it; it can be revoked by its ID
				s.kv.LogUnreadable(key, err)
				return true, nil
			}
			all = append(all, i)
			return true, err
		})
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(x, y auth.Invite) int {
		return cmp.Or(x.Created.Compare(y.Created), cmp.Compare(x.ID, y.ID))
	})
	return all, nil
}

// DeleteInvite implements [auth.Invites].
func (s *Store) DeleteInvite(ctx context.Context, id string, log ...auth.Event) (i auth.Invite, err error) {
	err = s.updateAuth(ctx, func(t authTx) error {
		if i, err = t.takeInvite(id); errors.Is(err, diskerr.ErrUnreadable) {
			key, _ := inviteKey(id)
			t.Delete(key)
			i, err = auth.Invite{ID: id}, nil
		}
		if err != nil {
			return err
		}
		return t.append(log)
	})
	if err != nil {
		return auth.Invite{}, err
	}
	return i, nil
}

// RedeemInvite implements [auth.Invites].
func (s *Store) RedeemInvite(ctx context.Context, id string, a auth.Account, log ...auth.Event) error {
	key, ok := kv.AccountOf(a.ID)
	if !ok {
		return fmt.Errorf("create account: %q is not a UUID", a.ID)
	}
	return s.updateAuth(ctx, func(t authTx) error {
		if _, err := t.takeInvite(id); err != nil {
			return err
		}
		if err := t.createLogin(key, a); err != nil {
			return err
		}
		return t.append(log)
	})
}

// takeInvite removes an invitation. It fails if that is not there.
func (t authTx) takeInvite(id string) (auth.Invite, error) {
	i, err := t.read().invite(id)
	if err != nil {
		return auth.Invite{}, err
	}
	key, _ := inviteKey(id)
	t.Delete(key)
	return i, nil
}

// sweepInvites removes expired invitations. There are few, as only admins make them.
func (s *Store) sweepInvites(ctx context.Context, now time.Time) (removed int, err error) {
	all, err := s.ListInvites(ctx)
	if err != nil {
		return 0, err
	}
	for _, i := range all {
		if now.Before(i.Expires) {
			continue
		}
		_, err := s.DeleteInvite(ctx, i.ID)
		if errors.Is(err, auth.ErrNoInvite) {
			continue
		}
		if err != nil {
			return removed, err
		}
		removed++
	}
	return removed, nil
}
