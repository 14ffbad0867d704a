package auth

import (
	"context"
	"fmt"
	"time"
)

// EventKind says what happened.
type EventKind string

// What is recorded.
const (
	EventLogin           EventKind = "login"
	EventLoginRefused    EventKind = "login.refused" // a wrong password, a disabled or unknown account
	EventLoginLimited    EventKind = "login.limited" // too many tries
	EventLogout          EventKind = "logout"
	EventLogoutAll       EventKind = "logout.all"
	EventRefreshReused   EventKind = "refresh.reused" // a refresh token came twice, and its session was ended
	EventRegistered      EventKind = "account.registered"
	EventRegisterRefused EventKind = "account.register.refused"
	EventAccountAdded    EventKind = "account.added"
	EventAccountDisabled EventKind = "account.disabled"
	EventAccountEnabled  EventKind = "account.enabled"
	EventAccountRemoved  EventKind = "account.removed"
	EventQuotaSet        EventKind = "account.quota"
	EventRoleSet         EventKind = "account.role"
	EventPasswordSet     EventKind = "password.set"
	EventPasswordRefused EventKind = "password.refused" // the present password was wrong
	EventTokenCreated    EventKind = "token.created"
	EventTokenRevoked    EventKind = "token.revoked"
	EventInviteCreated   EventKind = "invite.created"
	EventInviteRevoked   EventKind = "invite.revoked"
	EventKeysRotated     EventKind = "keys.rotated"
	EventPinsAdopted     EventKind = "pins.adopted" // of an account that is gone, by another
	EventDamaged         EventKind = "damaged"      // what happened cannot be read any more
)

// Event is one entry of the audit record. It never holds a password, a token or
// an invitation's code.
type Event struct {
	ID      string    // 24 hex digits, that sort as the events do
	Time    time.Time // UTC, to the millisecond
	Kind    EventKind
	Account string // ID of the account that it happened to; "" is none that is known
	Email   string // of Account, as it was then; "" where it was not at hand
	Actor   string // ID of the account that did it; "" is the host's operator, or a stranger
	Address string // the client's; "" is the host itself
	Token   string // ID of the token that it is about; "" is none
	Detail  string // what else there is to say
	// Count is how many of these happened. More than 1 stands for tries of
	// which there were too many to keep each.
	Count int
}

// EventQuery selects events. The zero value of a field selects all, but for
// Limit, which must be positive.
type EventQuery struct {
	Account string    // that it happened to, or that did it
	From    time.Time // at this time or later
	To      time.Time // before this time
	Before  string    // of an ID less than this one, to read on after a page
	Limit   int
}

// NoteAdopted puts on record that an account has the pins now of one that is gone.
func (s *Service) NoteAdopted(ctx context.Context, from string, to Account, pins int) error {
	e := s.event(ctx, EventPinsAdopted, to.ID)
	e.Email, e.Detail = to.Email, fmt.Sprintf("%d pins of account %s", pins, from)
	return s.accounts.AppendEvents(ctx, []Event{e})
}

type addressKey struct{}

// WithAddress gives a context that says which address a request came from.
// Without it, it is the host's own.
func WithAddress(ctx context.Context, address string) context.Context {
	return context.WithValue(ctx, addressKey{}, address)
}

// addressFrom is the request's address; "" is the host's own.
func addressFrom(ctx context.Context) string {
	a, _ := ctx.Value(addressKey{}).(string)
	return a
}

// event is one that happens now, done by whoever the context says.
func (s *Service) event(ctx context.Context, kind EventKind, account string) Event {
	p, _ := PrincipalFrom(ctx)
	return Event{
		Time: s.cfg.Now().UTC().Truncate(time.Millisecond), Kind: kind,
		Account: account, Actor: p.Account, Address: addressFrom(ctx), Count: 1,
	}
}
