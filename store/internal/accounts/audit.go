package accounts

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/internal/diskerr"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// eventRecord is an auth.Event on disk, encoded like loginRecord. Its time is in its key.
type eventRecord struct {
	Kind    string `cbor:"1,keyasint"`
	Account string `cbor:"2,keyasint,omitempty"`
	Email   string `cbor:"3,keyasint,omitempty"`
	Actor   string `cbor:"4,keyasint,omitempty"`
	Address string `cbor:"5,keyasint,omitempty"`
	Token   string `cbor:"6,keyasint,omitempty"`
	Detail  string `cbor:"7,keyasint,omitempty"`
	Count   int    `cbor:"8,keyasint,omitempty"`
	Pin     string `cbor:"9,keyasint,omitempty"`
	CID     string `cbor:"10,keyasint,omitempty"`
	Was     string `cbor:"11,keyasint,omitempty"`
}

// eventID is the tail of an event's keys: its time in Unix milliseconds, and its number among the
// events of that millisecond. The numbers of events of pins say their kind: see pin_events.go.
type eventID [12]byte

func eventIDOf(ms int64, n uint32) (id eventID) {
	binary.BigEndian.PutUint64(id[:], uint64(ms))
	binary.BigEndian.PutUint32(id[8:], n)
	return id
}

func (id eventID) time() time.Time {
	return time.UnixMilli(int64(binary.BigEndian.Uint64(id[:]))).UTC()
}

func (id eventID) String() string { return hex.EncodeToString(id[:]) }

func eventKey(id eventID) []byte { return append([]byte{kEvent}, id[:]...) }

// accountEvents is the prefix of the events of an account.
func accountEvents(a kv.Account) []byte { return append([]byte{kAccountEvent}, a[:]...) }

func accountEventKey(a kv.Account, id eventID) []byte { return append(accountEvents(a), id[:]...) }

