package auth

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// EventKind says what happened.
type EventKind string

// The kinds of events.
const (
	EventLogin           EventKind = "login"
	EventLoginRefused    EventKind = "login.refused" // a wrong password, a disabled or unknown account
	EventLoginLimited    EventKind = "login.limited" // too many tries
	EventLogout          EventKind = "logout"
	EventLogoutAll       EventKind = "logout.all"
	EventRefreshReused   EventKind = "refresh.reused" // a refresh token came twice, which ended its session
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
	EventPinsAdopted     EventKind = "pins.adopted" // an account got the pins of one that is gone
	EventDamaged         EventKind = "damaged"      // the record of the event cannot be read any more

	// These are about pins. There may be very many of them.
	EventPinAdded    EventKind = "pin.added"
	EventPinReplaced EventKind = "pin.replaced" // also by a new name
	EventPinRemoved  EventKind = "pin.removed"
	EventPinRetried  EventKind = "pin.retried"
	EventPinFailed   EventKind = "pin.failed" // nobody did that
)

// Groups of kinds, by which an [EventQuery] selects. No event has one.
const (
	EventsOfPins     EventKind = "pins"
	EventsOfAccounts EventKind = "accounts" // all others
)

// pinKinds are the kinds that are about pins.
var pinKinds = []EventKind{EventPinAdded, EventPinReplaced, EventPinRemoved, EventPinRetried, EventPinFailed}

// OfPins reports whether events of the kind are about pins.
func (k EventKind) OfPins() bool { return slices.Contains(pinKinds, k) }

// Selects reports whether a query by k, which is "", a kind or a group, selects events of a kind.
func (k EventKind) Selects(kind EventKind) bool {
	switch k {
	case "", kind:
		return true
	case EventsOfPins:
		return kind.OfPins()
	case EventsOfAccounts:
		return !kind.OfPins()
	}
	return false
}

// Event is one entry of the audit record. It never holds a password, a token or
// an invitation's code.
type Event struct {
	ID      string    // 24 hex digits; they sort as the events do
	Time    time.Time // UTC, to the millisecond
	Kind    EventKind
	Account string // ID of the account it happened to; "" if none is known
	Email   string // of Account at that time; "" if it was not known
	Actor   string // ID of the account that did it; "" for the host's operator or a stranger
	Address string // of the client; "" is the host itself
	Token   string // ID of the token it is about, or by which a pin was changed; "" if there is none
	Pin     string // ID of the pin request it is about; "" if it is about none, or about several
	CID     string // of the pin, as its client wrote it
	Was     string // ID of the pin request that Pin replaced; "" if it replaced none
	Detail  string // anything else
	// Count is how many of these happened. It is more than 1 if there were too many
	// tries or changes to keep each of them.
	Count int
}

// EventKinds are all kinds of events.
var EventKinds = []EventKind{
	EventLogin, EventLoginRefused, EventLoginLimited, EventLogout, EventLogoutAll, EventRefreshReused,
	EventRegistered, EventRegisterRefused, EventAccountAdded, EventAccountDisabled, EventAccountEnabled,
	EventAccountRemoved, EventQuotaSet, EventRoleSet, EventPasswordSet, EventPasswordRefused,
	EventTokenCreated, EventTokenRevoked, EventInviteCreated, EventInviteRevoked, EventKeysRotated,
	EventPinsAdopted, EventPinAdded, EventPinReplaced, EventPinRemoved, EventPinRetried, EventPinFailed, EventDamaged,
}

// EventQuery selects events. The zero value of a field selects all events, except that
// Limit must be positive.
type EventQuery struct {
	Account string    // it happened to this account, or this account did it
	Kind    EventKind // it is of this kind, or of this group of kinds
	Pin     string    // it is an event of the pin request with this ID, of what replaced that, or of a pin with this CID
	From    time.Time // at this time or later
	To      time.Time // before this time
	Before  string    // with a lower ID than this: the next page after the event with this ID
	Limit   int
	// Look is how many events are read at most, whether they match or not; 0 is any number.
	Look int
}

// About reports whether an event is about what q.Pin names.
func (q EventQuery) About(e Event) bool {
	return q.Pin == "" || q.Pin == e.Pin || q.Pin == e.Was || q.Pin == e.CID
}

// NoteAdopted records that the pins of an account that is gone belong to another account
// now.
func (s *Service) NoteAdopted(ctx context.Context, from string, to Account, pins int) error {
	e := s.event(ctx, EventPinsAdopted, to.ID)
	e.Email, e.Detail = to.Email, fmt.Sprintf("%d pins of account %s", pins, from)
	return s.accounts.AppendEvents(ctx, []Event{e})
}

type addressKey struct{}

// WithAddress returns a context with the address that a request came from. A context
// without an address means the host itself.
func WithAddress(ctx context.Context, address string) context.Context {
	return context.WithValue(ctx, addressKey{}, address)
}

// addressFrom is the address of the request's client; "" is the host itself.
func addressFrom(ctx context.Context) string {
	a, _ := ctx.Value(addressKey{}).(string)
	return a
}

// event makes an event that happens now. The principal in the context is its actor.
func (s *Service) event(ctx context.Context, kind EventKind, account string) Event {
	p, _ := PrincipalFrom(ctx)
	return Event{
		Time: s.cfg.Now().UTC().Truncate(time.Millisecond), Kind: kind,
		Account: account, Actor: p.Account, Address: addressFrom(ctx), Count: 1,
	}
}

// PinEvent makes an event of a pin. Its actor is the principal in the context, and its token
// the principal's. A principal without a token is the host's operator, whichever account they
// act for.
func PinEvent(ctx context.Context, at time.Time, kind EventKind, account string) Event {
	p, _ := PrincipalFrom(ctx)
	if p.TokenID == "" {
		p = Principal{}
	}
	return Event{
		Time: at.UTC().Truncate(time.Millisecond), Kind: kind,
		Account: account, Actor: p.Account, Address: addressFrom(ctx), Token: p.TokenID, Count: 1,
	}
}
