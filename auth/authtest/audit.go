package authtest

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/holdfast-ipfs/holdfast/auth"
)

// append adds events to the record, under the lock.
func (a *Accounts) append(log []auth.Event) {
	for _, e := range log {
		e.Time = e.Time.UTC().Truncate(time.Millisecond)
		prefix, n := fmt.Sprintf("%016x", e.Time.UnixMilli()), 0
		for _, o := range a.events {
			if o.ID[:16] == prefix {
				n++
			}
		}
		e.ID = fmt.Sprintf("%s%08x", prefix, n)
		at, _ := slices.BinarySearchFunc(a.events, e, func(x, y auth.Event) int { return cmp.Compare(x.ID, y.ID) })
		a.events = slices.Insert(a.events, at, e)
	}
}

// AppendEvents implements [auth.Audit].
func (a *Accounts) AppendEvents(ctx context.Context, log []auth.Event) error {
	unlock, err := a.begin(ctx, "AppendEvents")
	if err != nil {
		return err
	}
	defer unlock()
	a.append(log)
	return nil
}

// Events implements [auth.Audit].
func (a *Accounts) Events(ctx context.Context, q auth.EventQuery) (page []auth.Event, err error) {
	unlock, err := a.begin(ctx, "Events")
	if err != nil {
		return nil, err
	}
	defer unlock()
	if q.Before != "" && !regexp.MustCompile("^[0-9a-f]{24}$").MatchString(q.Before) {
		return nil, &auth.InvalidError{Field: "before", Msg: "must be the id of an event"}
	}
	for _, e := range slices.Backward(a.events) {
		switch {
		case len(page) >= q.Limit,
			q.Account != "" && e.Account != q.Account && e.Actor != q.Account,
			!q.Kind.Selects(e.Kind),
			!q.About(e),
			!q.From.IsZero() && e.Time.Before(q.From),
			!q.To.IsZero() && !e.Time.Before(q.To),
			q.Before != "" && e.ID >= q.Before:
			continue
		}
		page = append(page, e)
	}
	return page, nil
}

// SweepEvents implements [auth.Audit].
func (a *Accounts) SweepEvents(ctx context.Context, before time.Time) (int, error) {
	unlock, err := a.begin(ctx, "SweepEvents")
	if err != nil {
		return 0, err
	}
	defer unlock()
	had := len(a.events)
	a.events = slices.DeleteFunc(a.events, func(e auth.Event) bool { return e.Time.Before(before) })
	return had - len(a.events), nil
}

// CreateInvite implements [auth.Invites].
func (a *Accounts) CreateInvite(ctx context.Context, i auth.Invite, log ...auth.Event) error {
	unlock, err := a.begin(ctx, "CreateInvite")
	if err != nil {
		return err
	}
	defer unlock()
	if _, taken := a.invites[i.ID]; taken {
		return fmt.Errorf("invitation %s exists already", i.ID)
	}
	i.Created, i.Expires = toSecond(i.Created), toSecond(i.Expires)
	a.invites[i.ID] = i
	a.append(log)
	return nil
}

// InviteByID implements [auth.Invites].
func (a *Accounts) InviteByID(ctx context.Context, id string) (auth.Invite, error) {
	return read(ctx, a, "InviteByID", a.invites, id, auth.ErrNoInvite)
}

// ListInvites implements [auth.Invites].
func (a *Accounts) ListInvites(ctx context.Context) ([]auth.Invite, error) {
	unlock, err := a.begin(ctx, "ListInvites")
	if err != nil {
		return nil, err
	}
	defer unlock()
	var all []auth.Invite
	for _, i := range a.invites {
		all = append(all, i)
	}
	slices.SortFunc(all, func(x, y auth.Invite) int {
		return cmp.Or(x.Created.Compare(y.Created), cmp.Compare(x.ID, y.ID))
	})
	return all, nil
}

// DeleteInvite implements [auth.Invites].
func (a *Accounts) DeleteInvite(ctx context.Context, id string, log ...auth.Event) (auth.Invite, error) {
	return remove(ctx, a, "DeleteInvite", a.invites, id, auth.ErrNoInvite, func() {}, log)
}

// RedeemInvite implements [auth.Invites].
func (a *Accounts) RedeemInvite(ctx context.Context, id string, n auth.Account, log ...auth.Event) error {
	unlock, err := a.begin(ctx, "RedeemInvite")
	if err != nil {
		return err
	}
	defer unlock()
	if _, ok := a.invites[id]; !ok {
		return auth.ErrNoInvite
	}
	if err := a.create(n); err != nil {
		return err
	}
	delete(a.invites, id)
	a.append(log)
	return nil
}