// owners lists the accounts under which an event is listed.
func owners(e auth.Event) (all []kv.Account) {
	for _, s := range []string{e.Account, e.Actor} {
		if a, ok := kv.AccountOf(s); ok && !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	return all
}

// maxEventsPerMS is the highest number of an event of one millisecond that is not about a pin.
const maxEventsPerMS = pinNumbers - 1

// append adds events to the record.
func (t authTx) append(log []auth.Event) error {
	for _, e := range log {
		ms := max(e.Time.UnixMilli(), 0)
		n, err := t.nextEvent(ms)
		if err != nil {
			return err
		}
		if err := t.putEvent(eventIDOf(ms, n), e); err != nil {
			return err
		}
	}
	return nil
}

// putEvent writes an event.
func (t authTx) putEvent(id eventID, e auth.Event) error {
	value, err := kv.Encode(eventRecord{
		Kind: string(e.Kind), Account: e.Account, Email: e.Email, Actor: e.Actor,
		Address: e.Address, Token: e.Token, Pin: e.Pin, CID: e.CID, Was: e.Was, Detail: e.Detail, Count: e.Count,
	})
	if err != nil {
		return fmt.Errorf("event %s: %w", id, err)
	}
	t.Set(eventKey(id), value)
	for _, a := range owners(e) {
		t.Set(accountEventKey(a, id), nil)
	}
	return nil
}

// nextEvent gives the number of the next event of a millisecond. So events with the same time all
// stay, also when the clock was set back.
func (t authTx) nextEvent(ms int64) (next uint32, err error) {
	first := eventKey(eventIDOf(ms, 0))
	err = t.Scan(kv.Span{
		Prefix: first[:len(first)-4], From: eventKey(eventIDOf(ms, maxEventsPerMS)), Reverse: true, KeysOnly: true,
	}, func(key, _ []byte) (bool, error) {
		last := binary.BigEndian.Uint32(key[len(key)-4:])
		if last == maxEventsPerMS {
			return false, errors.New("too many events at one time")
		}
		next = last + 1
		return false, nil
	})
	return next, err
}

// AppendEvents implements [auth.Audit].
func (s *Store) AppendEvents(ctx context.Context, log []auth.Event) error {
	for batch := range slices.Chunk(log, auth.EventsAtOnce) {
		if err := s.updateAuth(ctx, func(t authTx) error { return t.append(batch) }); err != nil {
			return err
		}
	}
	return nil
}

const (
	// eventBatch is how many events one commit removes. An event has up to three
	// keys, so that is far less than a commit holds.
	eventBatch = auth.EventsAtOnce
	// eventPiece is how many events one view reads, so that none lasts long.
	eventPiece = 10_000
)

// Events implements [auth.Audit].
func (s *Store) Events(ctx context.Context, q auth.EventQuery) (page []auth.Event, err error) {
	prefix, ok := []byte{kEvent}, true
	if q.Account != "" {
		var a kv.Account
		a, ok = kv.AccountOf(q.Account)
		prefix = accountEvents(a)
	}
	end := eventIDOf(math.MaxInt64, math.MaxUint32)
	if !q.To.IsZero() {
		end = eventIDOf(max(ceilMilli(q.To), 0), 0)
	}
	if q.Before != "" {
		var before eventID
		n, err := hex.Decode(before[:], []byte(q.Before[:min(len(q.Before), 2*len(before))]))
		if err != nil || n != len(before) || len(q.Before) != 2*n {
			return nil, &auth.InvalidError{Field: "before", Msg: "must be the id of an event"}
		}
		if bytes.Compare(before[:], end[:]) < 0 {
			end = before
		}
	}
	if !ok || q.Limit <= 0 {
		return nil, nil
	}
	from := eventIDOf(0, 0)
	if !q.From.IsZero() {
		from = eventIDOf(max(ceilMilli(q.From), 0), 0)
	}
	looked := 0
	err = s.viewAuth(ctx, func(r authReader) error {
		return r.Scan(kv.Span{
			Prefix: prefix, From: append(bytes.Clone(prefix), end[:]...), Reverse: true, KeysOnly: true,
		}, func(key, _ []byte) (bool, error) {
			id := eventID(key[len(prefix):])
			if bytes.Compare(id[:], from[:]) < 0 {
				return false, nil
			}
			if id == end {
				return true, nil // the end is exclusive
			}
			if looked++; q.Look > 0 && looked > q.Look {
				return false, nil
			}
			if id.differs(q.Kind) || q.Pin != "" && !id.ofPin() {
				return true, nil // so that its record is not read
			}
			e, err := r.event(id)
			if errors.Is(err, errNoEvent) { // when it was swept, its record could not be read
				return true, nil
			}
			if errors.Is(err, diskerr.ErrUnreadable) {
				s.kv.LogUnreadable(eventKey(id), err)
				e, err = auth.Event{
					ID: id.String(), Time: id.time(), Kind: auth.EventDamaged, Account: q.Account,
					Detail: "what happened cannot be read any more", Count: 1,
				}, nil
			}
			if !q.Kind.Selects(e.Kind) || !q.About(e) {
				return true, err
			}
			page = append(page, e)
			return len(page) < q.Limit, err
		})
	})
	if err != nil {
		return nil, err
	}
	return page, nil
}

// ceilMilli rounds t up to a whole millisecond.
func ceilMilli(t time.Time) int64 {
	ms := t.UnixMilli()
	if time.UnixMilli(ms).Before(t) {
		ms++
	}
	return ms
}

// errNoEvent: an account's list has an event without a record.
var errNoEvent = errors.New("there is no such event")

// event reads an event. Errors: errNoEvent, diskerr.ErrUnreadable.
func (r authReader) event(id eventID) (auth.Event, error) {
	value, found, err := r.Get(eventKey(id))
	if err != nil {
		return auth.Event{}, err
	}
	if !found {
		return auth.Event{}, fmt.Errorf("event %s: %w", id, errNoEvent)
	}
	var rec eventRecord
	if err := kv.Decode(value, &rec); err != nil {
		return auth.Event{}, fmt.Errorf("event %s: %w", id, err)
	}
	return auth.Event{
		ID: id.String(), Time: id.time(), Kind: auth.EventKind(rec.Kind), Account: rec.Account, Email: rec.Email,
		Actor: rec.Actor, Address: rec.Address, Token: rec.Token, Pin: rec.Pin, CID: rec.CID, Was: rec.Was, Detail: rec.Detail, Count: rec.Count,
	}, nil
}

// SweepEvents implements [auth.Audit].
func (s *Store) SweepEvents(ctx context.Context, before time.Time) (removed int, err error) {
	end := eventIDOf(max(ceilMilli(before), 0), 0)
	for {
		var old []eventID
		err := s.viewAuth(ctx, func(r authReader) error {
			return r.Scan(kv.Span{Prefix: []byte{kEvent}, KeysOnly: true}, func(key, _ []byte) (bool, error) {
				id := eventID(key[1:])
				if bytes.Compare(id[:], end[:]) >= 0 {
					return false, nil
				}
				old = append(old, id)
				return len(old) < eventPiece, nil
			})
		})
		if err != nil {
			return removed, err
		}
		for batch := range slices.Chunk(old, eventBatch) {
			err := s.updateAuth(ctx, func(t authTx) error {
				for _, id := range batch {
					e, err := t.read().event(id)
					if err != nil && !errors.Is(err, diskerr.ErrUnreadable) {
						return err
					}
					t.Delete(eventKey(id))
					for _, a := range owners(e) {
						t.Delete(accountEventKey(a, id))
					}
				}
				return nil
			})
			if err != nil {
				return removed, err
			}
			removed += len(batch)
		}
		if len(old) < eventPiece {
			return removed, nil
		}
	}
}
