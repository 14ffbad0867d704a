package accounts

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/internal/diskerr"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// Events of pins are in the audit record with all others. A client makes thousands of pins a
// second, so:
//
//   - An event is written in the commit that changes the pin, and needs no scan for its number.
//   - Its number begins with its kind: filters by kind need not read the records of others.
//   - What an account changes beyond pinEventsBurst is counted: one event for each kind, actor,
//     token and address, and each minute. So an account that adds and removes pins all day takes
//     some 20 MB a day of disk, as refused logins do, and not as much as it wants.

const (
	pinEventsEvery = time.Second
	pinEventsBurst = 1000
	// mergeFor is how long one event counts others.
	mergeFor = time.Minute
	// maxMerged is how many events count others for one account. Beyond that an event counts for
	// all tokens and addresses.
	maxMerged = 64
	// maxBudgets is for how many accounts it is remembered what they may have written.
	// An account that is forgotten has all of it again.
	maxBudgets = 10_000
)

// pinNumbers is the first number of an event of a pin. The next 7 bits say its kind, and 24 bits
// count the events of that kind in the millisecond.
const (
	pinNumbers   = 1 << 31
	pinKindShift = 24
	maxPinNumber = 1<<pinKindShift - 1
)

// pinKinds are in the order of their numbers, which never change.
var pinKinds = []auth.EventKind{auth.EventPinAdded, auth.EventPinReplaced, auth.EventPinRemoved, auth.EventPinRetried, auth.EventPinFailed}

func (id eventID) number() uint32 { return binary.BigEndian.Uint32(id[8:]) }

// ofPin reports whether an event is about pins.
func (id eventID) ofPin() bool { return id.number() >= pinNumbers }

// differs reports that a query by a kind does not select the event, as far as its ID says so.
func (id eventID) differs(query auth.EventKind) bool {
	switch {
	case query == "" || query == auth.EventDamaged: // any record may be damaged
		return false
	case !id.ofPin():
		return query.OfPins() || query == auth.EventsOfPins
	}
	n := int(id.number()-pinNumbers) >> pinKindShift
	return n >= len(pinKinds) || !query.Selects(pinKinds[n])
}

// pinEvents is what is remembered of the events of pins. Only changes use it, which run one after
// the other.
type pinEvents struct {
	ms      int64     // the millisecond of the last event
	next    [8]uint32 // the next number in it, by kind
	budgets map[kv.Account]*pinBudget
}

// pinBudget is what an account may have written one by one, and the events that count the rest.
type pinBudget struct {
	limit  *rate.Limiter
	merged map[mergeKey]eventID
}

type mergeKey struct {
	kind                  auth.EventKind
	actor, token, address string
}

// NotePin adds an event of a pin to a change. Its Account is a UUID.
func (s *Store) NotePin(tx *kv.Tx, e auth.Event) error {
	t := authTx{tx}
	owner, ok := kv.AccountOf(e.Account)
	if !ok {
		return fmt.Errorf("an event of account %q", e.Account)
	}
	b := s.pins.of(owner, e.Time)
	if b.limit.AllowN(e.Time, 1) {
		id, err := s.newPinEvent(t, e)
		if err != nil {
			return err
		}
		return t.putEvent(id, e)
	}
	key := mergeKey{e.Kind, e.Actor, e.Token, e.Address}
	id, known := b.merged[key]
	if !known && len(b.merged) >= maxMerged {
		key = mergeKey{kind: e.Kind}
		id, known = b.merged[key]
	}
	if since := e.Time.Sub(id.time()); known && since >= 0 && since < mergeFor {
		into, err := t.read().event(id)
		if err == nil {
			into.Count += e.Count
			return t.putEvent(id, into)
		}
		if !errors.Is(err, errNoEvent) && !errors.Is(err, diskerr.ErrUnreadable) {
			return err
		}
	}
	id, err := s.newPinEvent(t, e)
	if err != nil {
		return err
	}
	if b.merged == nil || len(b.merged) >= 2*maxMerged {
		b.merged = map[mergeKey]eventID{}
	}
	b.merged[key] = id
	return t.putEvent(id, auth.Event{
		Time: e.Time, Kind: e.Kind, Account: e.Account, Actor: key.actor, Token: key.token, Address: key.address,
		Detail: "within a minute; more than are kept one by one", Count: e.Count,
	})
}

// of gives the budget of an account.
func (p *pinEvents) of(a kv.Account, now time.Time) *pinBudget {
	if b := p.budgets[a]; b != nil {
		return b
	}
	if len(p.budgets) >= maxBudgets || p.budgets == nil {
		p.budgets = map[kv.Account]*pinBudget{}
	}
	b := &pinBudget{limit: rate.NewLimiter(rate.Every(pinEventsEvery), pinEventsBurst)}
	p.budgets[a] = b
	return b
}

// newPinEvent gives the ID of a new event. The change may fail, or run again: then a number is
// left out.
func (s *Store) newPinEvent(t authTx, e auth.Event) (eventID, error) {
	kind := slices.Index(pinKinds, e.Kind)
	if kind < 0 {
		return eventID{}, fmt.Errorf("an event of the kind %q is about no pin", e.Kind)
	}
	ms := max(e.Time.UnixMilli(), 0)
	if s.pins.ms != ms {
		s.pins.ms, s.pins.next = ms, [8]uint32{}
	}
	for n := s.pins.next[kind]; n <= maxPinNumber; n++ {
		id := eventIDOf(ms, pinNumbers|uint32(kind)<<pinKindShift|n)
		taken, err := t.Has(eventKey(id)) // by an earlier run, or before the clock was set back
		if err != nil {
			return id, err
		}
		if !taken {
			s.pins.next[kind] = n + 1
			return id, nil
		}
	}
	return eventID{}, errors.New("too many events at one time")
}
